/// A large value behind one reference: copying it costs one count, and it is changed in place while
/// nobody else has it.
///
/// Looking up one field of a peer would otherwise copy the dozen tables that a peer holds.
@dynamicMemberLookup
struct Shared<Value: Sendable>: @unchecked Sendable {
  private final class Box {
    // Reached only through the structure around it, whose accesses are checked.
    @exclusivity(unchecked) var value: Value

    init(_ value: Value) { self.value = value }
  }

  private var box: Box

  init(_ value: Value) { box = Box(value) }

  /// All of it.
  var value: Value {
    @inline(__always) _read { yield box.value }
    @inline(__always) _modify {
      if !isKnownUniquelyReferenced(&box) { box = Box(box.value) }
      yield &box.value
    }
  }

  subscript<Field>(dynamicMember path: KeyPath<Value, Field>) -> Field {
    @inline(__always) get { box.value[keyPath: path] }
  }

  subscript<Field>(dynamicMember path: WritableKeyPath<Value, Field>) -> Field {
    @inline(__always) get { box.value[keyPath: path] }
    @inline(__always) _modify {
      if !isKnownUniquelyReferenced(&box) { box = Box(box.value) }
      yield &box.value[keyPath: path]
    }
  }
}
