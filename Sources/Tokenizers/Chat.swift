import Containers

/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable, Codable {
  /// `system`, `user` or `assistant`.
  public var role: String
  /// What was said.
  public var content: String

  /// A turn of a conversation.
  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }
}

extension Tokenizer {
  /// The ids of a conversation, as the model's template renders it.
  ///
  /// Templates are programs; the families in use are recognised by their marks and rendered here.
  /// Only the template's own marks become special tokens: a message that spells one stays text.
  ///
  /// - Parameter addGenerationPrompt: whether the opening of the assistant's next turn follows.
  /// - Throws: `TokenizerError.chat` naming what is not known.
  public func encodeChat(
    _ messages: [ChatMessage], addGenerationPrompt: Bool
  ) throws -> [Int32] {
    guard let chatTemplate else {
      throw TokenizerError.chat(
        reason: "the model has no chat template\nhint: use text instead of messages")
    }
    let family = try ChatFamily(template: chatTemplate)
    for message in messages
    where !["system", "user", "assistant"].contains(message.role) {
      throw TokenizerError.chat(reason: "unknown role \"\(printable(message.role))\"")
    }
    var ids: [Int32] = []
    var text = ""
    for part in family.render(messages, addGenerationPrompt: addGenerationPrompt) {
      switch part {
      case .text(let piece): text += piece
      case .special(let name):
        guard let id = id(ofSpecial: name) else {
          throw TokenizerError.chat(reason: "the vocabulary has no \(name)")
        }
        ids += encode(text)
        text = ""
        ids.append(id)
      }
    }
    return ids + encode(text)
  }
}

/// A kind of chat template.
enum ChatFamily: Equatable {
  /// `<|im_start|>role\n…<|im_end|>\n`, perhaps with a system message of its own when the
  /// conversation begins without one.
  case chatML(defaultSystem: String?, trims: Bool)
  /// `<|start_header_id|>role<|end_header_id|>\n\n…<|eot_id|>`.
  case llama3

  /// A mark, or text between two marks.
  enum Part: Equatable {
    case special(String)
    case text(String)
  }

  /// Recognises a template.
  init(template: String) throws {
    for mark in ["<think>", "reasoning_content", "Cutting Knowledge Date", "strftime_now"]
    where template.contains(mark) {
      throw TokenizerError.chat(
        reason: "the model's chat template uses \(mark), which is not rendered here\n"
          + "hint: render the conversation yourself and give it as text")
    }
    if template.contains("<|im_start|>") {
      self = .chatML(
        defaultSystem: Self.defaultSystem(in: template),
        trims: template.contains("| trim") || template.contains("|trim"))
    } else if template.contains("<|start_header_id|>"), template.contains("<|eot_id|>") {
      self = .llama3
    } else {
      throw TokenizerError.chat(
        reason: "the model's chat template is neither ChatML nor Llama 3: "
          + printable(template, limit: 60) + "\nhint: render the conversation yourself and give it "
          + "as text")
    }
  }

  /// The system message that the template itself spells out between its marks.
  private static func defaultSystem(in template: String) -> String? {
    for opening in ["<|im_start|>system\n", "<|im_start|>system\\n"] {
      var rest = Substring(template)
      while let found = rest.firstRange(of: opening) {
        rest = rest[found.upperBound...]
        guard let end = rest.firstRange(of: "<|im_end|>") else { break }
        let text = rest[..<end.lowerBound]
        if !text.isEmpty, !text.contains("'"), !text.contains("\""), !text.contains("{") {
          return String(text)
        }
      }
    }
    return nil
  }

  /// Marks and texts of a conversation.
  func render(_ messages: [ChatMessage], addGenerationPrompt: Bool) -> [Part] {
    switch self {
    case .chatML(let defaultSystem, let trims):
      var turns = messages
      if let defaultSystem, let first = messages.first, first.role != "system" {
        turns.insert(ChatMessage(role: "system", content: defaultSystem), at: 0)
      }
      var parts: [Part] = []
      for turn in turns {
        let content = trims ? trimmed(turn.content) : turn.content
        parts += [
          .special("<|im_start|>"), .text("\(turn.role)\n" + content), .special("<|im_end|>"),
          .text("\n"),
        ]
      }
      if addGenerationPrompt { parts += [.special("<|im_start|>"), .text("assistant\n")] }
      return parts
    case .llama3:
      var parts: [Part] = [.special("<|begin_of_text|>")]
      func header(_ role: String) -> [Part] {
        [
          .special("<|start_header_id|>"), .text(role), .special("<|end_header_id|>"),
          .text("\n\n"),
        ]
      }
      for turn in messages {
        parts += header(turn.role) + [.text(trimmed(turn.content)), .special("<|eot_id|>")]
      }
      return addGenerationPrompt ? parts + header("assistant") : parts
    }
  }
}

/// The text without white space at both ends, as Jinja's `trim` cuts it.
private func trimmed(_ text: String) -> String {
  let scalars = text.unicodeScalars
  guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
    let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
  else { return "" }
  return String(scalars[first...last])
}
