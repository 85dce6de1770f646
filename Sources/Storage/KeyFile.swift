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

  /// The keys that this home holds: the one in use, the one that a rotation is to bring, and
  /// earlier ones that other labs may still expect. Which of them signs, the roster decides.
  ///
  /// - Throws: as ``read(in:)``, for whichever of the files cannot be used.
  public static func readAll(in home: HomeLayout) throws(StorageError) -> [SigningKey] {
    var keys = [try read(in: home)]
    var paths = DurableFile.exists(home.nextKey) ? [home.nextKey] : []
    paths += try oldPaths(in: home)
    for path in paths {
      let key = try read(path: path)
      if !keys.contains(where: { $0.publicKey == key.publicKey }) { keys.append(key) }
    }
    return keys
  }

  /// Makes the key of a coming rotation and keeps it beside the one in use, and the lab's id with
  /// it, since that no longer follows from the key. One that is there already is used again.
  ///
  /// - Parameter isUsed: whether some lab has a key, or had it.
  public static func prepareNext(
    of lab: LabID, in home: HomeLayout, isUsed: (PublicKey) -> Bool
  ) throws(StorageError) -> SigningKey {
    try write(lab, in: home)
    if DurableFile.exists(home.nextKey) {
      let kept = try read(path: home.nextKey)
      if !isUsed(kept.publicKey) { return kept }
    }
    let key = SigningKey.generate()
    try DurableFile.write(contents(key), to: home.nextKey, mode: 0o600)
    return key
  }

  /// Puts a key in the place of one that is lost, and the lab's id beside it. What lies there and
  /// cannot be read is kept as `key.damaged`.
  public static func replaceLost(
    with key: SigningKey, of lab: LabID, in home: HomeLayout
  ) throws(StorageError) {
    try DurableFile.makeFolder(home.identity, mode: 0o700)
    try write(lab, in: home)
    if DurableFile.exists(home.key) {
      try DurableFile.move(home.key, to: home.key + ".damaged")
    }
    try DurableFile.write(contents(key), to: home.key, mode: 0o600)
  }

  /// Brings the key into use that the roster names now. The one before stays beside it, for labs
  /// that do not know of the change yet. A kill at any instant leaves both.
  public static func bringIntoUse(
    _ key: SigningKey, in home: HomeLayout
  ) throws(StorageError) {
    let old = try read(in: home)
    if old.publicKey != key.publicKey {
      try DurableFile.write(contents(old), to: oldPath(of: old.publicKey, in: home), mode: 0o600)
      try DurableFile.write(contents(key), to: home.key, mode: 0o600)
    }
    if DurableFile.exists(home.nextKey), try read(path: home.nextKey).publicKey == key.publicKey {
      try DurableFile.move(home.nextKey, to: nil)
    }
    try DurableFile.move(oldPath(of: key.publicKey, in: home), to: nil)
  }

  /// Forgets earlier keys, but for these.
  public static func forgetOld(
    but kept: [PublicKey], in home: HomeLayout
  ) throws(StorageError) {
    let names = kept.map { oldPath(of: $0, in: home) }
    for path in try oldPaths(in: home) where !names.contains(path) {
      try DurableFile.move(path, to: nil)
    }
  }

  private static func oldPath(of key: PublicKey, in home: HomeLayout) -> String {
    home.key + ".old." + key.description.prefix(10)
  }

  private static func oldPaths(in home: HomeLayout) throws(StorageError) -> [String] {
    try DurableFile.names(in: home.identity)
      .filter { $0.hasPrefix("key.old.") && !$0.contains(DurableFile.siblingMark) }
      .map { home.identity + "/" + $0 }
  }

  // MARK: the lab's id

  /// The lab's id, where it no longer follows from the key; nil when there is no such note.
  public static func lab(in home: HomeLayout) throws(StorageError) -> LabID? {
    guard DurableFile.exists(home.labName) else { return nil }
    let bytes = try DurableFile.read(home.labName, limit: 128)
    let text = String(decoding: bytes, as: UTF8.self)
    guard let lab = LabID(text: String(text.prefix { !$0.isWhitespace })) else {
      throw .brokenKey(path: home.labName, reason: "damaged: it does not hold a lab's id")
    }
    return lab
  }

  private static func write(_ lab: LabID, in home: HomeLayout) throws(StorageError) {
    try DurableFile.write(Array("\(lab)\n".utf8), to: home.labName, mode: 0o600)
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
