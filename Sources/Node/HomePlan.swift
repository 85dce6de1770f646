import Checkpoints
import FoundationEssentials
import Glibc
import Identities
import Records
import Transport

/// What a new home is to hold.
public struct HomePlan: Sendable {
  /// The home's folder.
  public var home: String
  /// What the lab calls itself.
  public var labName: String
  /// The base model: a GGUF file or a Hugging Face folder.
  public var model: String
  /// Files of text to train on.
  public var data: [String]
  /// Files of text for judging only; empty: a tenth of `data` is kept for it.
  public var heldOut: [String]
  /// `host:port`, or nil to only dial.
  public var listen: String?
  /// Whether to fold everything from the charter on instead of from an attested state.
  public var fromGenesis = false

  /// A plan; relative paths are taken from the current folder.
  public init(
    home: String, labName: String, model: String, data: [String], heldOut: [String],
    listen: String?
  ) {
    self.home = Self.absolute(home)
    self.labName = labName
    self.model = Self.absolute(model)
    self.data = data.map(Self.absolute)
    self.heldOut = heldOut.map(Self.absolute)
    self.listen = listen
  }

  /// Throws for a name that is empty or too long, and for files that cannot be read.
  func validate() throws {
    guard !labName.isEmpty, labName.utf8.count <= Limits.nameBytesMax,
      !labName.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
    else {
      throw NodeError.ticket(
        "the lab's name \(labName.debugDescription) is empty, too long or has control characters",
        hint: "give --name with 1 to \(Limits.nameBytesMax) bytes")
    }
    for path in data + heldOut {
      guard access(path, R_OK) == 0 else {
        throw NodeError.file(
          path: path, reason: "cannot be read: \(String(cString: strerror(errno)))")
      }
    }
    if let listen { _ = try Endpoint(listen) }
  }

  private static func absolute(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    guard let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }
}

/// The base model's files and their hashes.
enum BaseFiles {
  /// Reads every file of a checkpoint once.
  static func hash(
    _ checkpoint: Checkpoint, progress: (String) -> Void
  ) throws -> [Hanse_V1_BaseFile] {
    try checkpoint.files.map { path in
      let name = String(path.split(separator: "/").last ?? "")
      progress("hashing \(name)")
      var file = Hanse_V1_BaseFile()
      file.name = name
      let (size, id) = try hash(path)
      file.size = size
      file.hash = Data(id.bytes)
      return file
    }
  }

  /// Throws ``NodeError/otherFile(name:path:reason:)`` for the first file that is not the
  /// charter's.
  static func check(
    _ checkpoint: Checkpoint, against charter: Charter, progress: (String) -> Void = { _ in }
  ) throws {
    var paths: [String: String] = [:]
    for path in checkpoint.files { paths[String(path.split(separator: "/").last ?? "")] = path }
    for file in charter.message.base.files {
      guard let path = paths[file.name] else {
        throw NodeError.otherFile(
          name: file.name, path: checkpoint.path, reason: "there is no file of that name")
      }
      progress("checking \(file.name) against the charter")
      let (size, id) = try hash(path)
      guard size == file.size else {
        throw NodeError.otherFile(
          name: file.name, path: path, reason: "it has \(size) bytes instead of \(file.size)")
      }
      guard id.bytes == Array(file.hash) else {
        throw NodeError.otherFile(name: file.name, path: path, reason: "its contents differ")
      }
    }
  }

  private static func hash(_ path: String) throws -> (UInt64, ContentID) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw NodeError.file(path: path, reason: String(cString: strerror(errno)))
    }
    defer { close(descriptor) }
    var hasher = ContentHasher(kind: .file)
    var size: UInt64 = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    while true {
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      guard count >= 0 else {
        throw NodeError.file(path: path, reason: String(cString: strerror(errno)))
      }
      if count == 0 { break }
      hasher.update(UnsafeRawBufferPointer(rebasing: buffer[0..<count]))
      size += UInt64(count)
    }
    return (size, hasher.finish())
  }
}
