import Gossip
import Identities
import Ledger
import Participation
import Records

/// Runs schedules: a time of troubles, then a calm in which everything must come right.
package enum Simulator {
  /// Virtual seconds after the troubles in which all healthy nodes must stand on one root.
  package static func patience(_ schedule: Schedule) -> Double {
    600 + 240 * Double(schedule.rounds)
  }

  /// Runs one schedule to its end or to the first thing that must not happen.
  ///
  /// - Throws: what is wrong with the schedule itself.
  package static func run(_ schedule: Schedule) throws -> Outcome {
    let world = try World(schedule)
    world.run(until: world.troubleSeconds)
    let end = world.troubleSeconds + patience(schedule)
    var checkedAt: UInt64 = 0
    world.run(
      until: end,
      or: {
        guard world.time >= checkedAt else { return false }
        checkedAt = world.time + 1_000_000_000
        return world.isCalm && world.isAtOne
      })
    if world.watch.violations.isEmpty { world.checkLiveness() }
    return world.outcome
  }
}

extension World {
  /// Honest members that are to arrive with the others.
  var healthy: [SimulatedNode] {
    nodes.filter { $0.isHonest && !$0.isRemoved && $0.hasJoined }
  }

  /// Whether all healthy nodes have finished the last round on one root and know the same entries.
  var isAtOne: Bool { areAtOne(healthy) }

  private func areAtOne(_ nodes: [SimulatedNode]) -> Bool {
    var first: (root: ContentID, members: [UInt8], entries: [LabID: UInt64])?
    for node in nodes {
      guard let participant = node.participant, participant.isMember,
        participant.round >= schedule.rounds, let root = participant.headRoot, !node.isWorking,
        !node.isSyncing, node.inbox.isEmpty
      else { return false }
      let members = Array(participant.head.frontier.members)
      guard let one = first else {
        first = (root, members, lengths(node))
        continue
      }
      guard one.root == root, one.members == members, one.entries == lengths(node) else {
        return false
      }
    }
    return first != nil
  }

  /// How far the logs of honest labs reach at a node.
  private func lengths(_ node: SimulatedNode) -> [LabID: UInt64] {
    var result: [LabID: UInt64] = [:]
    for other in nodes where other.isHonest && !other.isRemoved {
      result[other.lab] = node.disk.lengths[other.lab] ?? 0
    }
    return result
  }

  /// After the calm everybody must have arrived; says who has not, and where it stands.
  func checkLiveness() {
    guard !isAtOne else { return }
    // Whoever waits to be admitted, or for a new key, then waits; the other members are at one all
    // the same.
    let members = healthy.filter { $0.participant?.isMember == true && !$0.hasLostKey }
    if hasSplitVote, areAtOne(members) { excuse = "a split vote" }
    if areTooFewToBegin { excuse = "too few labs to begin" }
    guard excuse == nil else { return }
    let some = healthy.compactMap { self.members(of: $0) }.max { $0.count < $1.count } ?? []
    let places = healthy.map { node -> String in
      guard let participant = node.participant else { return "\(node.index): down" }
      let root = participant.headRoot?.short ?? "-"
      let state =
        !participant.isMember ? "no member" : participant.maySign ? "" : "may not sign"
      let reached = nodes.map { "\(node.disk.lengths[$0.lab] ?? 0)" }.joined(separator: " ")
      let met = participant.mesh.connectedLabs.compactMap { indexOf[$0] }.sorted()
      let step = Self.words(node.lastStep) + differences(of: node, from: some)
      let gone = participant.wanted.count { object in
        !healthy.contains { $0.disk.objects[object]?.isComplete == true }
      }
      return "\(node.index): round \(participant.round) \(root) \(state) (\(step)), "
        + "\(participant.catchingUp), \(gone) of them nowhere, "
        + "logs \(reached), connected to \(met), \(votes(at: participant))\n   "
    }
    watch.report(
      "not at one \(Int(Simulator.patience(schedule))) s after the troubles: "
        + places.prefix(12).joined(separator: "; "), at: seconds)
  }

  /// What is voted on at a node, in words.
  private func votes(at participant: Participant) -> String {
    let open = participant.logbook.openProposals.map { proposal in
      "\(proposal.approvers.count) of \(proposal.needed) for \(proposal.id.short)"
        + ", attempt \(proposal.message.attempt)\(proposal.canPass ? "" : ", dead")"
    }
    return "roster \(participant.logbook.roster.version), votes: [\(open.joined(separator: "; "))]"
  }

  /// The contributions of a node's head; nil when they cannot be told.
  private func members(of node: SimulatedNode) -> [ContentID]? {
    guard var book = node.process?.participant.logbook, let head = node.process?.participant.head
    else { return nil }
    return (try? book.expand(head.frontier)).map { book.members(of: $0) }
  }

