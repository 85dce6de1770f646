import Glibc

/// Where everything of one node lies under its home folder. See Protocol/Storage.md.
public struct HomeLayout: Sendable, Hashable {
  /// The home folder, as given.
  public let path: String

  /// The layout under a home folder; a slash at its end is dropped.
  public init(_ path: String) {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
  }

  /// The home when none is named: `HANSE_HOME`, else `/var/lib/hanse`, or `hanse` in the folder for
  /// an ordinary user's data, unless that is missing and the user may read `/var/lib/hanse`.
  public static var standard: HomeLayout {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if let home = variable("HANSE_HOME") { return HomeLayout(home) }
    if geteuid() == 0 { return HomeLayout("/var/lib/hanse") }
    let data = variable("XDG_DATA_HOME") ?? (variable("HOME") ?? "") + "/.local/share"
    let own = HomeLayout(data + "/hanse")
    // Whoever may look into the service's home, and has none, means that one.
    let service = HomeLayout("/var/lib/hanse")
    return !DurableFile.exists(own.path) && access(service.path, R_OK | X_OK) == 0 ? service : own
  }

  /// The folder that holds the key, mode 0700.
  public var identity: String { path + "/identity" }
  /// The lab's signing key, mode 0600.
  public var key: String { identity + "/key" }
  /// The key that a rotation is to bring into use, mode 0600; there while one is under way.
  public var nextKey: String { identity + "/key.next" }
  /// The lab's id, for a lab whose key is not its first one any more.
  public var labName: String { identity + "/lab" }
  /// The founding document, byte for byte as the founder wrote it.
  public var charter: String { path + "/charter.bin" }
  /// The daemon's configuration.
  public var configuration: String { path + "/hanse.toml" }
  /// Entries, forks, object lists and the node's own values.
  public var database: String { path + "/hanse.sqlite" }
  /// Payloads by id.
  public var objects: String { path + "/objects" }
  /// States of the fold by root.
  public var snapshots: String { path + "/snapshots" }
  /// What jobs read and write; everything in it can be made again, but for the checked files.
  public var work: String { path + "/work" }
  /// Held by the process that writes here.
  public var lock: String { path + "/lock" }
  /// Where the daemon answers the command line.
  public var controlSocket: String { path + "/control.sock" }

  /// Where a complete object lies.
  public func object(_ id: String) -> String { objects + "/" + id.prefix(2) + "/" + id }
  /// Where the blocks of an object are gathered until it is complete.
  public func partial(_ id: String) -> String { object(id) + ".partial" }
  /// Where the state with this root lies.
  public func snapshot(_ root: String) -> String { snapshots + "/" + root }

  /// Whether a node lives here.
  public var isHome: Bool { DurableFile.exists(key) && DurableFile.exists(charter) }

  /// Why this is not a home: nothing is here, or only a part of what makes one.
  public var absence: StorageError {
    let parts = [("charter.bin", charter), ("identity/key", key)]
    let missing = parts.filter { !DurableFile.exists($0.1) }.map(\.0)
    let isPart = DurableFile.exists(database) || missing.count < parts.count
    return isPart
      ? .incompleteHome(path: path, missing: missing.joined(separator: " and "))
      : .notAHome(path: path)
  }
}
