import Gossip
import Identities
import Ledger
import Participation
import Records

/// What came of a federation of five labs of which two were cut off from the other three.
package struct Division: Sendable {
  /// The rounds that the three and the two stood in when they met again.
  package var many: UInt32 = 0
  package var few: UInt32 = 0
  /// What the two waited for, in words.
  package var reasons: [String] = []
  /// Whether the three had sealed anything of what they did alone.
  package var isSealedApart = false
  /// Virtual seconds from the healing until all stood on one head, and until all had sealed it; nil
  /// when that did not happen.
  package var secondsToOneHead: Double?
  package var secondsToSeal: Double?
  /// What must not happen and did.
  package var violations: [String] = []
}

extension Simulator {
  /// Lets five labs do a round together, keeps two of them from the others until those have done
  /// all rounds, and lets them meet again.
  ///
  /// - Throws: what is wrong with the schedule itself.
  package static func divide(seed: UInt64, rounds: UInt32) throws -> Division {
    let world = try World(Schedule(nodes: 5, rounds: rounds, seed: seed, faults: []))
    let (many, few) = (Array(world.nodes[..<3]), Array(world.nodes[3...]))
    let end = world.troubleSeconds
    world.run(until: end, or: { world.nodes.allSatisfy { $0.round >= 1 } })
    var pairs: [(from: Int, to: Int)] = []
    for one in many {
      for other in few {
        pairs += [(one.index, other.index), (other.index, one.index)]
      }
    }
    world.block(pairs, true)
    world.run(until: end, or: { many.allSatisfy { $0.round >= rounds } })
    var division = Division()
    division.many = many.map(\.round).min() ?? 0
    division.few = few.map(\.round).max() ?? 0
    division.reasons = few.map { World.words($0.lastStep) }
    division.isSealedApart = many.contains { $0.hasSealedHead }
    let healed = world.seconds
    world.block(pairs, false)
    world.run(until: healed + 600, or: { world.haveOneHead })
    if world.haveOneHead { division.secondsToOneHead = world.seconds - healed }
    world.run(
      until: healed + 600,
      or: { world.haveOneHead && world.nodes.allSatisfy { $0.hasSealedHead } })
    if world.haveOneHead, world.nodes.allSatisfy({ $0.hasSealedHead }) {
      division.secondsToSeal = world.seconds - healed
    }
    division.violations = world.watch.violations
    return division
  }
}

extension World {
  /// Whether all nodes stand on one head that they have folded.
  fileprivate var haveOneHead: Bool {
    let roots = nodes.map { $0.process?.participant.headRoot }
    return roots.allSatisfy { $0 != nil && $0 == roots[0] }
  }
}

extension SimulatedNode {
  /// The round that it stands in; 0 while it is down.
  fileprivate var round: UInt32 { process?.participant.round ?? 0 }

  /// Whether what it stands on is final.
  fileprivate var hasSealedHead: Bool {
    guard var book = process?.participant.logbook, let head = process?.participant.head else {
      return false
    }
    return book.isSealed(head.frontier)
  }
}
