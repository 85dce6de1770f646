import Glibc
import Identities

/// The lab's signing key on disk, readable by nobody else: its seed and its public half, 32 bytes
/// each, so that a flipped bit is noticed and does not make another lab of this one.
public enum KeyFile {
  /// Writes the key of a new home. Throws ``StorageError/exists(path:)`` rather than overwrite one.
  public static func create(_ key: SigningKey, in home: HomeLayout) throws(StorageError) {
    if DurableFile.exists(home.key) { throw .exists(path: home.key) }
    try DurableFile.makeFolder(home.path, mode: 0o750)
    try DurableFile.makeFolder(home.identity, mode: 0o700)
    guard chmod(home.identity, 0o700) == 0 else { throw .last("protect", home.identity) }
    try DurableFile.write(contents(key), to: home.key, mode: 0o600)
    try DurableFile.syncFolder(of: home.identity)
  }

  /// Replaces the key after a rotation was enacted; the old one is kept beside it as `key.old`.
  public static func replace(with key: SigningKey, in home: HomeLayout) throws(StorageError) {
    let old = try read(in: home)
    try DurableFile.write(contents(old), to: home.key + ".old", mode: 0o600)
    try DurableFile.write(contents(key), to: home.key, mode: 0o600)
  }

  /// Reads the key. Refuses a file or folder that anybody else may read, and names the mend.
  public static func read(in home: HomeLayout) throws(StorageError) -> SigningKey {
    guard DurableFile.exists(home.key) else { throw home.absence }
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
    let bytes = try DurableFile.read(path, limit: 2 * SigningKey.byteCount + 1)
    guard bytes.count == 2 * SigningKey.byteCount,
      let key = SigningKey(seed: Array(bytes.prefix(SigningKey.byteCount)))
    else {
      throw .brokenKey(
        path: path, reason: "\(bytes.count) bytes, a key file has \(2 * SigningKey.byteCount)")
    }
    guard key.publicKey.bytes == Array(bytes.suffix(SigningKey.byteCount)) else {
      throw .brokenKey(path: path, reason: "damaged: its two halves do not fit each other")
    }
    return key
  }

  private static func contents(_ key: SigningKey) -> [UInt8] { key.seed + key.publicKey.bytes }
}
