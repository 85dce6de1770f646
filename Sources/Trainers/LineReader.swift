import Glibc

/// Lines from a descriptor, whole ones only and none too long.
struct LineReader {
  /// What was there.
  enum Outcome: Equatable {
    /// A line without its end.
    case line([UInt8])
    /// No whole line yet.
    case nothing
    /// No more will come.
    case end
  }

  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var isAtEnd = false

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// The next line. Waits for one, or gives `nothing` when none has come yet.
  ///
  /// Throws ``TrainerError/badLine(reason:)`` for a line that is too long. A last line without its
  /// end is dropped: its writer died within it.
  mutating func next(wait: Bool) throws(TrainerError) -> Outcome {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = Array(buffer[..<end])
        buffer.removeFirst(end + 1)
        return .line(line)
      }
      if isAtEnd { return .end }
      guard buffer.count <= WorkerContract.lineBytesMax else {
        throw .badLine(reason: "longer than \(WorkerContract.lineBytesMax) bytes")
      }
      var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = poll(&request, 1, wait ? -1 : 0)
      if ready == 0 { return .nothing }
      if ready < 0 && errno == EINTR { continue }
      fill()
    }
  }

  private mutating func fill() {
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let count = read(descriptor, &chunk, chunk.count)
    if count > 0 {
      buffer += chunk[..<count]
    } else if count == 0 || errno != EINTR {
      isAtEnd = true
    }
  }
}

/// Writes a line whole. Returns false when nobody reads any more.
func writeLine(_ line: [UInt8], to descriptor: Int32) -> Bool {
  let bytes = line + [0x0A]
  var written = 0
  while written < bytes.count {
    let count = bytes.withUnsafeBytes {
      write(descriptor, $0.baseAddress! + written, $0.count - written)
    }
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { return false }
    written += count
  }
  return true
}
