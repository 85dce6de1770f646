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

/// The cuts before the merges: digits one by one where the tokenizer says so, then the pattern on
/// each piece by itself.
struct PreTokenizer: Sendable, Equatable {
  var splitsDigits: Bool
  var pattern: SplitPattern

  /// The cuts that llama.cpp means by `tokenizer.ggml.pre`, or nil when it is none known here.
  init?(ggufName name: String) {
    switch name {
    case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone":
      self.init(splitsDigits: true, pattern: .gpt2)
    case "gpt-2", "phi-2", "mpt", "olmo", "jina-es", "jina-de":
      self.init(splitsDigits: false, pattern: .gpt2)
    case "llama3", "llama-v3", "llama-bpe", "dbrx", "smaug-bpe":
      self.init(splitsDigits: false, pattern: .llama3)
    case "qwen2", "stablelm2", "deepseek-r1-qwen":
      self.init(splitsDigits: false, pattern: .qwen2)
    case "tekken":
      self.init(splitsDigits: false, pattern: .tekken)
    case "gpt-4o":
      self.init(splitsDigits: false, pattern: .gpt4o)
    default: return nil
    }
  }

  /// Whether llama.cpp takes a word that is a token as it is, without merging, for this
  /// `tokenizer.ggml.pre`.
  static func looksUpWords(ggufName name: String) -> Bool {
    ["llama3", "llama-v3", "llama-bpe", "tekken"].contains(name)
  }

  init(splitsDigits: Bool, pattern: SplitPattern) {
    self.splitsDigits = splitsDigits
    self.pattern = pattern
  }
}
