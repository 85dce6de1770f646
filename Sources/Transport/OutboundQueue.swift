import NIOCore
import Records

/// Frames that wait for the socket, in two lanes: control frames overtake blocks.
struct OutboundQueue {
  struct Item {
    var bytes: ByteBuffer
    /// Told whether the frame left for the socket.
    var written: (@Sendable (Bool) -> Void)?
  }

  private var control = CircularBuffer<Item>()
  private var bulk = CircularBuffer<Item>()
  private(set) var byteCount = 0

  var count: Int { control.count + bulk.count }
  var isEmpty: Bool { control.isEmpty && bulk.isEmpty }

  /// Takes a frame in; false, and nothing is taken, when too much waits already.
  mutating func append(_ item: Item, isBulk: Bool) -> Bool {
    guard count < TransportLimits.outboundFrames,
      byteCount + item.bytes.readableBytes <= TransportLimits.outboundBytes
    else { return false }
    byteCount += item.bytes.readableBytes
    if isBulk { bulk.append(item) } else { control.append(item) }
    return true
  }

  /// The next frame to be written.
  mutating func next() -> Item? {
    guard let item = control.popFirst() ?? bulk.popFirst() else { return nil }
    byteCount -= item.bytes.readableBytes
    return item
  }

  /// Takes out everything, or only the blocks, telling whoever waits that it was not written.
  mutating func abandon(bulkOnly: Bool) {
    var given = Array(bulk)
    bulk.removeAll()
    if !bulkOnly {
      given += Array(control)
      control.removeAll()
    }
    for item in given {
      byteCount -= item.bytes.readableBytes
      item.written?(false)
    }
  }
}
