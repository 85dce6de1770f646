import Containers
import Tensors
import Tokenizers
import Transformers

/// A base model on disk: what it is, its weights and its tokenizer.
///
/// Nothing large is read when it is opened: files are mapped, and each weight is converted when the
/// decoder asks for it.
public struct Checkpoint {
  /// Where the model lies: a GGUF file or a Hugging Face folder.
  public let path: String
  /// The architecture in the words of the Hugging Face configuration: `LlamaForCausalLM`.
  public var architecture: String { family.className }
  let family: Architecture
  /// The sizes and constants of the decoder.
  public let configuration: DecoderConfiguration
  /// The weights under their Hugging Face names, as float32.
  public var weights: any DecoderWeights { tensors }
  /// The files that make the model what it is, sorted: weights, configuration, tokenizer.
  public let files: [String]
  /// The mapped files.
  let tensors: NamedWeights

  /// Opens a `.gguf` file or a folder with `config.json` and safetensors.
  ///
  /// Every tensor's presence and shape is checked here, so that a wrong file fails before memory is
  /// spent on it. Throws ``CheckpointError``, or the container's error when a file is damaged.
  public static func open(_ path: String) throws -> Checkpoint {
    switch PathKind.of(path) {
    case .folder: return try openFolder(path)
    case .file: return try openGGUF(path)
    case .missing:
      throw CheckpointError.notFound(path: path, reason: "no such file or folder")
    }
  }

  /// Loads the model's own tokenizer.
  public func tokenizer() throws -> Tokenizer {
    try Tokenizer.load(model: path)
  }

  /// Builds the decoder: reads and packs every weight.
  ///
  /// - Parameter form: how many bits the frozen weights take.
  public func decoder(computeType: ComputeType, form: WeightForm = .full) throws -> Decoder {
    try Decoder(
      configuration: configuration, weights: weights, computeType: computeType, form: form)
  }

  /// A number that tells models of one shape apart, from the last norm's weights; for noticing
  /// mistakes, not for trust.
  public func fingerprint() throws -> UInt64 {
    var values = [Float](repeating: 0, count: configuration.hidden)
    try values.withUnsafeMutableBufferPointer {
      try weights.readTensor("model.norm.weight", into: $0)
    }
    var hash = Fingerprint()
    for value in values { hash.combine(value.bitPattern) }
    return hash.value
  }
}

/// The hash FNV-1a over 32-bit words: quick, the same on every machine, no protection.
package struct Fingerprint {
  package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  package init() {}

  package mutating func combine(_ word: UInt32) {
    for shift in [0, 8, 16, 24] as [UInt32] {
      value = (value ^ UInt64(word >> shift & 0xFF)) &* 0x100_0000_01B3
    }
  }
}
