import Gossip
import Participation
import Records

/// Something that is to happen to a node, or to the world.
enum Happening {
  /// The participant is told something, unless it died in between.
  case event(node: Int, life: Int, ParticipantEvent)
  /// A frame arrives.
  case frame(node: Int, life: Int, wire: Int, ConnectionID, Hanse_V1_Frame)
  /// Time for a node's tick.
  case tick(node: Int, life: Int)
  /// What was directed goes on after a sync.
  case resume(node: Int, life: Int)
  /// The worker looks for work.
  case look(node: Int, life: Int)
  /// The worker is done.
  case done(node: Int, life: Int, Labour)
  /// A node's operator looks what there is to approve.
  case operate(node: Int)
  /// The weather changes.
  case weather(Weather)

  /// The node it happens to; nil for the world.
  var node: Int? {
    switch self {
    case .event(let node, _, _), .frame(let node, _, _, _, _), .tick(let node, _),
      .resume(let node, _), .look(let node, _), .done(let node, _, _), .operate(let node):
      node
    case .weather: nil
    }
  }
}

/// Happenings by time, and by order of being scheduled among those of one time.
struct HappeningQueue {
  private struct Place {
    var time: UInt64
    var order: UInt64
    var slot: Int

    func precedes(_ other: Place) -> Bool {
      time == other.time ? order < other.order : time < other.time
    }
  }

  private var heap: [Place] = []
  private var slots: [Happening?] = []
  private var free: [Int] = []
  private var order: UInt64 = 0

  var isEmpty: Bool { heap.isEmpty }
  /// When the next happening is due, in nanoseconds.
  var nextTime: UInt64? { heap.first?.time }

  mutating func add(_ happening: Happening, at time: UInt64) {
    let slot: Int
    if let last = free.popLast() {
      slot = last
      slots[slot] = happening
    } else {
      slot = slots.count
      slots.append(happening)
    }
    heap.append(Place(time: time, order: order, slot: slot))
    order += 1
    var child = heap.count - 1
    while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func next() -> (time: UInt64, happening: Happening)? {
    guard let first = heap.first, let happening = slots[first.slot] else { return nil }
    slots[first.slot] = nil
    free.append(first.slot)
    heap[0] = heap[heap.count - 1]
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].precedes(heap[least]) { least = child }
      guard least != parent else { break }
      heap.swapAt(parent, least)
      parent = least
    }
    return (first.time, happening)
  }
}
