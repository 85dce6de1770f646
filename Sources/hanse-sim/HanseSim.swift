import ArgumentParser
import Glibc
import Records
import Simulation

/// The simulator's door: runs schedules and says which of them failed.
@main
struct HanseSim: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hanse-sim",
    abstract: "Runs whole federations on one thread in virtual time, and breaks what it can.",
    discussion: """
      Each schedule is a federation of real nodes (the logs, the gossip, the fold, the deltas) \
      whose machines, networks, labs and people follow from a seed. First things go wrong, then \
      nothing does any more, and all healthy nodes must arrive at one root. What must never happen \
      is looked for at every step.

      EXAMPLE
        $ hanse-sim --nodes 7 --rounds 3 --seed 1 --schedules 100
        $ hanse-sim --seed 42 --faults crashes,partitions

      EXIT CODES
        0 every schedule passed, 1 some failed, 2 wrong use
      """,
    version: "hanse-sim \(Release.version)")

  @Option(help: ArgumentHelp("Labs, those that join later included.", valueName: "labs"))
  var nodes = 5

  @Option(help: ArgumentHelp("Rounds to get through.", valueName: "rounds"))
  var rounds: UInt32 = 3

  @Option(help: ArgumentHelp("Seed of the first schedule.", valueName: "seed"))
  var seed: UInt64 = 1

  @Option(help: ArgumentHelp("Schedules, with seeds from --seed on.", valueName: "count"))
  var schedules = 1

  @Option(
    help: ArgumentHelp(
      "What may go wrong: all, none, or of "
        + Fault.allCases.map(\.rawValue).joined(separator: ","), valueName: "list"))
  var faults = "all"

  @Flag(help: "Have labs join, and one come back, when most rounds are over.")
  var latecomers = false

  @Option(help: ArgumentHelp("Rounds for which payloads are kept.", valueName: "rounds"))
  var retention: UInt32 = 256

  @Flag(help: "Write one JSON document instead of lines.")
  var json = false

  func validate() throws {
    guard (1...1024).contains(nodes) else {
      throw ValidationError("--nodes is \(nodes); give 1 to 1024")
    }
    guard (1...1000).contains(rounds) else {
      throw ValidationError("--rounds is \(rounds); give 1 to 1000")
    }
    guard (1...10_000_000).contains(schedules) else {
      throw ValidationError("--schedules is \(schedules); give 1 to 10000000")
    }
    guard (1...1_000_000).contains(retention) else {
      throw ValidationError("--retention is \(retention); give 1 to 1000000")
    }
    _ = try chosen()
  }

  private func chosen() throws -> [Fault] {
    switch faults {
    case "all": return Fault.allCases
    case "none": return []
    default:
      return try faults.split(separator: ",").map { name in
        guard let fault = Fault(rawValue: String(name)) else {
          throw ValidationError(
            "no fault is called \(String(name).debugDescription); there are all, none, "
              + Fault.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return fault
      }
    }
  }

  func run() throws {
    let chosen = try chosen()
    var rows: [Row] = []
    var failures: [UInt64] = []
    for number in 0..<UInt64(schedules) {
      let schedule = Schedule(
        nodes: nodes, rounds: rounds, seed: seed &+ number, faults: chosen,
        hasLatecomers: latecomers, retention: retention)
      let outcome = try Simulator.run(schedule)
      if !outcome.passed { failures.append(outcome.seed) }
      if json {
        rows.append(Row(outcome))
      } else {
        Lines.say(outcome)
      }
      if !outcome.passed { Lines.explain(outcome, of: schedule, faults: faults) }
    }
    if json {
      try Lines.write(Report(schedules: rows, failures: failures, cost: Cost()))
    } else {
      let cost = Cost()
      print(
        "\(schedules) schedules, \(failures.count) failed, \(cost.cpuSeconds) s of processor time, "
          + "\(cost.peakMiB) MiB at most")
    }
    if !failures.isEmpty { throw ExitCode(1) }
  }

  /// Runs, with the exit codes that every other command has.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let code as ExitCode {
      Glibc.exit(code.rawValue)
    } catch {
      let code = Self.exitCode(for: error)
      let message = Self.fullMessage(for: error)
      if code == .success {
        print(message)
        Glibc.exit(0)
      }
      let isMarked = message.hasPrefix("Error: ")
      Lines.complain((isMarked ? "error: " + message.dropFirst(7) : message) + "\n")
      Glibc.exit(code == .validationFailure ? 2 : 1)
    }
  }
}
