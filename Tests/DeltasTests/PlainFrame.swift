import Deltas

/// A zstd frame of uncompressed blocks, written by hand: what is inside can be read in hex, and
/// does not depend on a version of zstd.
enum PlainFrame {
  static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]
  /// Largest block of a frame, 128 KiB.
  static let blockLength = 1 << 17

  /// The frame of `content`: single segment, four bytes of content size, uncompressed blocks.
  static func frame(_ content: [UInt8]) -> [UInt8] {
    magic + [0xA0] + word(content.count, 4) + blocks(content)
  }

  /// Uncompressed blocks, the last one marked.
  static func blocks(_ content: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    var start = 0
    repeat {
      let end = min(start + blockLength, content.count)
      let isLast = end == content.count
      bytes += word((end - start) << 3 | (isLast ? 1 : 0), 3) + content[start..<end]
      start = end
    } while start < content.count
    return bytes
  }

  /// A payload with a stream of one's choosing behind the header of another.
  static func payload(head: [UInt8], stream: [UInt8]) -> [UInt8] {
    var head = head
    head.replaceSubrange(20..<24, with: word(stream.count, 4))
    return head + frame(stream)
  }

  /// A delta's payload with its stream left uncompressed.
  static func payload(of delta: Delta) throws -> [UInt8] {
    payload(head: Array(delta.pack()[..<56]), stream: try stream(of: delta))
  }

  /// The stream in a delta's payload: exponents, symbols and what else its tier has.
  static func stream(of delta: Delta) throws -> [UInt8] { delta.stream() }

  /// A number's low bytes, the lowest first.
  static func word(_ number: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }
}
