import ArgumentParser
import Control
import Glibc
import Tokenizers

/// `hanse tokenize`: lines of standard input to lines of token ids.
struct Tokenize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Turn each line of standard input into its token ids.",
    discussion: """
      One line of input gives one line of output: the ids with a space between them, or a JSON \
      array with --json. No special token is added; text that spells one stays text; bytes that \
      are not UTF-8 count as U+FFFD.

      EXAMPLE
        $ echo 'a  1' | hanse tokenize --model SmolLM2-135M-Instruct.Q4_1.gguf
        81 256 33

      EXIT CODES
        0 done, 1 failed, 2 wrong use
      """)

  @Option(help: "A GGUF file, or a Hugging Face folder with tokenizer.json.")
  var model: String

  @Flag(help: "Print each line's ids as a JSON array.")
  var json = false

  func run() async throws {
    let tokenizer = try Tokenizer.load(model: model)
    var pending: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(STDIN_FILENO, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw ControlError(
          .failed, "cannot read standard input: \(String(cString: strerror(errno)))")
      }
      guard count > 0 else { break }
      var output: [UInt8] = []
      var rest = chunk[..<count]
      while let end = rest.firstIndex(of: 0x0A) {
        pending += rest[..<end]
        rest = rest[(end + 1)...]
        render(tokenizer.encode(bytes: pending), into: &output)
        pending.removeAll(keepingCapacity: true)
      }
      pending += rest
      Speech.write(output, to: STDOUT_FILENO)
    }
    guard !pending.isEmpty else { return }
    var output: [UInt8] = []
    render(tokenizer.encode(bytes: pending), into: &output)
    Speech.write(output, to: STDOUT_FILENO)
  }

  private func render(_ ids: [Int32], into output: inout [UInt8]) {
    if json { output.append(UInt8(ascii: "[")) }
    for (index, id) in ids.enumerated() {
      if index > 0 { output.append(UInt8(ascii: json ? "," : " ")) }
      output.append(contentsOf: String(id).utf8)
    }
    if json { output.append(UInt8(ascii: "]")) }
    output.append(0x0A)
  }
}
