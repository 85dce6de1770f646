/// The regular expressions by which known tokenizers cut text into words, recognised by their exact
/// text; each is matched by hand in `WordScanner`.
enum SplitPattern: Sendable, CaseIterable {
  case gpt2, llama3, qwen2, tekken, gpt4o

  private static let cased =
    #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
  private static let capitals =
    #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
  private static let contraction = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
  private static let lead = #"[^\r\n\p{L}\p{N}]?"#
  private static let spaces = #"\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// The expression as tokenizer files spell it.
  var expression: String {
    switch self {
    case .gpt2:
      #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .llama3:
      "\(Self.contraction)|\(Self.lead)\\p{L}+|\\p{N}{1,3}"
        + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\(Self.spaces)"
    case .qwen2:
      "\(Self.contraction)|\(Self.lead)\\p{L}+|\\p{N}"
        + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\(Self.spaces)"
    case .tekken:
      "\(Self.lead)\(Self.cased)|\(Self.lead)\(Self.capitals)|\\p{N}"
        + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(Self.spaces)"
    case .gpt4o:
      "\(Self.lead)\(Self.cased)\(Self.contraction)?|\(Self.lead)\(Self.capitals)"
        + "\(Self.contraction)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(Self.spaces)"
    }
  }

  /// The pattern that a file spells `expression`.
  init?(expression: String) {
    guard let found = Self.allCases.first(where: { $0.expression == expression }) else {
      return nil
    }
    self = found
  }

  /// Numbers that may stand in one word; GPT-2 sets no limit.
  var numbersPerWord: Int {
    switch self {
    case .gpt2: .max
    case .llama3, .gpt4o: 3
    case .qwen2, .tekken: 1
    }
  }
}
