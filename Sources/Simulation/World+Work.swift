import Adapters
import Deltas
import Determinism
import FoundationEssentials
import Identities
import Ledger
import Participation
import Records

/// The worker: real deltas and real folds, and losses by script.
extension World {
  func begin(_ step: Step, at node: SimulatedNode) {
    node.lastStep = step
    let labour: Labour
    let took: Double
    switch step {
    case .wait, .finish: return
    // What is run ahead changes nothing that others could see.
    case .ahead(let merge): return answer(node, .prepared(merge: merge.id), after: 0.01)
    case .judge(let state):
      labour = .judge(state.id, judgement(of: state, by: node))
      took = node.judgeSeconds * draw(0.5, 1.5)
    case .train(let round, let attempt, let rejections):
      guard let trained = train(node, round, attempt, rejections) else {
        return answer(node, .abstained(round: round), after: node.trainSeconds)
      }
      labour = trained
      took = node.trainSeconds * draw(0.7, 1.3)
    case .adopt(let merge):
      labour = .adopt(merge)
      took = 0.2 * draw(0.5, 1.5)
    case .measure:
      guard let head = node.process?.participant.head else { return }
      labour = .measure(head.id)
      took = node.judgeSeconds
    }
    node.isWorking = true
    queue.add(.done(node: node.index, life: node.life, labour), at: time + ns(took))
  }

  /// What a worker was last told to do, in words.
  static func words(_ step: Step?) -> String {
    switch step {
    case nil: "nothing yet"
    case .wait(let waiting): "wait: \(waiting)"
    case .judge(let state): "judge \(state.id.short) of round \(state.round)"
    case .train(let round, let attempt, _): "train round \(round), try \(attempt)"
    case .adopt(let merge): "adopt a merge of round \(merge.frontier.round)"
    case .measure: "measure"
    case .ahead(let merge): "train ahead from a merge of round \(merge.frontier.round)"
    case .finish: "finish"
    }
  }

  func finish(_ labour: Labour, at node: SimulatedNode) {
    switch labour {
    case .judge(let contribution, let judgement): tell(node, .judged(contribution, judgement))
    case .train(let message, let object, let bytes):
      if let list = try? BlockList(of: bytes) { node.disk.add(object, list, bytes) }
      tell(node, .trained(message))
    case .adopt(let merge): adopt(merge, at: node)
    case .measure(let merge): tell(node, .measured(merge: merge))
    }
    look(node)
  }

  // MARK: judging

  /// Loss with and without a delta, as this judge's text would have it: a script that only the
  /// contribution and the judge decide. The first try of some contributions goes too far.
  private func judgement(of state: ContributionState, by node: SimulatedNode) -> Judgement {
    do {
      _ = try folds.delta(of: state.id, state.message) { self.payload(of: state, at: node) }
    } catch {
      return Judgement(reason: .undecodable)
    }
    let before: UInt64 = 2_000_000
    let isTooFar = word(state.id.bytes, 1) % 16 == 0
    let isPicky = word(state.id.bytes + node.lab.bytes, 2) % 64 == 0
    let after = isTooFar || isPicky ? before + 300_000 : before - 10_000
    let book = node.process?.participant.logbook
    let rules = book?.roster(version: state.entry.rosterVersion)?.rules.judging
    var accepts = after <= before + (rules ?? charter.message.judging).toleranceMicronats
    if node.vice == .liars, chance.nextUnit() < 0.5 { accepts.toggle() }
    return Judgement(
      reason: accepts ? .accepted : .lossRose, before: before, after: after, tokens: 4096)
  }

  func payload(of state: ContributionState, at node: SimulatedNode) -> [UInt8]? {
    state.object.flatMap { node.disk.bytes(of: $0) }
  }

  private func word(_ bytes: [UInt8], _ salt: UInt8) -> UInt64 {
    let id = ContentID(
      of: bytes + [salt] + schedule.seed.littleEndianBytes, kind: .vote)
    return id.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  // MARK: training

  private func train(
    _ node: SimulatedNode, _ round: UInt32, _ attempt: UInt32, _ rejections: [ContentID]
  ) -> Labour? {
    guard let head = node.process?.participant.head else { return nil }
    let size = Float(0.01) * Float(sign: .plus, exponent: -2 * Int(attempt - 1), significand: 1)
    let wanted = (0..<folds.layout.count).map { _ in size * (Float(chance.nextUnit()) - 0.5) }
    guard let (delta, _) = try? Delta.quantise(wanted: wanted, layout: folds.layout),
      !delta.isZero
    else { return nil }
    let bytes = delta.pack()
    guard let payload = try? delta.payload(packed: bytes),
      let object = ContentID(bytes: payload.blockList)
    else { return nil }
    var message = Hanse_V1_Contribution()
    message.base = head
    message.round = round
    message.attempt = attempt
    message.rejections = rejections.map { Data($0.bytes) }
    message.payload = payload
    message.factorNorms = delta.factorNorms()
    watch.trained(delta, from: head, norms: message.factorNorms, node, seconds: seconds)
    message.tokens = UInt64(1000 + pick(1000))
    message.steps = 10
    message.engine = "script"
    if node.vice == .liars, chance.nextUnit() < 0.3, !message.factorNorms.isEmpty {
      message.factorNorms[0] += 1
    }
    if node.vice == .liars, chance.nextUnit() < 0.1 {
      message.base.frontier.round = .max - 1
      message.round = .max
    }
    return .train(message, object: object, bytes: bytes)
  }

  // MARK: merging

  private func adopt(_ merge: Hanse_V1_Merge, at node: SimulatedNode) {
    do {
      guard let groups = try node.process?.participant.landingGroups(of: merge),
        let book = node.process?.participant.logbook
      else { return }
      watch.folds(groups, of: merge, node, seconds: seconds)
      if let lacking = folds.lacking(groups, in: book, at: node).first {
        throw Folds.Missing(contribution: lacking)
      }
      var root = try folds.root(groups, in: book) { folds, id in
        guard let state = book.contribution(id) else { throw Folds.Missing(contribution: id) }
        return try folds.delta(of: id, state.message) { self.payload(of: state, at: node) }
      }
      if node.vice == .liars { root = ContentID(of: root.bytes, kind: .state) }
      watch.folded(merge, groups, root, node, seconds: seconds)
      // Durable before the head that rests on it.
      node.disk.keep(folds.chain(of: groups, in: book))
      tell(node, .folded(merge, root: root))
    } catch is LedgerError {
      // What was to be folded no longer counts: the node looks for another head.
      mark(time, 5)
    } catch {
      guard node.isHonest else { return }
      watch.report(
        "node \(node.index) cannot fold merge \(merge.id.short) of round "
          + "\(merge.frontier.round): \(error)", at: seconds)
    }
  }
}
