/// The example settings against the keys that the daemon reads.
enum ExampleSettings {
  /// Properties of `Configuration` and of the structures within it, as TOML spells them.
  static func keys(in swift: String) -> [String] {
    Code(swift).lines.compactMap { line in
      line.firstMatch(of: /^\s*public var (\w+):/).map { snake(String($0.1)) }
    }
  }

  /// Keys and sections of a TOML page, commented out or not.
  static func named(in toml: String) -> Set<String> {
    Set(
      toml.split(separator: "\n").compactMap { line in
        line.firstMatch(of: /^(?:# )?(\w+)\s*=/).map { String($0.1) }
          ?? line.firstMatch(of: /^(?:# )?\[(\w+)\]$/).map { String($0.1) }
      })
  }

  static func findings(swift: String, toml: String) -> [Finding] {
    let keys = keys(in: swift)
    let named = named(in: toml)
    func find(_ message: String) -> Finding {
      Finding(file: "Deploy/hanse.toml", line: nil, message: message)
    }
    return keys.filter { !named.contains($0) }.map { find("has no \($0)") }
      + named.subtracting(keys).sorted().map { find("has \($0), which the daemon does not know") }
  }

  private static func snake(_ name: String) -> String {
    name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
  }
}
