import NIOCore

/// Cuts a byte stream into frames: four bytes of length, most significant first, then the frame.
///
/// A length beyond the limit is refused when its four bytes are there, before any of it is kept, so
/// that nobody can make the node set memory aside by announcing much.
package struct FrameReader {
  /// Bytes of a length.
  package static let headerBytes = 4

  /// Longest frame accepted; may be raised once the peer is known.
  package var limit: Int
  private var buffer = ByteBuffer()

  /// A reader of frames of at most `limit` bytes.
  package init(limit: Int) { self.limit = limit }

  /// Bytes received of a frame that is not complete yet, its length included.
  package var pendingBytes: Int { buffer.readableBytes }

  /// The length of the frame that is not complete yet; nil between frames.
  package var pendingLength: Int? {
    buffer.getInteger(at: buffer.readerIndex, as: UInt32.self).map { Int($0) }
  }

  /// Takes bytes in.
  package mutating func append(_ bytes: ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
    } else {
      buffer.discardReadBytes()
      buffer.writeImmutableBuffer(bytes)
    }
  }

  /// The next complete frame; nil when more bytes are needed.
  ///
  /// - Throws: ``TransportError/frameTooLong(bytes:limit:)`` or ``TransportError/undecodable`` for
  ///   an empty frame. The stream is of no use after that.
  package mutating func next() throws(TransportError) -> ByteBuffer? {
    guard let length = pendingLength else { return nil }
    guard length <= limit else { throw .frameTooLong(bytes: length, limit: limit) }
    guard length > 0 else { throw .undecodable }
    guard buffer.readableBytes >= Self.headerBytes + length else {
      if buffer.readerIndex == 0 { buffer.reserveCapacity(Self.headerBytes + length) }
      return nil
    }
    buffer.moveReaderIndex(forwardBy: Self.headerBytes)
    return buffer.readSlice(length: length)
  }
}