  /// What a node's head has and lacks, beside another's, and what the node makes of it.
  private func differences(of node: SimulatedNode, from some: [ContentID]) -> String {
    guard let own = members(of: node), let participant = node.participant else { return "" }
    func tell(_ id: ContentID, _ sign: String) -> String {
      guard let state = participant.logbook.contribution(id) else {
        return " \(sign)\(id.short) unknown"
      }
      let author = indexOf[state.author] ?? -1
      var book = participant.logbook
      let base: String
      do {
        base = "base of \(try book.base(of: state).count)"
      } catch {
        base = "\(error)" + unsealed(state.message.base.frontier.seal, in: book)
      }
      let held = (participant.isHeld(state) ? "held, " : "not held, ") + base
      return " \(sign)\(id.short) of \(author), round \(state.round).\(state.message.attempt), "
        + "\(state.status), \(held)"
    }
    return own.filter { !some.contains($0) }.map { tell($0, "+") }.joined()
      + some.filter { !own.contains($0) }.map { tell($0, "-") }.joined()
  }

  /// The places of a seal that a ledger has not sealed, with who attested how far.
  private func unsealed(_ seal: Hanse_V1_Seal, in book: Logbook) -> String {
    let places = seal.prefixes.filter { prefix in
      var one = seal
      one.prefixes = [prefix]
      return !book.isAttested(one)
    }
    return places.map { prefix in
      guard let lab = LabID(bytes: prefix.lab) else { return "" }
      let reach = nodes.map { "\(book.coverage(of: lab, by: $0.lab))" }.joined(separator: " ")
      let fork = book.forks[lab].map { ", forked at \($0.sequence)" } ?? ""
      return " [log of \(indexOf[lab] ?? -1) at \(prefix.sequence), attested to \(reach)\(fork), "
        + "rosters \(book.seal.rosterVersion) of \(book.roster.version)]"
    }.joined()
  }

  /// Whether the roster cannot change any more because honest labs have voted for different changes
  /// of which two can still be enacted, and the votes that could decide are those of labs that
  /// never vote: Protocol/Ledger.md, "Roster", has no way out of that but their votes.
  var hasSplitVote: Bool {
    let able = healthy.filter { !$0.hasLostKey && $0.process?.participant.isMember == true }
    guard let book = able.first?.process?.participant.logbook,
      let attempt = book.openProposals.map(\.message.attempt).max()
    else { return false }
    let open = book.openProposals.filter { $0.message.attempt == attempt }
    let voters = open.flatMap(\.approvers)
    return open.count(where: \.canPass) > 1
      && able.allSatisfy { voters.contains($0.lab) }
  }

  /// Whether the members removed a lab before as many were there as the charter wants for round 1:
  /// the rest wait for another, as they should.
  var areTooFewToBegin: Bool {
    let nodes = healthy.compactMap(\.participant)
    guard let first = nodes.first else { return false }
    let needed = Int(first.charter.message.round.labsToBegin)
    return nodes.allSatisfy { $0.round == 0 && $0.logbook.roster.members.count < needed }
  }

  var outcome: Outcome {
    var heads: [ContentID] = []
    var round: UInt32 = 0
    var counts = ReceivedCounts()
    var fresh = 0
    var fetched = 0
    for node in nodes {
      if let participant = node.participant { add(participant.mesh.received, to: node) }
      counts.entries += node.received.entries
      counts.blockBytes += node.received.blockBytes
      fresh += node.fresh
      fetched += node.fetchedBytes
    }
    for node in healthy {
      guard let participant = node.participant, let root = participant.headRoot else { continue }
      round = max(round, participant.round)
      if !heads.contains(root) { heads.append(root) }
    }
    return Outcome(
      seed: schedule.seed, trace: trace, roots: heads.count, round: round,
      redundancy: fresh == 0 ? 0 : max(0, Double(counts.entries) / Double(fresh) - 1),
      missed: missed, payloadRatio: fetched == 0 ? 1 : Double(counts.blockBytes) / Double(fetched),
      statesFetched: statesFetched, falseSnapshots: falseSnapshots,
      keysReplaced: keysReplaced, haveRulesChanged: haveRulesChanged,
      payloadsLetGo: payloadsLetGo, virtualSeconds: seconds, happenings: happenings,
      violations: watch.violations, excuse: watch.violations.isEmpty ? excuse : nil,
      weather: faults.map(\.rawValue) + weatherLog)
  }

  private var keysReplaced: Int {
    let rosters = healthy.compactMap { $0.process?.participant.logbook.roster }
    let newest = rosters.max { $0.version < $1.version }
    return newest?.members.count { LabID(firstKey: $0.key) != $0.lab } ?? 0
  }

  private var haveRulesChanged: Bool {
    healthy.contains { node in
      guard let book = node.process?.participant.logbook else { return false }
      return book.roster.rules != book.roster(version: 1)?.rules
    }
  }

  /// Entries of honest labs that one healthy node has and another has not.
  private var missed: Int {
    var total = 0
    for author in nodes where author.isHonest && !author.isRemoved {
      let reached = healthy.map { Int($0.disk.lengths[author.lab] ?? 0) }
      let most = reached.max() ?? 0
      total += reached.reduce(0) { $0 + most - $1 }
    }
    return total
  }
}
