import CSodium

/// The system's libsodium, started once.
enum Sodium {
  private static let started: Bool = {
    // Returns 1 when somebody else in the process started it first; only -1 is a failure.
    precondition(sodium_init() >= 0, "libsodium could not start: no source of randomness")
    return true
  }()

  /// Makes sure that the library may be called.
  static func ready() { _ = started }
}
