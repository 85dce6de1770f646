import Identities

/// Why bytes are no delta, or why an adapter's change cannot be made into one.
///
/// Everything that can come from another lab is refused with one of these; ``check`` is the name of
/// the failed check in Protocol/Delta.md and in the vectors.
public enum DeltaError: Error, Equatable {
  // Header
  case tooShort(found: Int)
  case tooLong(limit: Int, found: Int)
  case magic
  case version(UInt8)
  case tier(UInt8)
  case reserved
  case layout(expected: ContentID, found: ContentID)
  case coordinateCount(expected: Int, found: Int)
  case blockCount(expected: Int, found: Int)
  case streamLength(limit: Int, found: Int)
  // Compressed frame
  case frameKind
  case frameHeader
  case frameDictionary
  case frameContentSize(expected: Int)
  case frameWindow(limit: Int)
  case frameLength(expected: Int, found: Int)
  case frameDamaged(String)
  // Decoded values
  case exponent(block: Int, value: Int)
  case symbol(coordinate: Int, value: Int)
  case zeroBlock(block: Int)
  case padding
  case levels(block: Int)
  case entryCount(block: Int, value: Int)
  case gap(block: Int)
  case streamEnd(part: String)
  // Announcement
  case codec(String)
  case payloadLength(expected: UInt64, found: Int)
  case decodedSize(expected: UInt64, found: Int)
  case symbols(expected: ContentID, found: ContentID)
  case norms(factor: Int)
  case zero
  // Block list
  case blockListLength(expected: Int, found: Int)
  case payloadSize(limit: Int, found: UInt64)
  // Quantiser: the caller's own values
  case layoutsDiffer
  case feedbackCount(expected: Int, found: Int)
  case notFinite(factor: String)
}

extension DeltaError {
  /// The failed check's name, as in Protocol/Delta.md and in the `expect:` line of a vector.
  public var check: String {
    switch self {
    case .tooShort: "too-short"
    case .tooLong: "too-long"
    case .magic: "magic"
    case .version: "version"
    case .tier: "tier"
    case .reserved: "reserved"
    case .layout: "layout"
    case .coordinateCount: "coordinate-count"
    case .blockCount: "block-count"
    case .streamLength: "stream-length"
    case .frameKind: "frame-kind"
    case .frameHeader: "frame-header"
    case .frameDictionary: "frame-dictionary"
    case .frameContentSize: "frame-content-size"
    case .frameWindow: "frame-window"
    case .frameLength: "frame-length"
    case .frameDamaged: "frame-damaged"
    case .exponent: "exponent"
    case .symbol: "symbol"
    case .zeroBlock: "zero-block"
    case .padding: "padding"
    case .levels: "levels"
    case .entryCount: "entry-count"
    case .gap: "gap"
    case .streamEnd: "stream-end"
    case .codec: "codec"
    case .payloadLength: "payload-length"
    case .decodedSize: "decoded-size"
    case .symbols: "symbols"
    case .norms: "norms"
    case .zero: "zero"
    case .blockListLength: "block-list-length"
    case .payloadSize: "payload-size"
    case .layoutsDiffer: "layouts-differ"
    case .feedbackCount: "feedback-count"
    case .notFinite: "not-finite"
    }
  }
}

extension DeltaError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooShort(let found):
      "delta: \(found) bytes are fewer than a header and a frame"
    case .tooLong(let limit, let found):
      "delta: \(found) bytes are more than the \(limit) this layout allows"
    case .magic: "delta: does not begin like a hanse delta"
    case .version(let version):
      "delta: version \(version) is unknown here; a newer hanse may read it"
    case .tier(let tier): "delta: tier \(tier) is not the one the charter names"
    case .reserved: "delta: reserved header bytes are not zero"
    case .layout(let expected, let found):
      "delta: made for layout \(found.short), but this adapter is \(expected.short)"
    case .coordinateCount(let expected, let found):
      "delta: announces \(found) coordinates, but the layout has \(expected)"
    case .blockCount(let expected, let found):
      "delta: announces \(found) blocks, but the layout has \(expected)"
    case .streamLength(let limit, let found):
      "delta: announces \(found) decoded bytes; the layout allows \(limit)"
    case .frameKind: "delta: what follows the header is no zstd frame"
    case .frameHeader: "delta: the frame's header is damaged"
    case .frameDictionary: "delta: the frame asks for a dictionary"
    case .frameContentSize(let expected):
      "delta: the frame does not say that it holds the announced \(expected) bytes"
    case .frameWindow(let limit): "delta: the frame's window is larger than \(limit) bytes"
    case .frameLength(let expected, let found):
      "delta: the frame takes \(expected) bytes, but \(found) follow the header"
    case .frameDamaged(let reason): "delta: the frame does not decode: \(reason)"
    case .exponent(let block, let value):
      "delta: exponent \(value) of block \(block) is out of range"
    case .symbol(let coordinate, let value):
      "delta: symbol \(value) at coordinate \(coordinate) is out of range"
    case .zeroBlock(let block):
      "delta: block \(block) is all zero but its exponent is not"
    case .padding: "delta: filler bits are not zero"
    case .levels(let block): "delta: block \(block) has impossible levels"
    case .entryCount(let block, let value):
      "delta: block \(block) announces \(value) entries, more than its tier allows"
    case .gap(let block): "delta: an entry of block \(block) lies beyond its end"
    case .streamEnd(let part): "delta: the stream of \(part) has another length than announced"
    case .codec(let name):
      "contribution: codec \(name.debugDescription) is not the federation's"
    case .payloadLength(let expected, let found):
      "contribution: announces a payload of \(expected) bytes, but it has \(found)"
    case .decodedSize(let expected, let found):
      "contribution: announces \(expected) decoded bytes, but the delta has \(found)"
    case .symbols(let expected, let found):
      "contribution: announces symbols \(expected.short), but the delta has \(found.short)"
    case .norms(let factor):
      "contribution: the announced norm of factor \(factor) is not the delta's"
    case .zero: "contribution: the delta changes nothing"
    case .blockListLength(let expected, let found):
      "block list: \(found) bytes long where its size calls for \(expected)"
    case .payloadSize(let limit, let found):
      "block list: a payload of \(found) bytes; 1 to \(limit) are allowed"
    case .layoutsDiffer: "the trained adapter and its base have different layouts"
    case .feedbackCount(let expected, let found):
      "the error-feedback buffer has \(found) numbers, the adapter \(expected)"
    case .notFinite(let factor):
      "training made a number in \(factor) infinite or not a number; "
        + "nothing was sent. Lower the learning rate"
    }
  }
}
