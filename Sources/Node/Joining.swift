import Checkpoints
import FoundationEssentials
import Glibc
import Identities
import Participation
import Records
import Storage
import Transport

/// Asks a federation to take a new lab in.
public enum Joining {
  /// What was asked for.
  public struct Result: Sendable {
    /// The federation's id.
    public let federation: ContentID
    /// What it calls itself.
    public let federationName: String
    /// The new lab's id.
    public let lab: LabID
    /// Of the new lab's key: what members compare before they approve.
    public let fingerprint: String
    /// The home.
    public let home: String
  }

  /// Makes the lab's key and home, and asks a member that the ticket names.
  ///
  /// The charter comes back with the answer; the base model here must be the charter's. Asking
  /// again with the same home keeps its key.
  ///
  /// - Throws: ``NodeError``. When nobody took the request, nothing is left behind.
  public static func join(
    ticket text: String, plan: HomePlan, progress: (String) -> Void
  ) async throws -> Result {
    let ticket = try read(text)
    let home = HomeLayout(plan.home)
    guard !home.isHome else { throw NodeError.homeExists(plan.home) }
    try plan.validate()
    let checkpoint = try Checkpoint.open(plan.model)
    let key = DurableFile.exists(home.key) ? try KeyFile.read(in: home) : SigningKey.generate()
    // First the charter alone: a lab whose base is another has not asked, and keeps its ticket.
    let shown = try await ask(ticket, plan: plan, key: key, charterOnly: true, progress: progress)
    let charter = try self.charter(in: shown, of: ticket)
    try BaseFiles.check(checkpoint, against: charter, progress: progress)
    _ = try await ask(ticket, plan: plan, key: key, charterOnly: false, progress: progress)
    let contacts = contacts(in: ticket)
    if DurableFile.exists(home.key) {
      try DurableFile.write(
        Array(Configuration(plan: plan, contacts: contacts.map(\.text)).text().utf8),
        to: home.configuration, mode: 0o640)
    } else {
      try HomeFiles.create(
        home, key: key, configuration: Configuration(plan: plan, contacts: contacts.map(\.text)))
    }
    try DurableFile.write(charter.bytes, to: home.charter, mode: 0o640)
    return Result(
      federation: charter.id, federationName: charter.message.name,
      lab: LabID(firstKey: key.publicKey), fingerprint: key.publicKey.fingerprint, home: plan.home)
  }

  private static func read(_ text: String) throws -> Hanse_V1_Ticket {
    let ticket: Hanse_V1_Ticket
    do { ticket = try TicketText.read(text) } catch {
      throw NodeError.ticket(
        "\(error)", hint: "paste the line exactly as hanse invite printed it")
    }
    guard ticket.expiresSeconds > UInt64(max(0, time(nil))) else {
      throw NodeError.ticket(
        "this ticket has expired", hint: "ask a member for a new one: hanse invite")
    }
    return ticket
  }

  private static func contacts(in ticket: Hanse_V1_Ticket) -> [Contact] {
    ticket.contacts.flatMap { contact -> [Contact] in
      guard let lab = LabID(bytes: contact.lab), let key = PublicKey(bytes: contact.key) else {
        return []
      }
      return contact.addresses.map { Contact(lab: lab, key: key, address: $0) }
    }
  }

  private static func ask(
    _ ticket: Hanse_V1_Ticket, plan: HomePlan, key: SigningKey, charterOnly: Bool,
    progress: (String) -> Void
  ) async throws -> Hanse_V1_JoinAnswer {
    guard let invitation = SigningKey(seed: Array(ticket.invitationSeed)) else {
      throw NodeError.ticket("this ticket holds no key", hint: "ask for a new one")
    }
    var body = Hanse_V1_JoinRequestBody()
    body.federation = ticket.federation
    body.name = plan.labName
    body.addresses = plan.listen.map { [$0] } ?? []
    body.timeSeconds = UInt64(max(0, time(nil)))
    body.charterOnly = charterOnly
    let request = try JoinAsk.sign(body, lab: key, invitation: invitation)
    var failures: [String] = []
    var refusal: NodeError?
    for contact in contacts(in: ticket) {
      if charterOnly { progress("asking \(contact.address)") }
      do {
        let answer = try await JoinClient.ask(
          address: contact.address, expectedKey: contact.key, key: key, request: request)
        if answer.accepted { return answer }
        // Another member may know more: news of a fresh ticket takes a moment to reach everybody.
        refusal = refusal ?? .joinRefused(Self.clean(answer.reason), hint: Self.clean(answer.hint))
      } catch {
        failures.append("\(contact.address): \(error)")
      }
    }
    throw refusal ?? .nobodyAnswers(failures)
  }

  private static func charter(
    in answer: Hanse_V1_JoinAnswer, of ticket: Hanse_V1_Ticket
  ) throws -> Charter {
    let charter: Charter
    do { charter = try Charter(bytes: Array(answer.charter)) } catch {
      throw NodeError.joinRefused(
        "the charter that came back is not valid: \(error)", hint: "ask another member")
    }
    guard charter.id.bytes == Array(ticket.federation) else {
      throw NodeError.joinRefused(
        "the charter that came back is not the one that the ticket names",
        hint: "ask another member")
    }
    return charter
  }

  /// A peer's words, without what would move a terminal's cursor.
  private static func clean(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(300)))
  }
}
