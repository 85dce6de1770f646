import ArgumentParser

/// `hanse completion`: a script that completes verbs and options.
struct Completion: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completion",
    abstract: "Print a completion script for a shell.",
    discussion: """
      EXAMPLE
        $ hanse completion bash > ~/.local/share/bash-completion/completions/hanse

      EXIT CODES
        0 done, 2 wrong use
      """)

  /// The shells that scripts are made for.
  enum Shell: String, ExpressibleByArgument, CaseIterable {
    case bash, zsh, fish
  }

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell

  func run() throws {
    let kind: CompletionShell =
      switch shell {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    Speech.say([Hanse.completionScript(for: kind)])
  }
}
