import FoundationEssentials
import Glibc
import Tokenizers

/// What the end of a file's name says about it.
enum FileKind {
  case text, lines

  init(path: String) throws {
    if path.hasSuffix(".txt") {
      self = .text
    } else if path.hasSuffix(".jsonl") {
      self = .lines
    } else {
      throw DatasetError.unknownKind(path: path)
    }
  }
}

/// A whole file.
func readFile(_ path: String) throws -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw unreadable(path) }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { throw unreadable(path) }
  guard status.st_mode & S_IFMT != S_IFDIR else {
    throw DatasetError.unreadable(path: path, reason: "it is a folder; name the files in it")
  }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(Int(status.st_size) + 1)
  var chunk = [UInt8](repeating: 0, count: 1 << 20)
  while true {
    let count = read(descriptor, &chunk, chunk.count)
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { throw unreadable(path) }
    if count == 0 { return bytes }
    bytes += chunk[..<count]
  }
}

private func unreadable(_ path: String) -> DatasetError {
  .unreadable(path: path, reason: String(cString: strerror(errno)))
}

/// Calls `body` with every line that is not blank and its number, counted from 1.
func forEachLine(
  of bytes: [UInt8], _ body: (_ number: Int, _ line: ArraySlice<UInt8>) throws -> Void
) rethrows {
  var start = bytes.startIndex
  var number = 1
  while start < bytes.endIndex {
    let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.endIndex
    let line = bytes[start..<end]
    if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { try body(number, line) }
    start = end + 1
    number += 1
  }
}

/// A line of a `.jsonl` file: a text, or a conversation.
struct JSONLine {
  private enum Content {
    case text(String)
    case messages([ChatMessage])
  }

  private struct Members: Decodable {
    var text: String?
    var messages: [ChatMessage]?
  }

  private let content: Content
  private let path: String
  private let number: Int

  init(_ line: ArraySlice<UInt8>, path: String, number: Int) throws {
    func fault(_ reason: String) -> DatasetError {
      .badLine(path: path, line: number, reason: reason)
    }
    self.path = path
    self.number = number
    let members: Members
    do {
      // Repaired first, so that one bad byte costs one character and not the line.
      let text = String(decoding: line, as: UTF8.self)
      members = try JSONDecoder().decode(Members.self, from: Data(text.utf8))
    } catch DecodingError.dataCorrupted {
      throw fault("the line is not JSON")
    } catch DecodingError.typeMismatch(_, let context) {
      let member = context.codingPath.first?.stringValue
      throw fault(member.map { "`\($0)` is of the wrong type" } ?? "the line is not a JSON object")
    } catch DecodingError.keyNotFound(let key, _) {
      throw fault("a message has no `\(key.stringValue)`")
    } catch DecodingError.valueNotFound(_, let context) {
      throw fault("`\(context.codingPath.last?.stringValue ?? "the line")` is null")
    }
    switch (members.text, members.messages) {
    case (let text?, nil): content = .text(text)
    case (nil, let messages?):
      guard !messages.isEmpty else { throw fault("`messages` is empty") }
      content = .messages(messages)
    case (.some, .some): throw fault("both `text` and `messages`; a document is one of them")
    case (nil, nil): throw fault("neither `text` nor `messages`")
    }
  }

  func tokens(_ tokenizer: Tokenizer) throws -> [Int32] {
    switch content {
    case .text(let text): return tokenizer.encode(text)
    case .messages(let messages):
      do {
        return try tokenizer.encodeChat(messages, addGenerationPrompt: false)
      } catch let error as TokenizerError {
        throw DatasetError.badLine(path: path, line: number, reason: error.description)
      }
    }
  }
}
