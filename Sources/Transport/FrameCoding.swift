import NIOCore
import Records
import SwiftProtobuf

/// A frame as it is carried: four bytes of length, then the message.
package func encode(_ frame: Hanse_V1_Frame) -> ByteBuffer? {
  guard let bytes: [UInt8] = try? frame.serializedBytes(), !bytes.isEmpty,
    bytes.count <= Limits.frameBytesMax
  else { return nil }
  var buffer = ByteBuffer()
  buffer.reserveCapacity(FrameReader.headerBytes + bytes.count)
  buffer.writeInteger(UInt32(bytes.count))
  buffer.writeBytes(bytes)
  return buffer
}

/// The message in a frame's bytes; nil when it does not decode.
package func decode(_ bytes: ByteBuffer) -> Hanse_V1_Frame? {
  try? Hanse_V1_Frame(serializedBytes: BufferedBytes(buffer: bytes))
}

/// A buffer as swift-protobuf reads it, so that a block is not copied once more to be decoded.
private struct BufferedBytes: SwiftProtobufContiguousBytes {
  var buffer: ByteBuffer

  init(buffer: ByteBuffer) { self.buffer = buffer }
  init(repeating byte: UInt8, count: Int) { buffer = ByteBuffer(repeating: byte, count: count) }
  init(_ sequence: some Sequence<UInt8>) { buffer = ByteBuffer(bytes: sequence) }

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
