import Adapters
import ArgumentParser
import Checkpoints
import Control
import Glibc

/// `hanse export`: the shared model, or a local adapter, as files that other programs read.
struct Export: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write the shared model as files that other programs load.",
    discussion: """
      peft is a folder of LoRA factors for PEFT, vLLM and others; gguf is one file of LoRA factors \
      for llama.cpp; merged is the base with the factors folded in, of the base's own kind. \
      Works on the home when the daemon is down, and with --adapter and --model on a local \
      adapter without any federation.

      EXAMPLE
        $ hanse export --format peft --out shared-adapter
        $ hanse export --format gguf --adapter a --model m.gguf --out a.gguf

      EXIT CODES
        0 done, 1 failed, 2 wrong use, 3 no home, merge or file of that name, 4 refused: --out is
        there already
      """)

  /// What is written.
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case peft, gguf, merged
  }

  @Option(help: "peft, gguf or merged.")
  var format: Format

  @Option(
    help: ArgumentHelp("Where to: a folder or file that is not there yet.", valueName: "path"))
  var out: String

  @Option(help: ArgumentHelp("A merge by its id. Default: the node's head.", valueName: "merge"))
  var at: String?

  @Option(help: ArgumentHelp("A local adapter, a PEFT folder, instead.", valueName: "dir"))
  var adapter: String?

  @Option(help: ArgumentHelp("The base of --adapter.", valueName: "path"))
  var model: String?

  @OptionGroup var home: HomeOptions
  @OptionGroup var page: PageOptions

  func validate() throws {
    guard (adapter == nil) == (model == nil) else {
      throw ValidationError("--adapter and --model go together")
    }
    guard adapter == nil || at == nil else {
      throw ValidationError("--at names a merge of a federation, --adapter a local one")
    }
  }

  func run() async throws {
    guard access(out, F_OK) != 0 else {
      throw ControlError(
        .refused, "\(out): already there", hint: "give another --out, or remove it first")
    }
    let source = try await source()
    let base = try Checkpoint.open(source.model)
    let contents = try PEFTFolder.read(source.folder, for: base.configuration)
    switch format {
    case .peft: try PEFTFolder.write(contents.adapter, baseModel: source.model, to: out)
    case .gguf: try GGUFAdapter.write(contents.adapter, for: base, to: out)
    case .merged: try MergedModel.write(base, contents.adapter, to: out)
    }
    let exported = Exported(
      format: format.rawValue, out: out, merge: source.head?.id, round: source.head?.round,
      stateRoot: source.head?.stateRoot, parameters: contents.adapter.layout.count)
    try Speech.say(exported, json: page.json) { page, _ in page.lines() }
  }

  private func source() async throws -> (folder: String, model: String, head: MergeHead?) {
    if let adapter, let model { return (adapter, model, nil) }
    let merge = try at.map { try ShownID.check($0) }
    let answer = try await home.pages().export(ExportRequest(merge: merge))
    return (answer.folder, answer.model, answer.head)
  }
}

/// What `hanse export --json` prints.
struct Exported: Page {
  var format: String
  var out: String
  var merge: String?
  var round: Int?
  var stateRoot: String?
  var parameters: Int

  func lines() -> [String] {
    let origin =
      merge.map { "round \(round ?? 0), merge \(Figures.short($0))" } ?? "a local adapter"
    return [
      "\(out): \(format) of \(origin), \(Figures.count(UInt64(parameters))) adapter parameters"
    ]
  }
}
