/// Everything that reads bytes from strangers, by the name that the fuzzer and its corpus know.
///
/// A reader refuses what it likes, in any error of its own; a fault is a promise not kept: text
/// that differs after writing and reading again, an id outside its range, an error that would move
/// somebody's cursor. Traps, endless loops and memory without bound are the fuzzer's to notice.
package enum Reader: String, CaseIterable, Sendable {
  // Files of a model, which anybody may have made.
  case safetensors, gguf, json, folder, tokenizer, peft
  // What other labs send, and what is pasted from them.
  case frame, entry, charter, ticket, join, rotation, delta, blocklist, state, bundle
  // What other programs of this machine say.
  case control, worker

  /// Reads the bytes. Returns which promise was broken; nil when they were read or refused well.
  package func fault(in bytes: [UInt8]) -> String? {
    do {
      try read(bytes)
      return nil
    } catch let fault as Fault {
      return fault.text
    } catch {
      return Self.fault(inMessage: "\(error)")
    }
  }

  private func read(_ bytes: [UInt8]) throws {
    switch self {
    case .safetensors: try readSafetensors(bytes)
    case .gguf: try readGGUF(bytes)
    case .json: try readJSON(bytes)
    case .folder: try readFolder(bytes)
    case .tokenizer: try readTokenizer(bytes)
    case .peft: try readPEFT(bytes)
    case .frame: try readFrames(bytes)
    case .entry: try readEntry(bytes)
    case .charter: try readCharter(bytes)
    case .ticket: try readTicket(bytes)
    case .join: try readJoin(bytes)
    case .rotation: try readRotation(bytes)
    case .bundle: try readBundle(bytes)
    case .delta: try readDelta(bytes)
    case .blocklist: try readBlockList(bytes)
    case .state: try readState(bytes)
    case .control: try readControl(bytes)
    case .worker: try readWorkerLine(bytes)
    }
  }

  /// Errors are printed on terminals: no control characters, and not a screenful.
  static func fault(inMessage text: String) -> String? {
    for scalar in text.unicodeScalars where scalar != "\n" {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        return "a message holds U+\(String(scalar.value, radix: 16)): \(text.debugDescription)"
      default: break
      }
    }
    guard text.utf8.count <= 4096 else { return "a message of \(text.utf8.count) bytes" }
    return nil
  }
}

/// A promise that a reader did not keep.
struct Fault: Error {
  let text: String

  /// Throws unless the promise is kept.
  static func unless(_ isKept: Bool, _ text: @autoclosure () -> String) throws {
    if !isKept { throw Fault(text: text()) }
  }
}

/// A part up to the first zero byte, and what follows it: how two files are put into one input.
func halves(_ bytes: [UInt8]) -> (first: [UInt8], second: [UInt8]) {
  guard let zero = bytes.firstIndex(of: 0) else { return (bytes, []) }
  return (Array(bytes[..<zero]), Array(bytes[(zero + 1)...]))
}
