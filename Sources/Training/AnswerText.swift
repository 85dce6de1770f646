/// Tokens' bytes on their way to becoming text: a token may end in the middle of a character, and a
/// text that ends the answer may be spelt by several tokens.
public struct AnswerText: Sendable {
  /// The longest text that ends an answer, in bytes, and how many there may be.
  public static let limits = (bytes: 1024, texts: 64)

  private let stops: [[UInt8]]
  private var pending: [UInt8] = []
  /// The text that ended the answer, when one did.
  public private(set) var found: String?

  /// Looks for any of these texts. Throws ``TrainingError/setting(name:value:allowed:)`` for an
  /// empty one, one that is too long, or too many.
  public init(stops: [String] = []) throws {
    guard stops.count <= Self.limits.texts else {
      throw TrainingError.setting(
        name: "stop", value: "\(stops.count) texts", allowed: "at most \(Self.limits.texts)")
    }
    for stop in stops where !(1...Self.limits.bytes).contains(stop.utf8.count) {
      throw TrainingError.setting(
        name: "stop", value: "\(stop.utf8.count) bytes long",
        allowed: "1 to \(Self.limits.bytes) bytes long")
    }
    self.stops = stops.map { Array($0.utf8) }
  }

  /// Takes a token's bytes and gives the text that is certain by now: whole characters that cannot
  /// be the beginning of a text that ends the answer.
  public mutating func append(_ bytes: [UInt8]) -> String {
    guard found == nil else { return "" }
    pending += bytes
    if let (start, stop) = firstStop {
      found = String(decoding: stop, as: UTF8.self)
      let text = String(decoding: pending[..<start], as: UTF8.self)
      pending = []
      return text
    }
    let complete = pending.count - max(unfinished, begun)
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// What is left at the end, complete or not.
  public mutating func rest() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The earliest stop in what is pending; of several at one place the first named.
  private var firstStop: (start: Int, stop: [UInt8])? {
    for start in pending.indices {
      for stop in stops where pending[start...].starts(with: stop) { return (start, stop) }
    }
    return nil
  }

  /// Bytes at the end that begin a character whose other bytes may follow.
  private var unfinished: Int {
    for (back, byte) in pending.reversed().prefix(3).enumerated() where byte >= 0xC0 {
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
      return length > back + 1 ? back + 1 : 0
    }
    return 0
  }

  /// Bytes at the end that begin a stop.
  private var begun: Int {
    let longest = stops.map { $0.count - 1 }.max() ?? 0
    for start in max(0, pending.count - longest)..<pending.count
    where stops.contains(where: { $0.starts(with: pending[start...]) }) {
      return pending.count - start
    }
    return 0
  }
}
