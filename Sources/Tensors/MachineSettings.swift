import CKernels
import Glibc

/// What the environment says of the machine: `HANSE_MAX_ISA` and `HANSE_THREADS`.
///
/// The kernels read both when they are first used and can complain to nobody, so a program asks
/// here before it does anything else.
public enum MachineSettings {
  /// The names that `HANSE_MAX_ISA` may have, the narrowest first.
  public static var instructionSets: [String] {
    (0...).lazy.map { hk_isa_name(Int32($0)) }.prefix { $0 != nil }.map { String(cString: $0!) }
  }

  /// Throws ``MachineSettingError`` for a variable with a value that means nothing.
  public static func check() throws {
    if let text = value("HANSE_MAX_ISA"), hk_isa_named(text) < 0 {
      throw MachineSettingError(
        name: "HANSE_MAX_ISA", value: text,
        allowed: "one of " + instructionSets.joined(separator: ", "))
    }
    if let text = value("HANSE_THREADS"), !(1...1 << 20).contains(Int(text) ?? 0) {
      throw MachineSettingError(
        name: "HANSE_THREADS", value: text, allowed: "a number of threads, at least 1")
    }
  }

  private static func value(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}

/// An environment variable has a value that means nothing.
public struct MachineSettingError: Error, CustomStringConvertible, Equatable {
  /// The variable.
  public let name: String
  /// What it is set to.
  public let value: String
  /// What it may be.
  public let allowed: String

  public var description: String {
    "the environment variable \(name) is “\(value)”\nhint: it must be \(allowed), or unset"
  }
}

/// The instruction set in use, by its name in `HANSE_MAX_ISA`.
public var instructionSet: String { MachineSettings.instructionSets[Int(hk_isa())] }
