import FoundationEssentials
import Gossip
import Participation
import Records
import Storage
import TOMLKit

/// A node's settings, as `hanse.toml` in its home holds them.
///
/// What a federation has agreed on stands in the charter, not here.
public struct Configuration: Codable, Sendable, Equatable {
  /// What the lab calls itself.
  public var lab: String
  /// The base: a GGUF file or a Hugging Face folder.
  public var model: String
  /// Files of text that the lab trains on.
  public var data: [String]
  /// Files of text for judging only; empty: every tenth document of `data` is kept for it.
  public var heldOut: [String]?
  /// Licence or terms of `data`, which every contribution declares; none: it declares none.
  public var licence: String?
  /// Where other labs may connect, `host:port`; empty for a node that only dials.
  public var listen: String?
  /// Addresses to announce instead of `listen`, for a node behind a forwarded port.
  public var advertise: [String]?
  /// Members known from the ticket, `lab/key@host:port`.
  public var contacts: [String]?
  /// Whether the node trains or only judges and merges.
  public var trains: Bool?
  /// Whether everything is folded from the charter on instead of from an attested state.
  public var fromGenesis: Bool?
  /// `all` keeps payloads for ever, and fetches those that others still have.
  public var keepPayloads: KeepPayloads?
  /// How it trains.
  public var training: Training?
  /// How much of the network it uses.
  public var network: Network?
  /// What trains.
  public var worker: Worker?
  /// What is logged.
  public var log: Log?

  /// Which payloads are kept.
  public enum KeepPayloads: String, Codable, Sendable, Equatable {
    /// Those of the charter's retention.
    case retention
    /// All.
    case all
  }

  /// How a node trains, where it differs from the charter's suggestion.
  public struct Training: Codable, Sendable, Equatable {
    /// `bf16` or `f32`.
    public var dtype: String?
    /// Threads of the worker; 0 or none: all cores.
    public var threads: Int?
    /// Optimiser steps a round.
    public var steps: Int?
    /// Windows a step.
    public var batch: Int?
    /// Highest learning rate.
    public var learningRate: Double?
    /// Tokens of held-out text that are measured; none: 4,096.
    public var heldOutTokens: Int?

    enum CodingKeys: String, CodingKey, CaseIterable {
      case dtype, threads, steps, batch
      case learningRate = "learning_rate"
      case heldOutTokens = "held_out_tokens"
    }
  }

  /// How fast payloads may move, in each direction; what is left out holds nothing back.
  public struct Network: Codable, Sendable, Equatable {
    /// Mbit/s with all labs together.
    public var rateLimitMbit: Double?
    /// Mbit/s with any one lab.
    public var rateLimitPerLabMbit: Double?
    /// The same while the node trains or judges; none: as at other times.
    public var rateLimitTrainingMbit: Double?
    /// Mbit/s with any one lab while the node trains or judges.
    public var rateLimitPerLabTrainingMbit: Double?

    enum CodingKeys: String, CodingKey, CaseIterable {
      case rateLimitMbit = "rate_limit_mbit"
      case rateLimitPerLabMbit = "rate_limit_per_lab_mbit"
      case rateLimitTrainingMbit = "rate_limit_training_mbit"
      case rateLimitPerLabTrainingMbit = "rate_limit_per_lab_training_mbit"
    }

    /// What the mesh is told, at work or not.
    func pace(training: Bool) -> Pace {
      func bytes(_ ordinary: Double?, _ working: Double?) -> Double? {
        (training ? working ?? ordinary : ordinary).map { $0 * 125_000 }
      }
      return Pace(
        bytesPerSecond: bytes(rateLimitMbit, rateLimitTrainingMbit),
        bytesPerSecondPerPeer: bytes(rateLimitPerLabMbit, rateLimitPerLabTrainingMbit))
    }

    fileprivate func validate(_ lines: SettingLines) throws {
      let rates: [(CodingKeys, Double?)] = [
        (.rateLimitMbit, rateLimitMbit),
        (.rateLimitPerLabMbit, rateLimitPerLabMbit),
        (.rateLimitTrainingMbit, rateLimitTrainingMbit),
        (.rateLimitPerLabTrainingMbit, rateLimitPerLabTrainingMbit),
      ]
      for (key, rate) in rates {
        // Slower than this a block would take longer than others wait for it.
        guard let rate, !(1...1_000_000).contains(rate) else { continue }
        throw NodeError.configuration(
          path: lines.place(of: ["network", key.stringValue]),
          reason: "network.\(key.stringValue) is \(rate); give 1 to 1000000, or leave it out")
      }
    }
  }

  /// The command that trains, instead of the built-in worker.
  public struct Worker: Codable, Sendable, Equatable {
    /// Program and arguments; it speaks Protocol/Worker.md on standard input and output.
    public var command: [String]

    enum CodingKeys: String, CodingKey, CaseIterable { case command }
  }

  /// What is logged.
  public struct Log: Codable, Sendable, Equatable {
    /// trace, debug, info, notice, warning or error.
    public var level: String

    enum CodingKeys: String, CodingKey, CaseIterable { case level }
  }

  enum CodingKeys: String, CodingKey, CaseIterable {
    case lab, model, data, licence, listen, advertise, contacts, trains, training, network, worker,
      log
    case heldOut = "held_out"
    case fromGenesis = "from_genesis"
    case keepPayloads = "keep_payloads"
  }

  /// Every key that the file may have.
  private static let known: [SettingLines.Key] = {
    func within(_ table: CodingKeys, _ keys: [any CodingKey]) -> [SettingLines.Key] {
      keys.map { [table.stringValue, $0.stringValue] }
    }
    return CodingKeys.allCases.map { [$0.stringValue] }
      + within(.training, Training.CodingKeys.allCases)
      + within(.network, Network.CodingKeys.allCases)
      + within(.worker, Worker.CodingKeys.allCases) + within(.log, Log.CodingKeys.allCases)
  }()

