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
  /// What came and belongs to no frame that was begun.
  private var input = ByteBuffer()
  /// A frame of which a part is there, its length included, in memory of its full size: so that no
  /// byte is moved again when more of them come.
  private var begun: ByteBuffer?

  /// A reader of frames of at most `limit` bytes.
  package init(limit: Int) { self.limit = limit }

  /// Bytes received of a frame that is not complete yet, its length included.
  package var pendingBytes: Int { (begun?.readableBytes ?? 0) + input.readableBytes }

  /// The length of the frame that is not complete yet; nil between frames.
  package var pendingLength: Int? {
    let buffer = begun ?? input
    return buffer.getInteger(at: buffer.readerIndex, as: UInt32.self).map { Int($0) }
  }

  /// Takes bytes in.
  package mutating func append(_ bytes: ByteBuffer) {
    if input.readableBytes == 0 {
      input = bytes
    } else {
      input.discardReadBytes()
      input.writeImmutableBuffer(bytes)
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
    let size = Self.headerBytes + length
    if begun == nil, input.readableBytes >= size {
      input.moveReaderIndex(forwardBy: Self.headerBytes)
      return input.readSlice(length: length)
    }
    var frame = begun.take() ?? ByteBuffer()
    frame.reserveCapacity(size)
    let rest = min(size - frame.readableBytes, input.readableBytes)
    if let piece = input.readSlice(length: rest) { frame.writeImmutableBuffer(piece) }
    if input.readableBytes == 0 { input = ByteBuffer() }
    guard frame.readableBytes == size else {
      begun = frame
      return nil
    }
    frame.moveReaderIndex(forwardBy: Self.headerBytes)
    return frame
  }
}
