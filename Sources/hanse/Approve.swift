import ArgumentParser
import Control
import Glibc

/// `hanse approve`: this lab's word for a request or a proposal.
struct Approve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "approve",
    abstract: "Approve a request to join, or a proposed change.",
    discussion: """
      Takes a fingerprint, a proposal's id, or a lab's name; a name has to be confirmed by its \
      fingerprint on the terminal, or with --yes. The change is enacted once more than half of \
      the labs have approved it. What is enacted already, and a lab that is a member already, \
      needs no more: that is said, and is no failure.

      A lab has one approval at a time. Where labs have approved different changes so that none \
      has enough, hanse pending says that the votes are split; whoever then approves one of them \
      proposes it anew, and labs that had approved that one need not be asked again.

      EXAMPLE
        $ hanse approve k3h2a-7qwxy-bcdef-ghijk

      EXIT CODES
        0 approved, or decided already, 1 failed, 2 wrong use, 3 nothing of that name waits,
        4 refused, 5 the daemon is not running
      """)

  @Argument(help: ArgumentHelp("What to approve.", valueName: "fingerprint|lab|proposal"))
  var subject: String

  @Flag(name: [.long, .short], help: "Do not ask whether a name's fingerprint is the right one.")
  var yes = false

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func run() async throws {
    let daemon = try await home.daemon()
    let named = try await daemon.pending().requests.filter { $0.lab.name == subject }
    guard named.count <= 1 else {
      throw ControlError(
        .refused, "\(named.count) requests have the name \(PlainText.escape(subject))",
        hint: "approve one by its fingerprint: `hanse pending`")
    }
    var wanted = subject
    if let request = named.first {
      try confirm(request)
      wanted = request.fingerprint
    }
    let answer = try await daemon.approve(ApproveRequest(subject: wanted))
    try Speech.say(answer, json: page.json) { answer, style in
      answer.lines(style)
    }
  }

  private func confirm(_ request: PendingPage.Request) throws {
    if yes { return }
    guard isatty(STDIN_FILENO) == 1 else {
      throw ControlError(
        .refused, "the name \(PlainText.escape(subject)) is only what the stranger calls itself",
        hint: "approve the fingerprint \(PlainText.escape(request.fingerprint)), or give --yes")
    }
    Speech.note(
      "\(PlainText.escape(request.lab.name)) has the fingerprint "
        + "\(PlainText.escape(request.fingerprint)). Is it the right one? [y/N]")
    guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
      throw ControlError(.refused, "not approved")
    }
  }
}
