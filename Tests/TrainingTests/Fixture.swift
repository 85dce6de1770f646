import Adapters
import Checkpoints
import Datasets
import FoundationEssentials
import Glibc
import Testing
import Training
import Transformers

/// A tiny model with what transformers and PEFT compute on it, as Tests/Tools/make_fixtures.py
/// wrote them.
struct Fixture {
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(2).joined(separator: "/") + "/Fixtures"
  }()

  /// The values of reference.json.
  struct Reference: Decodable {
    struct Run: Decodable {
      let stream: [Int32]
      let steps, batch, length: Int
      let learningRate, clip: Double
      let lossF32, lossBf16: [Double]
    }

    let tokens: [Int32]
    let batch, length: Int
    let baseLoss, loss: Double
    let training: Run
  }

  let folder: String
  let checkpoint: Checkpoint
  let adapter: Adapter
  let reference: Reference
  let tensors: ReferenceTensors

  init(_ name: String) throws {
    folder = Self.root + "/" + name
    checkpoint = try Checkpoint.open(folder)
    adapter = try PEFTFolder.read(folder + "/adapter", for: checkpoint.configuration).adapter
    let data = try #require(FileManager.default.contents(atPath: folder + "/reference.json"))
    reference = try Self.decoder.decode(Reference.self, from: data)
    tensors = try ReferenceTensors(path: folder + "/reference.safetensors")
  }

  /// The scripts write names with underscores.
  static var decoder: JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return decoder
  }

  func decoder(_ type: ComputeType) throws -> Decoder {
    try checkpoint.decoder(computeType: type)
  }

  /// The settings of the reference's twenty steps.
  var settings: TrainingSettings {
    let run = reference.training
    var settings = TrainingSettings(steps: run.steps)
    settings.batch = run.batch
    settings.length = run.length
    settings.learningRate = run.learningRate
    settings.clip = run.clip
    settings.schedule = .constant
    settings.warmup = .steps(0)
    settings.order = .sequential
    settings.rank = adapter.layout.rank
    settings.alpha = adapter.layout.alpha
    settings.computeType = .f32
    return settings
  }

  /// The windows of the reference's twenty steps.
  var windows: Windows {
    get throws {
      try Windows(
        stream: TokenStream(tokens: reference.training.stream), length: reference.training.length)
    }
  }
}

/// ‖values − reference‖ / ‖reference‖ in double precision.
func relativeGap(_ values: some Sequence<Float>, _ reference: [Float]) -> Double {
  var (difference, norm) = (0.0, 0.0)
  for (value, wanted) in zip(values, reference) {
    difference += (Double(value) - Double(wanted)) * (Double(value) - Double(wanted))
    norm += Double(wanted) * Double(wanted)
  }
  return (difference / norm).squareRoot()
}

/// An empty folder that is gone when the test is over.
final class Folder {
  let path: String

  init() {
    var template = Array("/tmp/hanse-training-XXXXXX".utf8CString)
    path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }
}

/// Float32 tensors of a safetensors file, read without the rooms under test.
struct ReferenceTensors {
  private struct Entry: Decodable {
    let dtype: String
    let dataOffsets: [Int]
  }

  private let data: [UInt8]
  private let entries: [String: Entry]
  private let start: Int

  init(path: String) throws {
    let data = [UInt8](try #require(FileManager.default.contents(atPath: path)))
    let start = 8 + (0..<8).reduce(0) { $0 | Int(data[$1]) << (8 * $1) }
    self.data = data
    self.start = start
    entries = try Fixture.decoder.decode([String: Entry].self, from: Data(data[8..<start]))
  }

  var names: [String] { entries.keys.sorted() }

  func floats(_ name: String) throws -> [Float] {
    let entry = try #require(entries[name])
    try #require(entry.dtype == "F32")
    let bytes = data[start + entry.dataOffsets[0]..<start + entry.dataOffsets[1]]
    return bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }
}
