import Glibc

/// A stretch of an arena that was laid out before the arena existed.
public struct Slot: Sendable {
  /// Bytes from the arena's start, a multiple of 64.
  public let offset: Int
  /// Bytes asked for.
  public let bytes: Int
}

/// Where everything that a step needs will lie: slots are added first, memory comes once after.
public struct ArenaLayout: Sendable {
  /// Bytes laid out so far.
  public private(set) var size = 0

  /// An empty layout.
  public init() {}

  /// Room for `count` floats.
  public mutating func floats(_ count: Int) -> Slot {
    bytes(count * 4)
  }

  /// Room for `count` kept elements.
  public mutating func kept(_ count: Int, as storage: Storage) -> Slot {
    bytes(count * storage.elementBytes)
  }

  /// Room for `count` bytes.
  public mutating func bytes(_ count: Int) -> Slot {
    // One cache line between neighbours, so that two threads never write to the same one.
    let slot = Slot(offset: size, bytes: count)
    size += (count + 127) / 64 * 64
    return slot
  }
}

/// One zeroed mapping of memory that its slots share; given back whole.
public final class Arena {
  private let start: UnsafeMutableRawPointer
  /// Bytes mapped.
  public let bytes: Int

  /// Maps what the layout asks for. Ends the process with a message if the system has no memory
  /// left: nothing useful can be done without it.
  public init(_ layout: ArenaLayout) {
    // 2 MiB pages, where the system has them, save the address cache from thrashing.
    let large = 1 << 21
    bytes = (max(layout.size, 1) + 4095) / 4096 * 4096
    let memory = mmap(
      nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      fatalError("out of memory: \(bytes >> 20) MiB for model and activations are not to be had")
    }
    if bytes >= large { madvise(memory, bytes, MADV_HUGEPAGE) }
    start = memory
  }

  deinit { munmap(start, bytes) }

  /// The slot's first float.
  public func floats(_ slot: Slot) -> UnsafeMutablePointer<Float> {
    (start + slot.offset).assumingMemoryBound(to: Float.self)
  }

  /// The slot's first byte.
  public func bytes(_ slot: Slot) -> UnsafeMutableRawPointer { start + slot.offset }
}

/// An arena with one slot of floats.
public final class FloatBuffer {
  private let arena: Arena
  private let slot: Slot
  /// Floats in the buffer.
  public let count: Int

  /// `count` zeros.
  public init(count: Int) {
    var layout = ArenaLayout()
    slot = layout.floats(count)
    arena = Arena(layout)
    self.count = count
  }

  /// The first float.
  public var start: UnsafeMutablePointer<Float> { arena.floats(slot) }

  /// All floats.
  public var values: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: start, count: count)
  }
}
