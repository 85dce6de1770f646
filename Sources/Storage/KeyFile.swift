import Glibc
import Identities

/// The lab's signing key on disk: its 32-byte seed, readable by nobody else.
public enum KeyFile {
  /// Writes the key of a new home. Throws ``StorageError/exists(path:)`` rather than overwrite one.
  public static func create(_ key: SigningKey, in home: HomeLayout) throws(StorageError) {
    if DurableFile.exists(home.key) { throw .exists(path: home.key) }
    try DurableFile.makeFolder(home.path, mode: 0o750)
    try DurableFile.makeFolder(home.identity, mode: 0o700)
    guard chmod(home.identity, 0o700) == 0 else { throw .last("protect", home.identity) }
    try DurableFile.write(key.seed, to: home.key, mode: 0o600)
    try DurableFile.syncFolder(of: home.identity)
  }

  /// Replaces the key after a rotation was enacted; the old one is kept beside it as `key.old`.
  public static func replace(with key: SigningKey, in home: HomeLayout) throws(StorageError) {
    let old = try read(in: home)
    try DurableFile.write(old.seed, to: home.key + ".old", mode: 0o600)
    try DurableFile.write(key.seed, to: home.key, mode: 0o600)
  }

  /// Reads the key. Refuses a file or folder that anybody else may read, and names the mend.
  public static func read(in home: HomeLayout) throws(StorageError) -> SigningKey {
    guard DurableFile.exists(home.key) else { throw .notAHome(path: home.path) }
    return try read(path: home.key)
  }

  /// Reads a key from any path, such as a credential handed over by the service manager.
  public static func read(path: String) throws(StorageError) -> SigningKey {
    var status = stat()
    guard stat(path, &status) == 0 else { throw .last("open", path) }
    let mode = status.st_mode & 0o777
    // A service manager's credential belongs to root and is read-only; 0440 and 0400 are its modes.
    let foreign: mode_t = status.st_uid == 0 && geteuid() != 0 ? 0o037 : 0o077
    guard mode & foreign == 0 else { throw .openKey(path: path, mode: UInt32(mode)) }
    let seed = try DurableFile.read(path, limit: SigningKey.byteCount)
    guard let key = SigningKey(seed: seed) else {
      throw .damaged(path: path, reason: "\(seed.count) bytes, a key has \(SigningKey.byteCount)")
    }
    return key
  }
}
