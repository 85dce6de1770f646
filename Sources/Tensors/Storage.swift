import CKernels

/// How numbers rest in memory; they are always float32 while computed with.
public enum Storage: String, Sendable, CaseIterable {
  case bf16, f32

  /// Bytes of a number at rest.
  public var elementBytes: Int { self == .bf16 ? 2 : 4 }

  /// The kernels' flag.
  public var flag: Int32 { self == .bf16 ? 1 : 0 }
}

/// How many bits the frozen weights take in memory.
public enum WeightForm: String, Sendable, CaseIterable, Codable {
  /// As the storage of activations asks.
  case full
  /// GGUF's Q8_0, 8.5 bits a number.
  case q8 = "q8_0"
  /// GGUF's Q4_1, 5 bits a number; Q8_0 for embedding and head.
  case q4 = "q4_1"

  /// How the embedding and the head are kept: never in fewer than eight bits, as GGUF files do it,
  /// because what four lose there is lost in every prediction.
  public var ofVocabulary: WeightForm { self == .q4 ? .q8 : self }

  /// The kernels' type, of blocks.
  var type: Int32 { Int32(self == .q8 ? hk_q8 : hk_q4) }

  /// Whether rows of so many columns are kept in blocks.
  func fits(_ columns: Int) -> Bool { self != .full && columns % 32 == 0 }
}

/// The width that rows of `width` numbers really have: the next multiple of 32, filled with zeros.
public func padded(_ width: Int) -> Int { (width + 31) & ~31 }
