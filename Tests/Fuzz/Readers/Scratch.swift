import Glibc

/// A folder in memory for readers that take paths, gone with the object.
final class Scratch {
  let path: String
  private var names: Set<String> = []

  init() throws {
    var template = Array("/dev/shm/hanse-fuzz-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Fault(text: "no scratch folder: \(errno)") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit {
    for name in names.sorted() { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Fault(text: "cannot write \(file): \(errno)") }
    defer { close(descriptor) }
    names.insert(name)
    guard bytes.isEmpty || Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw Fault(text: "cannot write \(file): \(errno)")
    }
    return file
  }

  /// Names a file that a reader under test wrote, so that it is taken away too.
  func adopt(_ name: String) { names.insert(name) }
}
