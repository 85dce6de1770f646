import Control
import Foundation
import Glibc
import Identities
import Records
import Storage
import Testing

/// Who has no business in a federation of real daemons is kept out of it, changes nothing there,
/// and is told why.
@Suite(
  .serialized,
  .enabled(if: ProcessInfo.processInfo.environment["HANSE_TESTS"] == "full", "HANSE_TESTS=full"))
struct KeptOutTests {
  /// Asks to join with a ticket, which must be refused with these words and leave no home behind.
  private func isRefused(
    _ lab: String, _ ticket: String, _ reason: String, _ labs: LocalFederation
  ) throws {
    let result = try labs.hanse(["join", ticket] + labs.own(lab, 1))
    #expect(result.code == 4, "\(result.errors)")
    #expect(result.errors.contains(reason), "\(result.errors)")
    #expect(result.errors.contains("hint: "), "\(result.errors)")
    #expect(!labs.home(lab).isHome)
  }

  private func ticket(_ labs: LocalFederation, _ options: [String] = []) throws -> String {
    try labs.succeed(["invite", "--home", labs.home("de").path] + options).output
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// The roster's version, and who asks to be let in, as each lab has them.
  private func state(_ labs: LocalFederation, _ members: [String]) throws -> [[String]] {
    try members.map { lab in
      let requests = try labs.page(PendingPage.self, lab, "pending").requests.map(\.fingerprint)
      return [try "\(labs.page(RosterPage.self, lab, "roster").rosterVersion)"] + requests
    }
  }

  @Test func ticketsThatAreNoneGetNobodyIn() async throws {
    try await offPool {
      let labs = try LocalFederation(labs: ["de", "fr"])
      let once = try ticket(labs)
      try labs.succeed(["join", once] + labs.own("pt", 2))
      try labs.wait("both have the request") {
        try state(labs, ["de", "fr"]).allSatisfy { $0.count == 2 }
      }
      let before = try state(labs, ["de", "fr"])
      try isRefused("it", once, "the ticket has been used already", labs)
      var message = try TicketText.read(ticket(labs))
      message.federation = Data(ContentID(of: [1], kind: .charter).bytes)
      try isRefused("it", TicketText.write(message), "this is another federation", labs)
      message = try TicketText.read(ticket(labs))
      message.invitationSeed = Data(SigningKey.generate().seed)
      try isRefused(
        "it", TicketText.write(message), "no member has announced this ticket", labs)
      message = try TicketText.read(ticket(labs))
      for index in message.contacts.indices {
        message.contacts[index].key = Data(SigningKey.generate().publicKey.bytes)
      }
      let other = try labs.hanse(["join", TicketText.write(message)] + labs.own("it", 1))
      #expect(other.code != 0 && other.errors.contains("instead of the expected"))
      message = try TicketText.read(ticket(labs))
      message.expiresSeconds = 1
      let old = try labs.hanse(["join", TicketText.write(message)] + labs.own("it", 1))
      #expect(old.code != 0 && old.errors.contains("this ticket has expired"), "\(old.errors)")
      #expect(!labs.home("it").isHome)
      #expect(try state(labs, ["de", "fr"]) == before)
      // Whose clock is wrong, or who says so: the members' own clocks count.
      let short = try TicketText.read(ticket(labs, ["--expires", "60s"]))
      var late = short
      late.expiresSeconds += 1 << 20
      let wait = Int(short.expiresSeconds) - Int(time(nil))
      usleep(UInt32(max(0, wait) + 1) * 1_000_000)
      try isRefused("it", TicketText.write(late), "the ticket has expired", labs)
      #expect(try state(labs, ["de", "fr"]) == before)
    }
  }

  @Test func oneApprovalLessChangesNothingAndARemovedLabIsKeptOut() async throws {
    try await offPool {
      let labs = try LocalFederation(labs: ["de", "fr", "es", "pt"])
      let members = ["de", "fr", "es", "pt"]
      let version = try labs.page(RosterPage.self, "de", "roster").rosterVersion
      try labs.succeed(["revoke", "pt", "--reason", "test", "--home", labs.home("de").path])
      try approve("fr", labs)
      for lab in members {
        try labs.wait("\(lab) counts two approvals of three") {
          let proposals = try labs.page(PendingPage.self, lab, "pending").proposals
          return proposals.count == 1 && proposals[0].approvals.count == 2
            && proposals[0].needed == 3
        }
        let text = try labs.succeed(["pending", "--home", labs.home(lab).path]).output
        #expect(text.contains("2 of 3 approvals"), "\(text)")
      }
      // The same key twice is one approval: who has approved may say so again.
      _ = try approve("fr", labs)
      let round = try labs.head("de").round
      try labs.waitForOneHead(from: round + 1)
      for lab in members {
        let roster = try labs.page(RosterPage.self, lab, "roster")
        #expect(roster.rosterVersion == version && roster.labs.count == 4)
        #expect(try labs.page(PendingPage.self, lab, "pending").proposals[0].approvals.count == 2)
      }
      try approve("es", labs)
      for lab in ["de", "fr", "es"] {
        try labs.wait("\(lab) has removed pt") {
          try labs.page(RosterPage.self, lab, "roster").labs.count == 3
        }
      }
      try staysOut(labs)
    }
  }

  @discardableResult
  private func approve(_ member: String, _ labs: LocalFederation) throws -> Command.Result {
    try labs.wait("\(member) sees the proposal") {
      try !labs.page(PendingPage.self, member, "pending").proposals.isEmpty
    }
    let proposal = try #require(
      try labs.page(PendingPage.self, member, "pending").proposals.first)
    return try labs.succeed(["approve", proposal.id, "--home", labs.home(member).path])
  }

