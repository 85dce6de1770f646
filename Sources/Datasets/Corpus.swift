import Tokenizers

/// Documents as token ids, in the order of the files and of their lines.
public struct Corpus: Sendable, Equatable {
  /// The documents, without separators. A document may be empty.
  public var documents: [[Int32]]

  /// A corpus of documents already tokenised.
  public init(documents: [[Int32]]) {
    self.documents = documents
  }

  /// All tokens of all documents, separators not counted.
  public var tokenCount: Int { documents.reduce(0) { $0 + $1.count } }

  /// Reads and tokenises files: `.txt` is one document, each line of `.jsonl` is one.
  ///
  /// Documents are tokenised whole. Text that spells a special token stays text; bytes that are not
  /// UTF-8 become U+FFFD. Blank lines of `.jsonl` are passed over.
  ///
  /// - Throws: `DatasetError` with file and line; `.empty` when there is not one token.
  public static func load(paths: [String], tokenizer: Tokenizer) throws -> Corpus {
    guard !paths.isEmpty else { throw DatasetError.noFiles }
    // All names are judged before the first, perhaps large, file is read.
    let kinds = try paths.map { try FileKind(path: $0) }
    var corpus = Corpus(documents: [])
    for (path, kind) in zip(paths, kinds) {
      let bytes = try readFile(path)
      switch kind {
      case .text: corpus.documents.append(tokenizer.encode(bytes: bytes))
      case .lines:
        try forEachLine(of: bytes) { number, line in
          let document = try JSONLine(line, path: path, number: number)
          corpus.documents.append(try document.tokens(tokenizer))
        }
      }
    }
    guard corpus.tokenCount > 0 else { throw DatasetError.empty(paths: paths) }
    return corpus
  }

  /// The part to learn from and the part that is kept for judging.
  ///
  /// Of ten documents or more every tenth (the 10th, the 20th, …) is held out; of fewer, the last
  /// tenth of each document's tokens. What is held out never appears in training.
  public func split() -> (training: Corpus, heldOut: Corpus) {
    var training = Corpus(documents: [])
    var heldOut = Corpus(documents: [])
    if documents.count >= 10 {
      for (index, document) in documents.enumerated() {
        if index % 10 == 9 {
          heldOut.documents.append(document)
        } else {
          training.documents.append(document)
        }
      }
    } else {
      for document in documents {
        let kept = document.count - document.count / 10
        training.documents.append(Array(document[..<kept]))
        heldOut.documents.append(Array(document[kept...]))
      }
    }
    return (training, heldOut)
  }

  /// The documents joined, with the separator between them.
  public func stream(separator: Int32) -> TokenStream {
    var tokens: [Int32] = []
    var starts: [Int] = []
    tokens.reserveCapacity(tokenCount + documents.count)
    for (index, document) in documents.enumerated() {
      if index > 0 { tokens.append(separator) }
      starts.append(tokens.count)
      tokens += document
    }
    return TokenStream(tokens: tokens, documents: starts)
  }
}

/// Documents in one row, ready to be cut into windows.
public struct TokenStream: Sendable, Equatable {
  /// The ids, separators included.
  public var tokens: [Int32]
  /// Where each document begins, rising; a separator belongs to the document before it.
  public var documents: [Int]

  /// A stream of these tokens, one document if no more are named.
  public init(tokens: [Int32], documents: [Int] = []) {
    self.tokens = tokens
    self.documents = documents
  }
}
