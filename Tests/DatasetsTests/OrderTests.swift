import Datasets
import Testing

@Suite struct OrderTests {
  private func windows(_ count: Int, _ length: Int) throws -> Windows {
    try Windows(stream: TokenStream(tokens: (0..<Int32(count)).map { $0 }), length: length)
  }

  @Test func windowsKnowWhereTheirDocumentsBegin() throws {
    let corpus = Corpus(documents: [[5, 6, 7], [], [8], [9, 9, 9, 9, 9, 9]])
    let stream = corpus.stream(separator: 0)
    #expect(stream.tokens == [5, 6, 7, 0, 0, 8, 0, 9, 9, 9, 9, 9, 9])
    #expect(stream.documents == [0, 4, 5, 7])
    let windows = try Windows(stream: stream, length: 4)
    #expect(windows.gatherDocuments([0, 1, 2]) == [0, 0, 0, 0, 0, 1, 1, 3, 0, 0, 0, 0])
    #expect(windows.gatherDocuments([1]) == [0, 1, 1, 3])
    let plain = try Windows(stream: TokenStream(tokens: stream.tokens), length: 4)
    #expect(plain.gatherDocuments([1, 2]) == [Int32](repeating: 0, count: 8))
  }

  @Test func theStreamIsCutFromItsStart() throws {
    let windows = try windows(10, 4)
    #expect(windows.fullCount == 2)
    #expect(windows.evaluationCount == 3)
    #expect((0..<3).map { Array(windows[$0]) } == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    #expect(windows.predictedTokens == 3 + 3 + 1)
    #expect(windows.gather([1, 0, 1]) == [4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])
  }

  @Test func aLastWindowOfOneTokenDoesNotCount() throws {
    let windows = try windows(9, 4)
    #expect(windows.evaluationCount == 2)
    #expect(windows.predictedTokens == 6)
  }

  @Test func aShortStreamHasOneWindowToJudgeAndNoneToLearn() throws {
    let windows = try windows(3, 4)
    #expect(windows.fullCount == 0)
    #expect(windows.evaluationCount == 1)
    let error = #expect(throws: DatasetError.self) {
      try BatchOrder(windows, batch: 1, order: .sequential, seed: 0)
    }
    #expect(error == .tooShort(tokens: 3, needed: 4, purpose: "one window of training"))
    #expect(throws: DatasetError.self) { try self.windows(3, 1) }
    #expect(throws: DatasetError.self) {
      try BatchOrder(windows: 1, batch: 0, order: .sequential, seed: 0)
    }
  }

  @Test func sequentialStartsOverAtTheEnd() throws {
    var order = try BatchOrder(windows: 5, batch: 2, order: .sequential, seed: 1)
    #expect(
      (0..<6).map { order.indexes(atStep: $0) } == [
        [0, 1], [2, 3], [4, 0], [1, 2], [3, 4], [0, 1],
      ])
  }

  @Test func shuffledTakesEveryWindowOnceAnEpoch() throws {
    var order = try BatchOrder(windows: 12, batch: 4, order: .shuffled, seed: 1)
    let epochs = (0..<9).map { order.indexes(atStep: $0) }
    let rows = (0..<3).map { epoch in epochs[epoch * 3..<epoch * 3 + 3].flatMap { $0 } }
    for row in rows { #expect(row.sorted() == Array(0..<12)) }
    #expect(rows[0] != rows[1])
    #expect(rows[1] != rows[2])
    #expect(rows[0] != Array(0..<12))
  }

  @Test func shuffledFollowsFromSeedAndStepAlone() throws {
    var whole = try BatchOrder(windows: 7, batch: 3, order: .shuffled, seed: 42)
    let steps = (0..<20).map { whole.indexes(atStep: $0) }
    for step in [19, 0, 7, 13] {
      var resumed = try BatchOrder(windows: 7, batch: 3, order: .shuffled, seed: 42)
      #expect(resumed.indexes(atStep: step) == steps[step])
    }
    var other = try BatchOrder(windows: 7, batch: 3, order: .shuffled, seed: 43)
    #expect((0..<20).map { other.indexes(atStep: $0) } != steps)
  }

  /// Written down once: a training that is taken up by another version goes on as it began.
  @Test func theShuffleIsTheOneWrittenDown() throws {
    var order = try BatchOrder(windows: 8, batch: 8, order: .shuffled, seed: 1)
    #expect(order.indexes(atStep: 0) == [6, 3, 5, 4, 0, 7, 2, 1])
    #expect(order.indexes(atStep: 1) == [5, 1, 0, 4, 7, 2, 3, 6])
  }

  @Test func everyPlaceIsEquallyLikely() throws {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: 4), count: 4)
    for seed in 0..<4000 {
      var order = try BatchOrder(windows: 4, batch: 4, order: .shuffled, seed: UInt64(seed))
      for (place, window) in order.indexes(atStep: 0).enumerated() { counts[place][window] += 1 }
    }
    // Binomial with mean 1000 and deviation 27: six deviations.
    for row in counts { for count in row { #expect(abs(count - 1000) < 164) } }
  }
}
