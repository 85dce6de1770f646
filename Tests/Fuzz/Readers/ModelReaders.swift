import Adapters
import Checkpoints
import Containers
import Tokenizers
import Transformers

// Files of a model. A reader that accepts bytes must give every number in them, and what it would
// write must read as the same.

func readSafetensors(_ bytes: [UInt8]) throws {
  let scratch = try Scratch()
  let file = try TensorFile.open(scratch.write("a.safetensors", bytes))
  guard file.format == .safetensors else { return }
  try readNumbers(file)
  var texts: [String: String] = [:]
  for (key, value) in file.metadata { texts[key] = value.string }
  var writer = SafetensorsWriter(metadata: texts)
  for entry in file.tensors {
    writer.addBytes(of: entry, in: file)
  }
  let again = try writer.serialized()
  let second = try TensorFile.open(scratch.write("b.safetensors", again))
  try Fault.unless(second.metadata == file.metadata, "metadata differ after writing")
  try compareTensors(file, second)
}

func readGGUF(_ bytes: [UInt8]) throws {
  let scratch = try Scratch()
  let path = try scratch.write("a.gguf", bytes)
  let file = try TensorFile.open(path)
  guard file.format == .gguf else { return }
  try readNumbers(file)
  var writer = GGUFWriter()
  for entry in file.tensors where entry.elementType.ggufCode != nil {
    try writer.add(name: entry.name, elementType: entry.elementType, shape: entry.shape) {
      Array(file.bytes(of: entry))
    }
  }
  try compareTensors(file, TensorFile.open(scratch.write("b.gguf", writer.serialized())))
  if let tokenizer = try refusing({ try Tokenizer(gguf: file) }) {
    try exercise(tokenizer, text: Array(bytes.suffix(512)))
  }
  if let checkpoint = try refusing({ try Checkpoint.open(path) }) { try exercise(checkpoint) }
}

func readJSON(_ bytes: [UInt8]) throws {
  let value = try JSONValue.parse(bytes)
  let again = try JSONValue.parse(Array(value.text.utf8))
  try Fault.unless(again == value, "the value differs after writing")
  try Fault.unless(again.text == value.text, "the text differs after writing")
}

/// `config.json`, a zero byte, `model.safetensors`.
func readFolder(_ bytes: [UInt8]) throws {
  let (configuration, weights) = halves(bytes)
  let scratch = try Scratch()
  try scratch.write("config.json", configuration)
  try scratch.write("model.safetensors", weights)
  try exercise(Checkpoint.open(scratch.path))
}

/// `tokenizer.json`, a zero byte, text.
func readTokenizer(_ bytes: [UInt8]) throws {
  let (json, text) = halves(bytes)
  let scratch = try Scratch()
  try scratch.write("tokenizer.json", json)
  try scratch.write("tokenizer_config.json", Array(#"{"eos_token":"<e>"}"#.utf8))
  try exercise(Tokenizer.load(model: scratch.path), text: text)
}

/// `adapter_config.json`, a zero byte, `adapter_model.safetensors`.
func readPEFT(_ bytes: [UInt8]) throws {
  let (configuration, weights) = halves(bytes)
  let scratch = try Scratch()
  try scratch.write("adapter_config.json", configuration)
  try scratch.write("adapter_model.safetensors", weights)
  let contents = try PEFTFolder.read(scratch.path)
  let second = try Scratch()
  second.adopt("adapter_config.json")
  second.adopt("adapter_model.safetensors")
  try PEFTFolder.write(
    contents.adapter, baseModel: contents.baseModel ?? "", dropout: contents.dropout,
    to: second.path)
  let again = try PEFTFolder.read(second.path)
  try Fault.unless(again.adapter.layout == contents.adapter.layout, "the layout differs")
  try Fault.unless(again.dropout == contents.dropout, "the dropout differs")
  try Fault.unless(
    again.adapter.values.map(\.bitPattern) == contents.adapter.values.map(\.bitPattern),
    "the factors differ after writing")
}

// MARK: promises

/// What a second reader makes of bytes that the first accepted; nil when it refuses them.
private func refusing<Value>(_ body: () throws -> Value) throws -> Value? {
  do {
    return try body()
  } catch is TokenizerError {
    return nil
  } catch is CheckpointError {
    return nil
  } catch is ContainerError {
    return nil
  }
}

/// Reads every tensor; the sum keeps the reads.
private func readNumbers(_ file: TensorFile) throws {
  var sum: Float = 0
  for entry in file.tensors {
    try Fault.unless(file.tensor(named: entry.name) == entry, "an entry is not found by its name")
    let bytes = file.bytes(of: entry)
    sum += Float(bytes.first ?? 0) + Float(bytes.last ?? 0)
    guard entry.elementType.isReal else { continue }
    let floats = try file.floats(of: entry)
    try Fault.unless(floats.count == entry.count, "\(floats.count) floats of \(entry.count)")
    sum += floats.last ?? 0
  }
  try Fault.unless(sum.isNaN || !sum.isNaN, "unreachable")
}

private func compareTensors(_ file: TensorFile, _ second: TensorFile) throws {
  try Fault.unless(file.tensors.count == second.tensors.count, "tensors are lost in writing")
  for entry in file.tensors {
    guard let other = second.tensor(named: entry.name), other.shape == entry.shape,
      other.elementType == entry.elementType,
      second.bytes(of: other).elementsEqual(file.bytes(of: entry))
    else { throw Fault(text: "tensor \(entry.name.debugDescription) differs after writing") }
  }
}

/// Encodes text and decodes it again; the text is short, so the memory must be little.
private func exercise(_ tokenizer: Tokenizer, text: [UInt8]) throws {
  let size = Int32(tokenizer.vocabularySize)
  let ids = tokenizer.encode(bytes: text)
  try Fault.unless(ids.allSatisfy { (0..<size).contains($0) }, "an id outside the vocabulary")
  try Fault.unless(ids == tokenizer.encode(bytes: text), "a second encoding differs")
  _ = tokenizer.decode(ids)
  for id in [-1, 0, size - 1, size, .max] { _ = tokenizer.bytes(of: id) }
  try Fault.unless(
    tokenizer.stopTokens.allSatisfy { (0..<size).contains($0) }, "a stop outside the vocabulary")
  for role in ["user", "assistant"] {
    _ = try? tokenizer.encodeChat(
      [ChatMessage(role: role, content: "Moin")], addGenerationPrompt: true)
  }
}

/// Builds the decoder of a model that was accepted, and runs it.
private func exercise(_ checkpoint: Checkpoint) throws {
  _ = try checkpoint.fingerprint()
  let decoder = try checkpoint.decoder(computeType: .f32)
  let vocabulary = Int32(checkpoint.configuration.vocabulary)
  let tokens = [0, 1, vocabulary - 1, 0]
  let loss = decoder.loss(tokens: tokens, batch: 1, length: tokens.count)
  try Fault.unless(loss.tokens == tokens.count - 1, "\(loss.tokens) tokens were judged")
}

extension SafetensorsWriter {
  fileprivate mutating func addBytes(of entry: TensorEntry, in file: TensorFile) {
    try? add(name: entry.name, elementType: entry.elementType, shape: entry.shape) {
      Array(file.bytes(of: entry))
    }
  }
}