  /// The settings that a plan asks for.
  public init(plan: HomePlan, contacts: [String]) {
    lab = plan.labName
    model = plan.model
    data = plan.data
    heldOut = plan.heldOut.isEmpty ? nil : plan.heldOut
    listen = plan.listen
    trains = !plan.data.isEmpty
    self.contacts = contacts.isEmpty ? nil : contacts
    fromGenesis = plan.fromGenesis ? true : nil
  }

  /// What of this decides how the node takes part.
  var settings: Participant.Settings {
    var settings = Participant.Settings(
      name: lab, software: NodeCore.software, trains: trains ?? true,
      contacts: (contacts ?? []).compactMap { Contact(text: $0) })
    settings.fromGenesis = fromGenesis ?? false
    settings.keepsPayloads = keepPayloads == .all
    return settings
  }

  /// Reads a file. Unknown keys are errors, so that a misspelt one does not go unnoticed.
  public static func read(_ path: String) throws -> Configuration {
    let bytes = try DurableFile.read(path, limit: 1 << 20)
    let text = String(decoding: bytes, as: UTF8.self)
    var lines: SettingLines?
    do {
      let table = try TOMLTable(string: text)
      let found = SettingLines(text, path: path)
      lines = found
      try found.refuse(butFor: known)
      let settings = try TOMLDecoder().decode(Configuration.self, from: table)
      try settings.validate(found)
      return settings
    } catch let error as TOMLParseError {
      throw NodeError.configuration(
        path: "\(path):\(error.source.begin.line)", reason: error.description)
    } catch let error as DecodingError {
      let (key, reason) = Self.explain(error, in: lines)
      throw NodeError.configuration(path: lines?.place(of: key) ?? path, reason: reason)
    }
  }

  private func validate(_ lines: SettingLines) throws {
    func refuse(_ key: SettingLines.Key, _ reason: String) throws -> Never {
      throw NodeError.configuration(path: lines.place(of: key), reason: reason)
    }
    if lab.isEmpty { try refuse(["lab"], "lab is empty") }
    if trains != false, data.isEmpty {
      try refuse(["data"], "data is empty; name files of text, or set trains = false")
    }
    if let licence, licence.utf8.count > Limits.textBytesMax {
      try refuse(["licence"], "licence is longer than \(Limits.textBytesMax) bytes")
    }
    try network?.validate(lines)
    if let dtype = training?.dtype, !["bf16", "f32"].contains(dtype) {
      try refuse(
        ["training", "dtype"], "training.dtype is \(printable(dtype, limit: 80)), not bf16 or f32")
    }
    if let command = worker?.command, command.isEmpty {
      try refuse(["worker", "command"], "worker.command is empty")
    }
  }

  /// The key that cannot be read, and why.
  private static func explain(
    _ error: DecodingError, in lines: SettingLines?
  ) -> (SettingLines.Key, String) {
    func wrongType(_ key: SettingLines.Key) -> (SettingLines.Key, String) {
      (key, "\(SettingLines.name(key)) has the wrong type")
    }
    switch error {
    case .keyNotFound(let missing, let context):
      // The decoder's path to it ends with the key itself; one of another type it calls missing.
      let path = context.codingPath.map(\.stringValue)
      let key = path.last == missing.stringValue ? path : path + [missing.stringValue]
      if lines?.keys.contains(where: { $0.key == key }) == true {
        return wrongType(key)
      }
      return (key, "the key \(SettingLines.name(key)) is missing")
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return wrongType(context.codingPath.map(\.stringValue))
    case .dataCorrupted(let context):
      let key = context.codingPath.map(\.stringValue)
      return (key, "\(SettingLines.name(key)) cannot be read: \(context.debugDescription)")
    @unknown default: return ([], "\(error)")
    }
  }

  /// The file's text, with the keys that people change most explained.
  public func text() -> String {
    let heldOutLine = heldOut.map { "held_out = \(Self.quoted($0))" } ?? "# held_out = []"
    let licenceLine =
      licence.map { "licence = \(Self.quoted($0))" } ?? "# licence = \"CC-BY-SA-4.0\""
    let listenLine = listen.map { "listen = \(Self.quoted($0))" } ?? "# listen = \"0.0.0.0:7400\""
    var lines: [String] = [
      "# This node's settings. What the federation agreed on stands in its charter.",
      "lab = \(Self.quoted(lab))",
      "model = \(Self.quoted(model))",
      "data = \(Self.quoted(data))",
      "# Text for judging only; without it every tenth document of data is kept for that.",
      heldOutLine,
      "# Licence or terms of data, which every contribution declares to the other labs.",
      licenceLine,
      "# Where other labs may connect; leave it out behind a NAT, the node then only dials.",
      listenLine,
      "trains = \(trains ?? true)",
    ]
    if let advertise { lines.append("advertise = \(Self.quoted(advertise))") }
    if let fromGenesis { lines.append("from_genesis = \(fromGenesis)") }
    if let keepPayloads { lines.append("keep_payloads = \"\(keepPayloads.rawValue)\"") }
    if let contacts { lines.append("contacts = \(Self.quoted(contacts))") }
    lines += [
      "", "[training]", "dtype = \"bf16\"", "# threads = 2", "", "[log]", "level = \"info\"", "",
    ]
    return lines.joined(separator: "\n")
  }

  private static func quoted(_ texts: [String]) -> String {
    "[" + texts.map(quoted).joined(separator: ", ") + "]"
  }

  /// A TOML basic string.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        result += "\\u" + String(format16(scalar.value))
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  private static func format16(_ value: UInt32) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }
}