  /// The removed lab dials again, and asks again with a ticket: both in vain, and it is told why.
  private func staysOut(_ labs: LocalFederation) throws {
    try labs.stop("pt")
    let log = { (lab: String) in
      (try? String(contentsOfFile: labs.folder + "/\(lab).log", encoding: .utf8)) ?? ""
    }
    let before = try ["de", "fr", "es"].map { try labs.page(RosterPage.self, $0, "roster") }
    try labs.start("pt")
    try labs.wait("somebody says that a stranger was refused", seconds: 90) {
      ["de", "fr", "es"].contains {
        log($0).contains("a stranger was refused") && log($0).contains("127.0.0.1:")
      }
    }
    try labs.wait("the removed lab knows why", seconds: 90) {
      let doctor = try labs.hanse(["doctor", "--home", labs.home("pt").path])
      return doctor.code == 4 && doctor.output.contains("your key is not on the roster here")
    }
    #expect(try labs.page(PeersPage.self, "pt", "peers").peers.allSatisfy { $0.link == .none })
    try labs.stop("pt")
    // Its key in another home, with a new ticket.
    let again = labs.home("again")
    try FileManager.default.createDirectory(
      at: URL(filePath: again.key).deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: labs.home("pt").key, toPath: again.key)
    let result = try labs.hanse(["join", ticket(labs)] + labs.own("again", 3))
    #expect(result.code == 4)
    #expect(result.errors.contains("was on the roster before and was given up"), "\(result.errors)")
    for (lab, roster) in zip(["de", "fr", "es"], before) {
      #expect(try labs.page(RosterPage.self, lab, "roster").rosterVersion == roster.rosterVersion)
      #expect(try labs.page(PendingPage.self, lab, "pending").requests.isEmpty)
    }
  }

  /// A home is copied, and both run.
  @Test func twoDaemonsWithOneKeyDoNotGoOnTogether() async throws {
    try await offPool {
      let labs = try LocalFederation()
      try labs.waitForOneHead(from: 1)
      let twice = try Command.run("hansed", ["--home", labs.home("fr").path])
      #expect(twice.code != 0)
      #expect(twice.errors.contains("one daemon per home"), "\(twice.errors)")
      try labs.stop("fr")
      let copy = labs.home("copy")
      try FileManager.default.copyItem(atPath: labs.home("fr").path, toPath: copy.path)
      try labs.start("fr")
      let settings = try String(contentsOfFile: copy.configuration, encoding: .utf8)
      let listen = try labs.own("unused", 1).last ?? ""
      try settings.split(separator: "\n", omittingEmptySubsequences: false)
        .map { $0.hasPrefix("listen") ? "listen = \"\(listen)\"" : String($0) }
        .joined(separator: "\n")
        .replacingOccurrences(of: labs.home("fr").path, with: copy.path)
        .write(toFile: copy.configuration, atomically: true, encoding: .utf8)
      try labs.start("copy")
      defer { _ = try? labs.stop("copy", with: SIGKILL) }
      let warnings = [
        "another daemon has signed entry", "two entries of this lab's own log stand at sequence",
      ]
      try labs.wait("one of the two says that there is another", seconds: 120) {
        try ["fr", "copy"].contains { lab in
          try labs.page(StatusPage.self, lab, "status").attention.contains { line in
            warnings.contains { line.hasPrefix($0) }
          }
        }
      }
      let silent = try ["fr", "copy"].filter { lab in
        try labs.page(StatusPage.self, lab, "status").attention.contains { line in
          warnings.contains { line.hasPrefix($0) }
        }
      }
      for lab in silent {
        let refusal = try labs.hanse(["invite", "--home", labs.home(lab).path])
        #expect(refusal.code == 4 && refusal.errors.contains("hint: "), "\(refusal.errors)")
      }
      // The others go on, and have one roster.
      let round = try labs.head("de").round
      try labs.wait("the others go on", seconds: 120) {
        try labs.head("de").round > round && labs.head("es").round > round
      }
      #expect(
        try labs.page(RosterPage.self, "de", "roster").rosterVersion
          == labs.page(RosterPage.self, "es", "roster").rosterVersion)
    }
  }
}
