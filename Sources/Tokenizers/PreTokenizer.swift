/// One way of cutting text into words.
enum Cut: Sendable, Equatable {
  /// Digits apart from the rest, one by one or in runs.
  case digits(oneByOne: Bool)
  /// The matches of a pattern, and what lies between them.
  case pattern(SplitPattern)
  /// The occurrences of a text, joined to a neighbour or not.
  case text([UInt8], TextCut)
}

/// What becomes of the text at which is cut.
enum TextCut: String, Sendable {
  case isolated = "Isolated"
  case removed = "Removed"
  case withPrevious = "MergedWithPrevious"
  case withNext = "MergedWithNext"
}

/// SentencePiece's way: blanks become a visible mark, and a text begins with one.
struct Metaspace: Sendable, Equatable {
  enum Scheme: String, Sendable {
    /// Before every stretch of text between added tokens.
    case always
    /// Only where the text begins.
    case first
    case never
  }

  let mark: [UInt8]
  let scheme: Scheme

  /// A stretch of text with its marks; `isFirst`: it begins where the whole text does.
  func apply(_ text: [UInt8], isFirst: Bool) -> [UInt8] {
    let marked = Normalizer.replace([0x20], with: mark, in: text)
    let wanted = scheme == .always || scheme == .first && isFirst
    return wanted && !marked.isEmpty && !marked.starts(with: mark) ? mark + marked : marked
  }
}

/// The cuts before the merges, each on the pieces of the one before it.
struct PreTokenizer: Sendable, Equatable {
  let cuts: [Cut]
  /// What comes before the cuts, where blanks are marked.
  var metaspace: Metaspace?
  /// Whether a stretch of text that begins with no blank gets one.
  var prefixesSpace = false
  /// Digits one by one or not, then one pattern: what most tokenizers do, and a shorter way.
  let usual: (splitsDigits: Bool, pattern: SplitPattern)?

  init(_ cuts: [Cut], metaspace: Metaspace? = nil) {
    self.cuts = cuts
    self.metaspace = metaspace
    switch (cuts.count, cuts.first, cuts.last) {
    case (1, .pattern(let pattern)?, _): usual = (false, pattern)
    case (2, .digits(oneByOne: true)?, .pattern(let pattern)?): usual = (true, pattern)
    default: usual = nil
    }
  }

  static func == (left: PreTokenizer, right: PreTokenizer) -> Bool {
    left.cuts == right.cuts && left.metaspace == right.metaspace
      && left.prefixesSpace == right.prefixesSpace
  }

  /// Whether the text itself changes before it is cut.
  var changesText: Bool { metaspace != nil || prefixesSpace }

  /// A stretch of text as it is cut.
  func prepare(_ text: [UInt8], isFirst: Bool) -> [UInt8] {
    if let metaspace { return metaspace.apply(text, isFirst: isFirst) }
    return prefixesSpace && !text.isEmpty && text.first != 0x20 ? [0x20] + text : text
  }

  /// The cuts that llama.cpp means by `tokenizer.ggml.pre`, or nil when it is none known here.
  init?(ggufName name: String) {
    switch name {
    case "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone":
      self.init([.digits(oneByOne: true), .pattern(.gpt2)])
    case "gpt-2", "phi-2", "mpt", "olmo", "jina-es", "jina-de":
      self.init([.pattern(.gpt2)])
    case "llama3", "llama-v3", "llama-bpe", "dbrx", "smaug-bpe":
      self.init([.pattern(.llama3)])
    case "qwen2", "stablelm2", "deepseek-r1-qwen":
      self.init([.pattern(.qwen2)])
    case "tekken":
      self.init([.pattern(.tekken)])
    case "gpt-4o":
      self.init([.pattern(.gpt4o)])
    default: return nil
    }
  }

  /// Whether llama.cpp takes a word that is a token as it is, without merging, for this
  /// `tokenizer.ggml.pre`.
  static func looksUpWords(ggufName name: String) -> Bool {
    ["llama3", "llama-v3", "llama-bpe", "tekken"].contains(name)
  }
}

/// Walks over the words of a stretch of text.
struct Cutter {
  let bytes: UnsafePointer<UInt8>
  let cuts: [Cut]

  /// Calls `body` with every word's bounds, in order.
  func words(from start: Int, to end: Int, _ body: (_ start: Int, _ end: Int) -> Void) {
    words(from: start, to: end, cut: 0, body)
  }

  private func words(
    from start: Int, to end: Int, cut index: Int, _ body: (_ start: Int, _ end: Int) -> Void
  ) {
    guard start < end else { return }
    guard index < cuts.count else {
      body(start, end)
      return
    }
    switch cuts[index] {
    case .digits(let oneByOne):
      let scanner = WordScanner(bytes: bytes, end: end, pattern: .gpt2)
      var position = start
      while position < end {
        let next =
          oneByOne
          ? scanner.pieceEnd(from: position, limit: end)
          : scanner.digitRunEnd(from: position, limit: end)
        words(from: position, to: next, cut: index + 1, body)
        position = next
      }
    case .pattern(let pattern):
      let scanner = WordScanner(bytes: bytes, end: end, pattern: pattern)
      var position = start
      while position < end {
        let next = scanner.wordEnd(from: position)
        words(from: position, to: next, cut: index + 1, body)
        position = next
      }
    case .text(let mark, let manner):
      cutAt(mark, manner, from: start, to: end) { words(from: $0, to: $1, cut: index + 1, body) }
    }
  }

  private func cutAt(
    _ mark: [UInt8], _ manner: TextCut, from start: Int, to end: Int,
    _ body: (_ start: Int, _ end: Int) -> Void
  ) {
    var piece = start
    var position = start
    while position + mark.count <= end {
      guard mark.indices.allSatisfy({ bytes[position + $0] == mark[$0] }) else {
        position += 1
        continue
      }
      let next = position + mark.count
      switch manner {
      case .isolated:
        if piece < position { body(piece, position) }
        body(position, next)
        piece = next
      case .removed:
        if piece < position { body(piece, position) }
        piece = next
      case .withPrevious:
        body(piece, next)
        piece = next
      case .withNext:
        if piece < position { body(piece, position) }
        piece = position
      }
      position = next
    }
    if piece < end { body(piece, end) }
  }
}
