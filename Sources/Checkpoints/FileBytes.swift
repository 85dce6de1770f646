import Containers
import Glibc

/// A whole small file. Throws when it is missing, unreadable, or larger than `limit` bytes.
func readBytes(path: String, limit: Int) throws(CheckpointError) -> [UInt8] {
  do {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= limit else {
      throw CheckpointError.malformed(
        path: path, reason: "\(file.bytes.count) bytes, more than the \(limit) that are read")
    }
    return file.withBytes { Array($0) }
  } catch ContainerError.unreadable(_, let reason) {
    throw .notFound(path: path, reason: reason)
  } catch let error as CheckpointError {
    throw error
  } catch {
    throw .malformed(path: path, reason: "\(error)")
  }
}

/// Creates a folder and those above it. Throws when a part of the path cannot be one.
package func makeFolder(_ path: String) throws(CheckpointError) {
  var built = path.hasPrefix("/") ? "/" : ""
  for part in path.split(separator: "/") {
    built += built.isEmpty || built.hasSuffix("/") ? "\(part)" : "/\(part)"
    guard mkdir(built, 0o755) != 0, errno != EEXIST else { continue }
    throw .cannotWrite(path: path, reason: systemReason())
  }
  guard PathKind.of(path) == .folder else {
    throw .cannotWrite(path: path, reason: "not a folder")
  }
}
