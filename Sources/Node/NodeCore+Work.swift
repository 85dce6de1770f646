import Adapters
import Control
import Deltas
import FoundationEssentials
import Gossip
import Identities
import Ledger
import Logging
import Participation
import Records
import Storage
import Trainers

extension NodeCore {
  /// What the round loop says it is doing.
  func set(_ kind: Activity.Kind, _ detail: String) {
    let isNew = activity.kind != kind || activity.detail != detail
    activity.reason = nil
    begin(kind, detail, isNew: isNew)
  }

  /// From now on the worker waits. The log has the reason once: seconds that are counted down, and
  /// payloads that come, are for `hanse status` alone.
  func wait(for reason: Waiting) {
    let isNew = activity.kind != .waiting || activity.reason?.isSame(but: reason) != true
    activity.reason = reason
    begin(.waiting, words(reason), isNew: isNew)
  }

  private func begin(_ kind: Activity.Kind, _ detail: String, isNew: Bool) {
    if isNew { log.info("\(kind.rawValue): \(detail)") }
    let was = activity.kind.isWork
    activity.begin(kind)
    activity.detail = detail
    activity.progress = nil
    if kind.isWork != was { keepPace() }
    systemd.status("\(kind.rawValue): \(detail)")
  }

  /// Tells the mesh how fast payloads may move now.
  func keepPace() {
    guard let network = configuration.network else { return }
    handle(.pace(network.pace(training: activity.kind.isWork)))
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

  /// What the worker is to do next.
  ///
  /// - Parameter last: the round to stop after, if there is one.
  func nextStep(last: UInt32?) -> Step {
    handle(.workerIsFree(last: last))
    defer { offered = nil }
    return offered ?? .wait(.attestations)
  }

  /// What a merge is folded from.
  func recipe(for merge: Hanse_V1_Merge) throws -> Folding.Recipe {
    let groups = try participant.landingGroups(of: merge)
    return Folding.Recipe(merge, groups: groups, in: logbook)
  }

  /// How much a judge's loss may rise, in nats per token, under the roster that the contribution
  /// was made under.
  func tolerance(for contribution: ContributionState) -> Double {
    let roster = logbook.roster(version: contribution.entry.rosterVersion) ?? logbook.roster
    return Double(roster.rules.judging.toleranceMicronats) / 1e6
  }

  /// Remembers the held-out loss of the head.
  func noteLoss(_ nats: Double, of merge: ContentID) throws {
    guard merge == head.id else { return }
    var changes = [HeldOut.change(OwnValue.nowLoss, nats)]
    if HeldOut.read(store).start == nil {
      changes.append(HeldOut.change(OwnValue.startLoss, nats))
    }
    try store.commit(changes)
    handle(.measured(merge: merge))
  }

  /// Announces a trained delta: the payload is durable first, then the entry, then others hear.
  func publish(
    _ delta: Delta, _ facts: Hanse_V1_Contribution, feedback: [Float]
  ) throws {
    guard !participant.hasContributed(round: facts.round, attempt: facts.attempt) else { return }
    let bytes = delta.pack()
    let list = try BlockList(of: bytes)
    let object = list.id
    try store.addObject(Self.objectList(list, id: object), bytes)
    var message = facts
    message.payload = try delta.payload(packed: bytes)
    message.factorNorms = delta.factorNorms()
    // Before the entry: a crash between the two leaves a file that nothing names.
    try store.writeWork("feedback-\(object)") { append in
      feedback.withUnsafeBytes(append)
    }
    handle(.trained(message))
  }

  /// Forgets what earlier deltas left unsaid: one buffer is in use, and those of own contributions
  /// that may still be admitted.
  func pruneFeedback(keeping objects: [ContentID]) throws {
    var needed = Set(objects.map { "feedback-\($0)" })
    if let bytes = try? store.value(OwnValue.feedback), let id = ContentID(bytes: bytes) {
      needed.insert("feedback-\(id)")
    }
    for name in try store.workNames() where name.hasPrefix("feedback-") && !needed.contains(name) {
      try store.removeWork(name)
    }
  }

  /// What the last admitted delta of this lab left unsaid; empty before there is one.
  func feedback() throws -> [Float] {
    do {
      guard let bytes = try store.value(OwnValue.feedback) else { return [] }
      let kept = try ContentID(bytes: bytes).flatMap { id in
        try store.readWork("feedback-\(id)") { reader in
          guard reader.byteCount == layout.count * MemoryLayout<Float>.size else { return nil }
          var kept = [Float](repeating: 0, count: layout.count)
          return kept.withUnsafeMutableBytes { reader.fill($0) } ? kept : nil
        } as [Float]??
      }
      guard let kept, let kept else {
        throw NodeError.notFound("what the last contribution left unsaid")
      }
      return kept
    } catch {
      // It only sharpens the next delta: without it that begins from what was trained alone.
      log.warning("error feedback is lost: \(oneLine(error))")
      return []
    }
  }
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
