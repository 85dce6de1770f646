/// A call or name that the house does without, and what stands in its place.
struct Ban {
  /// As it is written; found where no letter, digit or underscore joins it on either side.
  let name: String
  /// A line with this too is innocent.
  let unless: String?
  let instead: String
  /// The rooms where it is at home.
  let allowed: Set<String>

  init(_ name: String, unless: String? = nil, instead: String, allowed: Set<String> = []) {
    self.name = name
    self.unless = unless
    self.instead = instead
    self.allowed = allowed
  }

  func isBroken(by line: String) -> Bool {
    guard line.mentions(name), unless.map(line.mentions) != true else { return false }
    return line.ranges(of: name).contains { range in
      let before = line[..<range.lowerBound].last
      let after = line[range.upperBound...].first
      return !(Self.joins(name.first) && Self.joins(before))
        && !(Self.joins(name.last) && Self.joins(after))
    }
  }

  private static func joins(_ character: Character?) -> Bool {
    character.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false
  }
}

/// What no room may call, except where it is at home.
struct BannedCalls {
  /// Rooms that meet the world: they own sockets, files, processes and therefore clocks.
  static let edge: Set<String> = [
    "Transport", "Storage", "Trainers", "Control", "Node", "hanse", "hansed", "hanse-sim",
  ]
  static let doors: Set<String> = ["hanse", "hansed", "hanse-sim"]

  /// Rooms where the only thing left to do without memory is to stop, out of every peer's reach.
  static let kernels: Set<String> = ["Tensors", "Transformers"]

  static let bans: [Ban] = {
    let clock = "take the time as an argument (`now: Instant`)"
    let chance = "take a generator as an argument; Determinism has SeededGenerator"
    let chanceful = edge.union(["Determinism", "Identities"])
    let timeful = edge.union(["Determinism", "Training", "Transformers"])
    return [
      Ban("Date()", instead: clock, allowed: timeful),
      Ban("Date.now", instead: clock, allowed: timeful),
      Ban("ContinuousClock", instead: clock, allowed: timeful),
      Ban("SuspendingClock", instead: clock, allowed: timeful),
      Ban("clock_gettime", instead: clock, allowed: timeful),
      Ban("gettimeofday", instead: clock, allowed: timeful),
      Ban(".random(", unless: "using:", instead: chance, allowed: chanceful),
      Ban(".shuffled()", instead: chance, allowed: chanceful),
      Ban(".shuffle()", instead: chance, allowed: chanceful),
      Ban(".randomElement()", instead: chance, allowed: chanceful),
      Ban("SystemRandomNumberGenerator", instead: chance, allowed: chanceful),
      Ban(
        "import Foundation", instead: "import FoundationEssentials, or Glibc for a system call"),
      Ban(
        "@_spi(Vectors) import",
        instead: "ask Ledger: what was not verified cannot be merged; vectors are for tests"),
      Ban(
        "fatalError(",
        instead: "throw the room's error; for a mistake of ours, precondition with the state",
        allowed: kernels),
      Ban("try!", instead: "try, and let the caller see the error"),
      Ban("as!", instead: "as?, and throw the room's error"),
      Ban("print(", instead: "return a value; only the doors talk", allowed: doors),
    ]
  }()

  /// Findings in one file under Sources; generated code is nobody's handwriting.
  static func findings(in file: HouseFile, bans: [Ban] = bans) -> [Finding] {
    guard let room = file.room, file.ending == "swift", !file.isGenerated else { return [] }
    let active = bans.filter { !$0.allowed.contains(room) }
    return file.code.lines.enumerated().flatMap { number, line in
      active.filter { $0.isBroken(by: line) }.map { ban in
        Finding(
          file: file.path, line: number + 1, message: "\(ban.name): instead, \(ban.instead)")
      }
    }
  }
}

/// Words that say nothing about what a thing is.
enum EmptyWords {
  static let words = ["Common", "Util", "Utils", "Manager", "Helper", "Helpers", "Impl", "Misc"]

  static func findings(in file: HouseFile) -> [Finding] {
    guard ["swift", "c", "h"].contains(file.ending), !file.isGenerated else { return [] }
    var findings: [Finding] = []
    if let word = word(in: String(file.name.split(separator: ".")[0])) {
      findings.append(
        Finding(file: file.path, line: nil, message: "'\(word)' names nothing: find the noun"))
    }
    let pattern = /(?:struct|class|enum|actor|protocol|typealias)\s+(\w+)/
    for (number, line) in file.code.lines.enumerated() {
      guard words.contains(where: line.mentions), let name = line.firstMatch(of: pattern)?.1,
        let word = word(in: String(name))
      else {
        continue
      }
      findings.append(
        Finding(
          file: file.path, line: number + 1,
          message: "\(name): '\(word)' names nothing: find the noun"))
    }
    return findings
  }

  /// The empty word that a camel-case name is made with, if any.
  private static func word(in name: String) -> String? {
    let parts = name.matches(of: /[A-Z][a-z0-9]+/).map { String($0.0) }
    return words.first { parts.contains($0) }
  }
}
