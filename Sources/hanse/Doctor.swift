import ArgumentParser
import Checkpoints
import Control
import Glibc
import Node
import Storage

/// `hanse doctor`: looks for what keeps a node from working.
struct Doctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look for what keeps this node from working, and say the way out.",
    discussion: """
      Looks at the key, the settings, the files that they name, the base model against the \
      charter, the disk, the daemon, this lab's seat, the clocks, and each other lab: which \
      addresses were tried, how far that came (name, port, TLS, version, clock, key, roster), and \
      what to do. What waits for this lab's word, such as a request to join, is noted and is no \
      fault. Changes nothing.

      EXAMPLE
        $ hanse doctor

      EXIT CODES
        0 nothing is wrong, 1 failed, 2 wrong use, 3 no home, 4 something is wrong
      """)

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let layout = home.layout
    guard layout.isHome else { throw layout.absence }
    var examination = Examination()
    examination.look("key") {
      _ = try KeyFile.read(in: layout)
      return "readable by its owner only"
    }
    look(at: layout, &examination)
    await ask(layout, &examination)
    let report = DoctorPage(findings: examination.findings)
    try Speech.say(report, json: page.json) { $0.lines($1) }
    if report.findings.contains(where: { !$0.ok }) {
      throw SilentEnd(code: ControlError.Kind.refused.exitCode)
    }
  }

  /// The settings, and the files that they name.
  private func look(at layout: HomeLayout, _ examination: inout Examination) {
    var settings: Configuration?
    examination.look("settings") {
      settings = try Configuration.read(layout.configuration)
      return layout.configuration
    }
    guard let settings else { return }
    examination.look("model") {
      let checkpoint = try Checkpoint.open(settings.model)
      return "\(checkpoint.architecture), \(settings.model)"
    }
    examination.look("base") {
      let count = try BaseComparison.run(home: layout, model: settings.model)
      return "\(count) files are those that the charter names"
    }
    examination.look("data") {
      for path in settings.data + (settings.heldOut ?? []) where access(path, R_OK) != 0 {
        throw ControlError(
          .notFound, "\(path): \(String(cString: strerror(errno)))",
          hint: "change `data` in \(layout.configuration)")
      }
      return "\(settings.data.count + (settings.heldOut?.count ?? 0)) files can be read"
    }
  }

  /// The disk, the daemon, and what it says of the others.
  private func ask(_ layout: HomeLayout, _ examination: inout Examination) async {
    var client: ControlClient?
    await examination.ask("daemon") {
      let candidate = try ControlClient(path: layout.controlSocket)
      guard try await candidate.isReachable() else {
        throw ControlError(
          .notRunning, "nobody answers at \(layout.controlSocket)",
          hint: "start it with `hansed --home \(layout.path)`")
      }
      client = candidate
      return "answers"
    }
    await examination.ask("disk") {
      let store = try Store(home: layout, readOnly: true)
      let (used, free) = (try store.diskBytes(), try store.freeBytes())
      // A few rounds of payloads, states and feedback of a middling adapter.
      guard free > 1 << 30 else {
        throw ControlError(.failed, "\(Figures.bytes(free)) free", hint: "free some space")
      }
      return "\(Figures.bytes(used)) used, \(Figures.bytes(free)) free"
    }
    guard let client else { return }
    var toDecide: [String] = []
    await examination.ask("status") {
      let status = try await client.status()
      toDecide = status.toDecide ?? []
      guard status.faults.isEmpty else {
        throw ControlError(.failed, status.faults.joined(separator: "; "))
      }
      return status.activity.rawValue + (status.detail.isEmpty ? "" : ", " + status.detail)
    }
    for question in toDecide { examination.remark("pending", question) }
    await askOfMembers(client, layout, &examination)
  }

  /// This lab's own seat, and each other lab.
  private func askOfMembers(
    _ client: ControlClient, _ layout: HomeLayout, _ examination: inout Examination
  ) async {
    await examination.ask("roster") {
      if let own = try await client.pending().ownFingerprint {
        throw ControlError(
          .failed, "the members have not let this lab in yet",
          hint: "one of them runs: hanse approve \(own)")
      }
      let roster = try await client.roster()
      guard let seat = roster.labs.first(where: \.isOwn) else {
        throw ControlError(
          .failed, "this lab is not on the roster of version \(roster.rosterVersion)",
          hint: "the members removed it; it may ask anew with another home: hanse join")
      }
      let keys = try KeyFile.readAll(in: layout).map(\.publicKey.fingerprint)
      guard keys.contains(seat.fingerprint) else {
        throw ControlError(
          .failed, "the roster names another key for this lab: \(seat.fingerprint)",
          hint: "restore that key, or have the members approve the new one: "
            + "hanse rotate-key --request prints the line")
      }
      return "version \(roster.rosterVersion), \(roster.labs.count) labs"
    }
    let peers = (try? await client.peers().peers) ?? []
    if let clock = LabDiagnosis.ownClock(peers) { examination.note("clock", clock) }
    let listens = (try? Configuration.read(layout.configuration)).map {
      $0.listen != nil || $0.advertise?.isEmpty == false
    }
    for peer in peers {
      let others = peers.contains { $0.lab != peer.lab && $0.link != .none }
      examination.note(
        "lab " + peer.lab.name,
        LabDiagnosis.of(
          peer, listens: listens ?? false, othersConnected: others,
          look: { Reachability.look(at: $0) }))
    }
  }
}

/// Collects what was found.
private struct Examination {
  var findings: [DoctorPage.Finding] = []

  mutating func look(_ subject: String, _ body: () throws -> String) {
    record(subject, Result { try body() })
  }

  mutating func ask(_ subject: String, _ body: () async throws -> String) async {
    do {
      record(subject, .success(try await body()))
    } catch {
      record(subject, .failure(error))
    }
  }

  /// Something that is not wrong, and that the operator should know.
  mutating func remark(_ subject: String, _ text: String) {
    findings.append(.init(subject: subject, ok: true, note: true, text: text))
  }

  mutating func note(_ subject: String, _ diagnosis: LabDiagnosis) {
    findings.append(
      .init(subject: subject, ok: diagnosis.ok, text: diagnosis.text, hint: diagnosis.hint))
  }

  private mutating func record(_ subject: String, _ result: Result<String, any Error>) {
    switch result {
    case .success(let text): findings.append(.init(subject: subject, ok: true, text: text))
    case .failure(let error):
      let failure = ControlError(error)
      findings.append(
        .init(subject: subject, ok: false, text: failure.message, hint: failure.hint))
    }
  }
}

/// What `hanse doctor --json` prints.
struct DoctorPage: Page {
  /// One thing that was looked at.
  struct Finding: Codable, Sendable, Equatable {
    var subject: String
    var ok: Bool
    /// True for what is not wrong and still wants an answer; absent otherwise.
    var note: Bool?
    var text: String
    var hint: String?
  }

  var findings: [Finding]

  func lines(_ style: PageStyle) -> [String] {
    findings.flatMap { finding in
      [
        (finding.note == true ? "note  " : finding.ok ? "ok    " : "WRONG ")
          + "\(PlainText.escape(finding.subject, limit: 40)): "
          + PlainText.escape(finding.text, limit: 400)
      ] + (finding.hint.map { ["      hint: " + PlainText.escape($0, limit: 400)] } ?? [])
    }
  }
}
