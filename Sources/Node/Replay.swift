import Control
import FoundationEssentials
import Identities
import Ledger
import Participation
import Records
import Storage

/// Replays a node's logs from the charter and compares what comes out with what labs attested.
struct Replay {
  let charter: Charter
  let store: Store
  let lab: LabID
  let head: Hanse_V1_Merge
  let own: PageWriter.Own
  /// What was found while the logs were read.
  let faults: [String]

  /// - Parameter fromSeal: start from the snapshots that the node keeps instead of from the
  ///   charter.
  func run(fromSeal: Bool, now: () -> Double) async throws -> VerifyPage {
    let start = now()
    // Every signature, every link of every chain, every roster change.
    let replayed = try HomeReplay(store, charter)
    var logbook = replayed.logbook
    let foundation = try HomeFoundation(store, in: &logbook, reads: true)
    // Where payloads were let go, the replay begins from the state that stands for them.
    let lowest = foundation.absent > 0 ? foundation.lowest : nil
    let only: Set<ContentID> =
      try fromSeal ? Set(store.snapshots()) : Set([lowest?.chain].compactMap { $0 })
    let folding = try Folding(charter: charter, store: store, only: only)
    var findings = faults
    if replayed.faults.map(\.description).contains(where: { !faults.contains($0) }) {
      findings += replayed.faults.map(\.description)
    }
    // A home that was just made has neither; one that lost its database has the rest.
    let isNew = try logbook.entryCount == 0 && store.objects().isEmpty && store.snapshots().isEmpty
    if logbook.entryCount == 0, !isNew {
      findings.append("\(store.home.database) holds no entry: there is nothing to replay")
    }
    findings += try damagedPayloads(in: logbook)
    findings += logbook.labs.compactMap { lab in
      logbook.forks[lab].map {
        "lab \(lab.short) signed two entries at sequence \($0.sequence): "
          + [$0.held, $0.other.id].sorted().map(\.short).joined(separator: " and ")
      }
    }
    var writer = PageWriter(logbook: logbook, lab: lab, head: head, headRoot: nil, own: own)
    var folded: [ContentID: ContentID] = [:]
    var progress = Progress()
    var merges = Self.attested(in: logbook)
    if !merges.contains(where: { $0.id == head.id }) { merges.append(head) }
    if let fault = foundation.fault, let lowest {
      findings.append(
        "the state of round \(lowest.round), which stands for payloads that are not here: \(fault)")
    }
    var beneath = 0
    for merge in merges.sorted(by: { $0.frontier.round < $1.frontier.round }) {
      do {
        let recipe = try logbook.recipe(for: merge)
        let result = try await folding.fold(recipe)
        folded[merge.id] = result.root
        progress.add(result, of: recipe, isHead: merge.id == head.id)
      } catch NodeError.missingPayload(let id)
        where foundation.fault == nil && foundation.absence(of: id) != nil
      {
        beneath += 1
      } catch  where merge.id != head.id && Self.mayCome(error, merge, head) {
        // Others attested what this node had not read all of when it stopped.
        continue
      } catch {
        let round = merge.frontier.round
        findings.append("merge \(merge.id.short) of round \(round): \(oneLine(error))")
      }
    }
    findings += Self.contradictions(in: logbook, folded)
    let contributions = (try? logbook.expand(head.frontier).count) ?? 0
    var page = writer.mergeHead()
    page.stateRoot = folded[head.id]?.description ?? ""
    return VerifyPage(
      ok: findings.isEmpty, fromSeal: fromSeal, entries: logbook.entryCount,
      contributions: contributions, rounds: Int(head.frontier.round), head: page,
      seconds: now() - start, findings: findings,
      notes: notes(foundation, beneath: beneath, isNew: isNew, in: logbook),
      replayed: progress.rounds(computed: true), taken: progress.rounds(computed: false))
  }

