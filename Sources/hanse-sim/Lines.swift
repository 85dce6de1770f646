import FoundationEssentials
import Glibc
import Records
import Simulation

/// One schedule in the JSON document: Protocol/Control.md, "hanse-sim".
struct Row: Encodable {
  let seed: UInt64
  let trace: String
  let roots: Int
  let round: UInt32
  let redundancy: Double
  let missed: Int
  let payloadRatio: Double
  let virtualSeconds: Double
  let violations: [String]
  let excuse: String?
  let weather: [String]

  enum CodingKeys: String, CodingKey {
    case seed, trace, roots, round, redundancy, missed, violations, excuse, weather
    case payloadRatio = "payload_ratio"
    case virtualSeconds = "virtual_seconds"
  }

  init(_ outcome: Outcome) {
    seed = outcome.seed
    trace = Lines.hex(outcome.trace)
    roots = outcome.roots
    round = outcome.round
    redundancy = Lines.rounded(outcome.redundancy)
    missed = outcome.missed
    payloadRatio = Lines.rounded(outcome.payloadRatio)
    virtualSeconds = Lines.rounded(outcome.virtualSeconds)
    violations = outcome.violations
    excuse = outcome.excuse
    weather = outcome.weather
  }
}

/// The JSON document.
struct Report: Encodable {
  var format = 1
  var version = Release.version
  let schedules: [Row]
  let failures: [UInt64]
  let cost: Cost
}

/// What a run has taken of this machine so far.
struct Cost: Encodable {
  /// Of the processor, in all.
  let cpuSeconds: Double
  /// The most memory that was resident at once.
  let peakMiB: Int

  enum CodingKeys: String, CodingKey {
    case cpuSeconds = "cpu_seconds"
    case peakMiB = "peak_mib"
  }

  init() {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    cpuSeconds = Lines.rounded(seconds(usage.ru_utime) + seconds(usage.ru_stime))
    peakMiB = usage.ru_maxrss / 1024
  }
}

/// How the simulator talks.
enum Lines {
  static func hex(_ word: UInt64) -> String {
    let text = String(word, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }

  static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

  static func say(_ outcome: Outcome) {
    print(
      "seed \(outcome.seed)  trace \(hex(outcome.trace))  round \(outcome.round)  "
        + "roots \(outcome.roots)  redundancy \(rounded(outcome.redundancy))  "
        + "missed \(outcome.missed)  payload \(rounded(outcome.payloadRatio))  "
        + "\(Int(outcome.virtualSeconds)) s  " + verdict(outcome))
    fflush(nil)
  }

  private static func verdict(_ outcome: Outcome) -> String {
    if let excuse = outcome.excuse { return "excused: \(excuse)" }
    return outcome.passed ? "passed" : "FAILED"
  }

  static func explain(_ outcome: Outcome, of schedule: Schedule, faults: String) {
    var text = "error: seed \(outcome.seed) failed (hanse-sim \(Release.version))\n"
    for violation in outcome.violations { text += "  \(violation)\n" }
    if !outcome.weather.isEmpty {
      text += "  weather: \(outcome.weather.joined(separator: ", "))\n"
    }
    text +=
      "hint: replay it with: hanse-sim --nodes \(schedule.nodes) --rounds \(schedule.rounds) "
      + "--seed \(outcome.seed) --faults \(faults)"
      + (schedule.hasLatecomers ? " --latecomers" : "")
      + (schedule.retention == 256 ? "\n" : " --retention \(schedule.retention)\n")
    complain(text)
  }

  static func write(_ report: Report) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
    print(String(decoding: try encoder.encode(report), as: UTF8.self))
  }

  static func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
