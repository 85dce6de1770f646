/// The house plan, as `Package.swift` tells it: rooms, their floors and what they may import.
struct Plan {
  struct Room: Equatable {
    var name: String
    /// Nil for test targets, which stand beside the house.
    var floor: Int?
    /// Names of modules: rooms, and products of other packages.
    var dependencies: [String]
  }

  private(set) var rooms: [Room] = []

  func room(_ name: String) -> Room? { rooms.first { $0.name == name } }

  /// Reads the manifest's targets and the `// floor n` comments between them.
  init(manifest: String) {
    let products = Self.products(in: manifest)
    guard let targets = manifest.firstRange(of: "targets: [\n") else { return }
    var floor: Int?
    var block: [Substring] = []
    func close() -> Room? {
      defer { block = [] }
      let text = block.joined(separator: "\n")
      guard let name = text.firstMatch(of: /name: "([^"]+)"/)?.1 else { return nil }
      let list = text.firstMatch(of: /dependencies: \[([^\]]*)\]/)?.1 ?? ""
      let names = list.split(separator: ",").map { $0.trimming(while: \.isWhitespace) }
      return Room(
        name: String(name), floor: floor,
        dependencies: names.filter { !$0.isEmpty }.map { item in
          item.hasPrefix("\"") ? String(item.dropFirst().dropLast()) : products[item] ?? item
        })
    }
    for line in manifest[targets.upperBound...].split(separator: "\n") {
      let text = line.trimming(while: \.isWhitespace)
      let begins =
        text.hasPrefix(".target(") || text.hasPrefix(".executableTarget(")
        || text.hasPrefix(".testTarget(") || text.hasPrefix(".systemLibrary(")
      if begins || text.hasPrefix("//") {
        if let room = close() { rooms.append(room) }
      }
      if let match = text.firstMatch(of: /^\/\/ floor (\d+)/) {
        floor = Int(match.1)
      } else if text.hasPrefix("// tests") {
        floor = nil
      } else if !text.hasPrefix("//") {
        block.append(line)
      }
    }
    if let room = close() { rooms.append(room) }
  }

  /// `let nio = Target.Dependency.product(name: "NIOCore", …)` → `nio: NIOCore`.
  private static func products(in manifest: String) -> [String: String] {
    let pattern = /let (\w+) = Target\.Dependency\.product\(\s*name: "([^"]+)"/
    return manifest.matches(of: pattern).reduce(into: [:]) { $0[String($1.1)] = String($1.2) }
  }
}

/// Arrows between rooms: every import must be declared, and every declared one must point down.
struct FloorCheck {
  let plan: Plan

  /// What the toolchain itself brings. `Foundation` is not among them (`BannedCalls` says why).
  static let toolchain: Set<String> = [
    "Dispatch", "Foundation", "FoundationEssentials", "Glibc", "Musl", "Synchronization", "Swift",
  ]

  func findingsInManifest() -> [Finding] {
    plan.rooms.flatMap { room -> [Finding] in
      guard let floor = room.floor else { return [] }
      return room.dependencies.compactMap { name in
        guard let other = plan.room(name) else { return nil }
        guard let below = other.floor else {
          return Finding(
            file: "Package.swift", line: nil, message: "\(room.name) depends on a test, \(name)")
        }
        guard below >= floor else { return nil }
        let direction = below == floor ? "sideways" : "up"
        return Finding(
          file: "Package.swift", line: nil,
          message: "\(room.name) (floor \(floor)) points \(direction) to \(name) (floor \(below)); "
            + "what both need lives beneath both")
      }
    }
  }

  func findings(in file: HouseFile) -> [Finding] {
    guard let name = file.room else { return [] }
    guard let room = plan.room(name), room.floor != nil else {
      return [Finding(file: file.path, line: nil, message: "the room \(name) has no floor")]
    }
    return file.code.lines.enumerated().compactMap { number, line in
      guard line.mentions("import "), let module = Self.imported(by: line) else { return nil }
      if Self.toolchain.contains(module) || room.dependencies.contains(module) { return nil }
      return Finding(
        file: file.path, line: number + 1,
        message: "imports \(module), which Package.swift does not declare for \(name)")
    }
  }

  /// `public import struct Deltas.Delta` → `Deltas`.
  static func imported(by line: String) -> String? {
    let access: Set = ["public", "package", "internal", "private", "fileprivate"]
    let kinds: Set = ["struct", "class", "enum", "protocol", "func", "let", "var", "typealias"]
    let words = line.split(whereSeparator: { $0.isWhitespace || $0 == "." }).map(String.init)
    let rest = words.drop { $0.hasPrefix("@") || access.contains($0) }
    guard rest.first == "import" else { return nil }
    return rest.dropFirst().first { !kinds.contains($0) }
  }
}

extension StringProtocol {
  /// The text without what satisfies the condition at either end.
  func trimming(while isUnwanted: (Character) -> Bool) -> String {
    let head = drop(while: isUnwanted)
    return String(head.reversed().drop(while: isUnwanted).reversed())
  }
}