  /// Which states of the head's history this replay computed, and which it took as they were kept.
  private struct Progress {
    private var computed: Set<ContentID> = []
    /// The rounds in which something landed in the head, and the names of the states after them.
    private var landed: [(round: Int, name: ContentID)] = []

    mutating func add(_ result: Folding.Folded, of recipe: Folding.Recipe, isHead: Bool) {
      computed.formUnion(result.names.dropFirst(result.began + 1))
      guard isHead else { return }
      landed = zip(recipe.groups, result.names.dropFirst()).map { (Int($0.round), $1) }
    }

    /// In spans; a round in which nothing landed parts none.
    func rounds(computed isComputed: Bool) -> [RoundSpan] {
      var spans: [RoundSpan] = []
      var isOpen = false
      for (round, name) in landed {
        guard computed.contains(name) == isComputed else {
          isOpen = false
          continue
        }
        if isOpen {
          spans[spans.count - 1].until = round
        } else {
          spans.append(RoundSpan(since: round, until: round))
        }
        isOpen = true
      }
      return spans
    }
  }

  private func notes(
    _ foundation: HomeFoundation, beneath: Int, isNew: Bool, in logbook: Logbook
  ) -> [String]? {
    var notes = foundation.notes(in: logbook)
    if isNew { notes.append("nobody has written anything yet: this home's node was never started") }
    if beneath > 0 {
      notes.append(
        "\(beneath) attested merges beneath it were not replayed; with keep_payloads = \"all\" the "
          + "daemon fetches the payloads from labs that keep them")
    }
    return notes.isEmpty ? nil : notes
  }

  /// Whether an attested merge that is not the own head cannot be folded only for want of entries,
  /// or of payloads of later rounds, that are still to come.
  private static func mayCome(
    _ error: any Error, _ merge: Hanse_V1_Merge, _ head: Hanse_V1_Merge
  ) -> Bool {
    switch error {
    case LedgerError.missing, LedgerError.unsealed: true
    case NodeError.missingPayload: merge.frontier.round > head.frontier.round
    default: false
    }
  }

  /// Payloads on this disk that are not what their contribution announced, merged or not. One that
  /// is not here is no fault: retention may have let it go.
  private func damagedPayloads(in logbook: Logbook) throws -> [String] {
    logbook.contributionsInOrder.compactMap { state in
      guard let object = ContentID(bytes: state.message.payload.blockList) else { return nil }
      do {
        _ = try store.readObject(object)
        return nil
      } catch {
        return "contribution \(state.id.short) of round \(state.round): its payload: "
          + oneLine(error)
      }
    }
  }

  /// Every merge that any lab attested, each once.
  static func attested(in logbook: Logbook) -> [Hanse_V1_Merge] {
    var seen: Set<ContentID> = []
    var result: [Hanse_V1_Merge] = []
    for lab in logbook.labs {
      for entry in logbook.log(of: lab) {
        guard case .attestation(let attestation)? = entry.message.payload,
          seen.insert(attestation.merge.id).inserted
        else { continue }
        result.append(attestation.merge)
      }
    }
    return result
  }

  private static func contradictions(
    in logbook: Logbook, _ folded: [ContentID: ContentID]
  ) -> [String] {
    var findings: [String] = []
    for lab in logbook.labs {
      for entry in logbook.log(of: lab) {
        guard case .attestation(let attestation)? = entry.message.payload,
          let computed = folded[attestation.merge.id],
          let claimed = ContentID(bytes: attestation.stateRoot), claimed != computed
        else { continue }
        findings.append(
          "entry \(entry.id.short) of lab \(lab.short) attests root \(claimed.short) for merge "
            + "\(attestation.merge.id.short); the replay gives \(computed.short)")
      }
    }
    return findings
  }
}

extension Logbook {
  /// The merge of the latest round that any lab attested and that can be expanded here.
  var newestAttested: Hanse_V1_Merge? {
    var logbook = self
    return Replay.attested(in: self).sorted { $0.frontier.round > $1.frontier.round }
      .first { (try? logbook.recipe(for: $0)) != nil }
  }
}
