import NIOCore
import Records
import SwiftProtobuf

/// A frame as it is carried: four bytes of length, then the message.
package func encode(_ frame: Hanse_V1_Frame) -> ByteBuffer? {
  guard let message: BufferedBytes = try? frame.serializedBytes(), message.count > 0,
    message.count <= Limits.frameBytesMax
  else { return nil }
  var buffer = message.buffer
  buffer.moveReaderIndex(to: 0)
  return buffer
}

/// The message in a frame's bytes; nil when it does not decode.
package func decode(_ bytes: ByteBuffer) -> Hanse_V1_Frame? {
  try? Hanse_V1_Frame(serializedBytes: BufferedBytes(buffer: bytes))
}

/// A buffer as swift-protobuf reads and writes it, so that a block is not copied once more to be
/// decoded or to be given its length. What swift-protobuf makes to be written has the length before
/// its readable bytes.
private struct BufferedBytes: SwiftProtobufContiguousBytes {
  var buffer: ByteBuffer

  init(buffer: ByteBuffer) { self.buffer = buffer }
  init(repeating byte: UInt8, count: Int) {
    buffer = ByteBuffer()
    buffer.reserveCapacity(FrameReader.headerBytes + count)
    buffer.writeInteger(UInt32(clamping: count))
    buffer.writeRepeatingByte(byte, count: count)
    buffer.moveReaderIndex(forwardBy: FrameReader.headerBytes)
  }
  init(_ sequence: some Sequence<UInt8>) {
    self.init(repeating: 0, count: 0)
    buffer.writeBytes(sequence)
    buffer.setInteger(UInt32(clamping: count), at: 0)
  }

  var count: Int { buffer.readableBytes }

  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeReadableBytes(body)
  }

  mutating func withUnsafeMutableBytes<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    try buffer.withUnsafeMutableReadableBytes(body)
  }
}
