import ArgumentParser
import Control
import Node
import Storage

/// Where the node lives, an option of every verb of a federation.
struct HomeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The node's whole state. Default: HANSE_HOME, else /var/lib/hanse, or "
        + "~/.local/share/hanse for an ordinary user who has that.", valueName: "dir"))
  var home: String?

  /// The home's layout.
  var layout: HomeLayout { home.map(HomeLayout.init) ?? .standard }

  /// The running daemon. Throws, with the way to start it, when there is none.
  func daemon() async throws -> any NodeControl {
    let client = try ControlClient(path: layout.controlSocket)
    if try await client.isReachable() { return client }
    guard layout.isHome else { throw layout.absence }
    try requireNobody(in: layout)
    throw ControlError(
      .notRunning, "the daemon of \(layout.path) is not running",
      hint: "start it with `hansed --home \(layout.path)`, or `systemctl start hansed`")
  }

  /// The running daemon, or else what is written in the home.
  func pages() async throws -> any NodePages {
    try await openPages(home: layout)
  }
}

/// Throws when a process has a home and does not answer: it is neither running for its users nor
/// not running.
private func requireNobody(in home: HomeLayout) throws {
  guard let holder = Store.holder(of: home) else { return }
  throw ControlError(
    .failed, "process \(holder) has \(home.path), but does not answer at its control socket",
    hint: "it may be starting or stopping; try again in a moment")
}

/// What can be read of a home: from its daemon when one runs, from its files otherwise.
func openPages(home: HomeLayout) async throws -> any NodePages {
  let client = try ControlClient(path: home.controlSocket)
  if try await client.isReachable() { return client }
  try requireNobody(in: home)
  return try HomeReader(home: home.path)
}

/// Prints facts for machines.
struct PageOptions: ParsableArguments {
  @Flag(help: "Print one JSON object (versioned, see Protocol/Control.md).")
  var json = false
}

/// What a lab brings to a federation: options of `init` and `join`.
struct PlanOptions: ParsableArguments {
  @Option(help: ArgumentHelp("This lab's name, as the others will see it.", valueName: "lab"))
  var name: String

  @Option(help: ArgumentHelp("The base: a GGUF file or a Hugging Face folder.", valueName: "path"))
  var model: String

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("The lab's own text: .txt and .jsonl files.", valueName: "file"))
  var data: [String]

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Text that is never trained on, for judging. Without it every tenth document of --data is "
        + "kept back.", valueName: "file"))
  var heldOut: [String] = []

  @Option(
    help: ArgumentHelp(
      "Where other labs may dial this one. Without it this lab only dials.",
      valueName: "host:port"))
  var listen: String?

  func validate() throws {
    guard !name.isEmpty, name.utf8.count <= 64 else {
      throw ValidationError("--name has \(name.utf8.count) bytes; it must have 1 to 64")
    }
    guard !data.isEmpty else { throw ValidationError("--data needs at least one file") }
    if let listen { try Self.check(listen) }
  }

  private static func check(_ address: String) throws {
    guard let colon = address.lastIndex(of: ":"), colon > address.startIndex,
      UInt16(address[address.index(after: colon)...]) != nil
    else { throw ValidationError("--listen is \(address), not HOST:PORT") }
  }

  /// The plan for a home.
  func plan(home: HomeLayout) -> HomePlan {
    HomePlan(
      home: home.path, labName: name, model: model, data: data, heldOut: heldOut, listen: listen)
  }
}
