import Glibc

/// Why a node's home could not be opened, read or written.
///
/// Every case names the path or the thing, and its text ends with the way out. After any of them
/// what was durable before is still there.
public enum StorageError: Error, Sendable, Equatable {
  /// A system call on `path` failed; `number` is errno.
  case system(operation: String, path: String, number: Int32)
  /// There is no space for `path`: errno ENOSPC or EDQUOT, or the database is full.
  case full(path: String)
  /// The database refused; `message` is SQLite's own.
  case database(path: String, message: String)
  /// An earlier write of the database could not be made durable, so nothing more is accepted
  /// before the store was opened again and what is on the disk was read back.
  case stopped(path: String)
  /// Another process has the home; `holder` is its id, or 0 when it has not written it down yet.
  case locked(path: String, holder: Int32)
  /// The folder holds no node.
  case notAHome(path: String)
  /// The folder holds logs, but not what says whose they are.
  case incompleteHome(path: String, missing: String)
  /// The key file does not hold a key that fits itself.
  case brokenKey(path: String, reason: String)
  /// Something is there already that would be overwritten.
  case exists(path: String)
  /// The database was written by a later version of the program.
  case newerFormat(path: String)
  /// The key file may be read by others; `mode` is its permission bits.
  case openKey(path: String, mode: UInt32)
  /// The file does not hold what its name says.
  case damaged(path: String, reason: String)
  /// The store was opened for reading only.
  case readOnly
  /// No such object has been begun here.
  case unknownObject(id: String)
  /// A block does not fit the object's list.
  case wrongBlock(object: String, index: Int, reason: String)
  /// An object's list is not one that can be stored.
  case badList(object: String, reason: String)
  /// A different entry is already at this place of the log.
  case occupied(lab: String, sequence: UInt64)
  /// The path would make the name of a socket or file too long, or leaves the home.
  case badName(name: String, reason: String)

  /// The error of the system call that has just failed on `path`.
  static func last(_ operation: String, _ path: String) -> StorageError {
    let number = errno
    return number == ENOSPC || number == EDQUOT
      ? .full(path: path) : .system(operation: operation, path: path, number: number)
  }
}

extension StorageError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .system(let operation, let path, let number):
      "\(path): cannot \(operation): \(String(cString: strerror(number))) (errno \(number))\n"
        + "hint: \(Self.mend(number))"
    case .full(let path):
      "\(path): the disk is full\nhint: free some space; nothing that was kept before is lost"
    case .database(let path, let message):
      "\(path): \(message)\nhint: run `hanse fsck`; it names what is damaged"
    case .stopped(let path):
      "\(path): an earlier write failed, so nothing more is written\n"
        + "hint: look at the disk (dmesg), then start the daemon again"
    case .locked(let path, let holder):
      "\(path): in use by \(holder == 0 ? "another process" : "process \(holder)")\n"
        + "hint: one daemon per home; stop that one first, or give another --home"
    case .notAHome(let path):
      "\(path): no node lives here\nhint: make one with `hanse init` or `hanse join`"
    case .incompleteHome(let path, let missing):
      "\(path): this home's logs are here, but \(missing) is missing\n"
        + "hint: restore it from your backup; the logs themselves are whole"
    case .brokenKey(let path, let reason):
      "\(path): \(reason)\n"
        + "hint: restore it from your backup; if the key is lost, `hanse rotate-key --request` "
        + "makes a new one, which the members can approve"
    case .exists(let path):
      "\(path): already there\nhint: give another --home, or remove it yourself if it is not needed"
    case .newerFormat(let path):
      "\(path): written by a later version of hanse\nhint: use that version or a later one"
    case .openKey(let path, let mode):
      "\(path): mode \(String(mode, radix: 8)) lets others read this lab's key\n"
        + "hint: chmod 600 \(path); if others may have read it, the members remove this lab and it "
        + "joins with a new key"
    case .damaged(let path, let reason):
      "\(path): damaged: \(reason)\n"
        + "hint: `hanse fsck --repair` fetches it again where that is possible"
    case .readOnly: "the store is open for reading only\nhint: only the daemon writes"
    case .unknownObject(let id):
      "object \(id) is not here\nhint: it is fetched once an entry that names it was admitted"
    case .wrongBlock(let object, let index, let reason):
      "object \(object), block \(index): \(reason)\nhint: fetch it from another lab"
    case .badList(let object, let reason):
      "object \(object): \(reason)\nhint: the block list is not one of this protocol version"
    case .occupied(let lab, let sequence):
      "lab \(lab) already has another entry \(sequence)\nhint: keep it as a fork; it is evidence"
    case .badName(let name, let reason): "\(name): \(reason)\nhint: choose another name"
    }
  }

  private static func mend(_ number: Int32) -> String {
    switch number {
    case EACCES, EPERM, EROFS: "run as the user that owns the home, on a writable file system"
    case ENOENT, ENOTDIR: "check the path; `hanse init` and `hanse join` make a home"
    case EIO: "the disk reports errors (dmesg); copy the home to another disk"
    case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
    default: "check the disk and the folder's permissions"
    }
  }
}

extension StorageError {
  /// What is wrong, in one line, without the way out.
  public var cause: String {
    description.split(separator: "\n", maxSplits: 1).first.map(String.init) ?? description
  }
}
