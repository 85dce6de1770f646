/// A stream cut into pieces of one length, from its start; the last piece may be shorter.
public struct Windows: Sendable {
  /// Tokens of a full window.
  public let length: Int
  /// The stream.
  public let tokens: [Int32]
  /// Where its documents begin.
  private let documents: [Int]

  /// Cuts a stream.
  ///
  /// - Throws: `DatasetError.badSetting` for a length below 2, of which nothing could be predicted.
  public init(stream: TokenStream, length: Int) throws {
    guard length >= 2 else {
      throw DatasetError.badSetting(
        "a window of \(length) tokens predicts nothing\nhint: --length is at least 2")
    }
    self.length = length
    tokens = stream.tokens
    documents = stream.documents
  }

  /// Windows of the full length: those that training takes.
  public var fullCount: Int { tokens.count / length }

  /// Whether a shorter window of two tokens or more is left at the end.
  public var hasShorterLast: Bool { tokens.count % length >= 2 }

  /// Windows that evaluation takes: the full ones and the shorter last.
  public var evaluationCount: Int { fullCount + (hasShorterLast ? 1 : 0) }

  /// Tokens predicted in all evaluation windows together: each but the first of its window.
  public var predictedTokens: Int {
    fullCount * (length - 1) + (hasShorterLast ? tokens.count % length - 1 : 0)
  }

  /// The tokens of a window in `0..<evaluationCount`.
  public subscript(index: Int) -> ArraySlice<Int32> {
    precondition(index >= 0 && index < evaluationCount, "no window \(index)")
    return tokens[index * length..<min((index + 1) * length, tokens.count)]
  }

  /// For each token of several full windows the position in its window at which its document
  /// begins: 0 for one that began before. `[indexes.count, length]`, row-major.
  public func gatherDocuments(_ indexes: [Int]) -> [Int32] {
    var result: [Int32] = []
    result.reserveCapacity(indexes.count * length)
    for index in indexes {
      let start = index * length
      var next = firstDocument(after: start)
      var own: Int32 = 0
      for position in 0..<length {
        while next < documents.count, documents[next] <= start + position {
          own = Int32(max(documents[next] - start, 0))
          next += 1
        }
        result.append(own)
      }
    }
    return result
  }

  /// The place in `documents` of the first that begins behind a token.
  private func firstDocument(after token: Int) -> Int {
    var (low, high) = (0, documents.count)
    while low < high {
      let middle = (low + high) / 2
      if documents[middle] <= token { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The tokens of several full windows, one after the other: `[indexes.count, length]`, row-major.
  public func gather(_ indexes: [Int]) -> [Int32] {
    var result: [Int32] = []
    result.reserveCapacity(indexes.count * length)
    for index in indexes {
      precondition(index >= 0 && index < fullCount, "window \(index) is not a full one")
      result += tokens[index * length..<(index + 1) * length]
    }
    return result
  }
}
