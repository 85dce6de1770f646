import FoundationEssentials
import Glibc
import Identities
import Records
import Storage

/// A bundle's file, read a piece at a time.
final class BundleInput {
  private let descriptor: Int32
  private let path: String
  private var buffer: [UInt8] = []
  private var position = 0

  /// Opens an ordinary file.
  init(_ path: String) throws {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.last(path) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw NodeError.bundle("\(path) is not an ordinary file", hint: "name the file itself")
    }
  }

  deinit { close(descriptor) }

  /// Begins again from the start.
  func rewind() {
    lseek(descriptor, 0, SEEK_SET)
    buffer = []
    position = 0
  }

  /// The next bytes; fewer than asked for only at the end.
  func take(_ count: Int) throws -> [UInt8] {
    while buffer.count - position < count {
      buffer.removeFirst(position)
      position = 0
      let wanted = max(count - buffer.count, 1 << 20)
      let chunk = try [UInt8](unsafeUninitializedCapacity: wanted) { space, filled in
        filled = 0
        while true {
          let got = read(descriptor, space.baseAddress, wanted)
          if got < 0, errno == EINTR { continue }
          guard got >= 0 else { throw Self.last(path) }
          filled = got
          return
        }
      }
      guard !chunk.isEmpty else { break }
      buffer += chunk
    }
    let taken = Array(buffer[position...].prefix(count))
    position += taken.count
    return taken
  }

  static func last(_ path: String) -> NodeError {
    let number = errno
    let reason = String(cString: strerror(number))
    if number == ENOENT { return .notFound(path) }
    guard number == EACCES || number == EROFS else { return .file(path: path, reason: reason) }
    return .bundle(
      "\(path): \(reason)",
      hint: "the node itself opens the file: name one in a folder that its user may use")
  }
}

/// A bundle's file while it is written: there whole or not at all.
final class BundleOutput {
  private let path: String
  private let sibling: String
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var isDone = false
  private(set) var bytes: UInt64 = 0

  /// Begins a file that must not be there yet.
  init(_ path: String) throws {
    guard access(path, F_OK) != 0 else {
      throw NodeError.bundle("\(path) is there already", hint: "choose another name, or remove it")
    }
    self.path = path
    sibling = "\(path).new.\(getpid())"
    unlink(sibling)
    descriptor = open(sibling, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else { throw BundleInput.last(path) }
  }

  deinit {
    close(descriptor)
    if !isDone { unlink(sibling) }
  }

  func write(_ piece: [UInt8]) throws {
    buffer += piece
    bytes += UInt64(piece.count)
    if buffer.count >= 1 << 20 { try flush() }
  }

  private func flush() throws {
    var written = 0
    while written < buffer.count {
      let count = buffer.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw BundleInput.last(path) }
      written += count
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Makes the file durable and gives it its name.
  func finish() throws {
    try flush()
    guard fsync(descriptor) == 0, rename(sibling, path) == 0 else { throw BundleInput.last(path) }
    isDone = true
    // The name too is to outlive a power cut, wherever the file system can say so.
    let folder = open(String(path[...(path.lastIndex(of: "/") ?? path.startIndex)]), O_RDONLY)
    guard folder >= 0 else { return }
    fsync(folder)
    close(folder)
  }
}

/// What bundles taught of other labs' bundles: whose nonce was seen last. Protocol/Bundle.md.
enum BundleEchoes {
  private static let size = 2 * ContentID.byteCount

  static func read(_ store: Store) throws -> [Hanse_V1_BundleEcho] {
    let bytes = try store.value(OwnValue.bundleEchoes) ?? []
    return stride(from: 0, to: bytes.count - bytes.count % size, by: size).map { start in
      var echo = Hanse_V1_BundleEcho()
      echo.lab = Data(bytes[start..<start + 32])
      echo.nonce = Data(bytes[start + 32..<start + size])
      return echo
    }
  }

  /// Remembers a lab's newest nonce.
  static func note(_ lab: LabID, nonce: Data, in store: Store) throws {
    var echoes = try read(store).filter { Array($0.lab) != lab.bytes }
    var echo = Hanse_V1_BundleEcho()
    echo.lab = Data(lab.bytes)
    echo.nonce = nonce
    echoes.append(echo)
    echoes.sort { Array($0.lab).lexicographicallyPrecedes(Array($1.lab)) }
    try store.setValue(
      OwnValue.bundleEchoes,
      echoes.prefix(Limits.labsMax).flatMap { Array($0.lab) + Array($0.nonce) })
  }
}
