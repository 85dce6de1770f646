import Adapters
import Control
import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Records
import Storage
import Trainers

extension NodeCore {
  /// What the round loop says it is doing.
  func set(_ kind: Activity.Kind, _ detail: String) {
    if activity.kind != kind || activity.detail != detail {
      log.info("\(kind.rawValue): \(detail)")
    }
    activity.kind = kind
    activity.detail = detail
    activity.progress = nil
    systemd.status("\(kind.rawValue): \(detail)")
  }

  /// How far the worker's job has come.
  func show(_ progress: WorkerProgress) {
    guard activity.kind == .training || activity.kind == .judging else { return }
    activity.progress = Double(progress.done) / Double(max(1, progress.all))
    if progress.phase == "training", let loss = progress.loss {
      let thousandths = Int((loss * 1000).rounded())
      activity.detail =
        "round \(round + 1), step \(progress.done)/\(progress.all), "
        + "loss \(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())"
    }
  }

  /// Remembers the held-out loss at the head.
  func noteLoss(_ nats: Double) throws {
    measured = head.id
    var changes = [HeldOut.change(OwnValue.nowLoss, nats)]
    if HeldOut.read(store).start == nil {
      changes.append(HeldOut.change(OwnValue.startLoss, nats))
    }
    try store.commit(changes)
  }

  /// Signs this lab's verdict, unless it has spoken already.
  func verdict(
    on contribution: ContentID, _ reason: Hanse_V1_Reason, before: LossReport?, after: LossReport?
  ) throws {
    guard let state = logbook.contribution(contribution),
      !state.judgements.contains(where: { $0.judge == lab })
    else { return }
    var verdict = Hanse_V1_Verdict()
    verdict.contribution = Data(contribution.bytes)
    verdict.accept = reason == .accepted
    verdict.reason = reason
    verdict.lossBeforeMicronats = before.map { RoundRunner.micronats($0.natsPerToken) } ?? 0
    verdict.lossAfterMicronats = after.map { RoundRunner.micronats($0.natsPerToken) } ?? 0
    verdict.tokens = UInt64(after?.tokens ?? 0)
    try sign(.verdict(verdict))
  }

  /// Announces a trained delta: the payload is durable first, then the entry, then others hear.
  func publish(
    _ delta: Delta, _ facts: Hanse_V1_Contribution, feedback: [Float]
  ) throws {
    let taken = logbook.contributionsInOrder.contains {
      $0.author == lab && $0.round == facts.round && $0.message.attempt == facts.attempt
    }
    guard !taken else { return }
    let bytes = delta.pack()
    let list = try BlockList(of: bytes)
    let object = list.id
    try store.addObject(Self.objectList(list, id: object), bytes)
    var message = facts
    message.payload.codec = delta.tier.name
    message.payload.size = UInt64(bytes.count)
    message.payload.decodedSize = UInt64(delta.exponents.count + delta.symbols.count)
    message.payload.blockList = Data(object.bytes)
    message.payload.symbols = Data(delta.symbolsHash().bytes)
    message.factorNorms = delta.factorNorms()
    // Before the entry: a crash between the two leaves a file that nothing names.
    try store.writeWork("feedback-\(object)", feedback.withUnsafeBytes { Array($0) })
    heldObjects.insert(object)
    try sign(.contribution(message))
    tell(.held(object))
  }

  /// What the last admitted delta of this lab left unsaid; empty before there is one.
  func feedback() throws -> [Float] {
    let buffer: [UInt8]
    do {
      guard let bytes = try store.value(OwnValue.feedback) else { return [] }
      guard let id = ContentID(bytes: bytes), let kept = try store.readWork("feedback-\(id)"),
        kept.count == layout.count * MemoryLayout<Float>.size
      else { throw NodeError.notFound("what the last contribution left unsaid") }
      buffer = kept
    } catch {
      // It only sharpens the next delta: without it that begins from what was trained alone.
      log.warning("error feedback is lost: \(oneLine(error))")
      return []
    }
    return buffer.withUnsafeBytes { raw in
      (0..<layout.count).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
    }
  }

  /// Leaves a round without a contribution, for a lab whose training changed nothing.
  func abstain(from round: UInt32) { abstained = round }
}

extension NodeCore {
  /// Touches the database from the node's own queue; only then is the watchdog told.
  func pulse() {
    do {
      _ = try store.valueNames()
      systemd.watchdog()
    } catch {
      fail(error)
    }
  }
}
