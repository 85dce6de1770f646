import ArgumentParser
import Node
import Tensors

/// The root of the command line: one verb a file.
@main
struct Hanse: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hanse",
    abstract: "Train one open model together, with nobody in charge.",
    discussion: """
      A lab trains a LoRA adapter on its own text, signs what it learned, and folds what the other \
      labs admitted into one shared model. The daemon, hansed, does the work; hanse asks it.

      EXAMPLE
        $ hanse init --home h --name luebeck --federation baltic \\
            --model m.gguf --data text.txt
        $ hansed --home h &
        $ hanse status

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 not found, 4 refused, 5 the daemon is not running
      """,
    version: "hanse \(Node.version)",
    groupedSubcommands: [
      CommandGroup(
        name: "Local, no federation needed",
        subcommands: [
          Train.self, Evaluate.self, Generate.self, Tokenize.self, Inspect.self, Bench.self,
        ]),
      CommandGroup(
        name: "Federation",
        subcommands: [
          Init.self, Invite.self, Join.self, Pending.self, Approve.self, Decline.self, Revoke.self,
          Recall.self, Propose.self, RotateKey.self, Roster.self,
        ]),
      CommandGroup(
        name: "What happens and what happened",
        subcommands: [
          Status.self, Peers.self, Log.self, Show.self, Why.self, Blame.self, Verify.self,
          Export.self, BundleVerb.self,
        ]),
      CommandGroup(
        name: "Upkeep",
        subcommands: [
          Doctor.self, Fsck.self, ConfigurationVerb.self, Worker.self, Completion.self,
        ]),
    ])

  /// Runs the verb and ends the process with its exit code.
  static func main() async {
    Speech.prepare()
    do {
      var command = try parseAsRoot()
      // Help is there whatever the environment says.
      if command is any AsyncParsableCommand || command is Worker { try MachineSettings.check() }
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      Speech.end(with: error)
    }
  }
}
