import FoundationEssentials

/// An answer of a node, in JSON with names in snake case. See Protocol/Control.md.
///
/// A page's version grows when a field changes its meaning or goes away; new fields do not grow it,
/// and readers skip the ones they do not know.
public protocol Page: Codable, Sendable, Equatable {
  /// The version that this program writes.
  static var version: Int { get }
}

extension Page {
  /// The first version.
  public static var version: Int { 1 }
}

/// Pages and requests to bytes and back.
public enum PageCoding {
  /// A page with its version in front, keys sorted.
  public static func encode<Content: Page>(_ page: Content) throws -> Data {
    try encoder().encode(Versioned(version: Content.version, page: page))
  }

  /// A page on several lines, for scripts and for people's terminals: what could turn or hide text
  /// there is written as JSON's own escapes.
  public static func text<Content: Page>(_ page: Content) throws -> String {
    let encoder = encoder()
    encoder.outputFormatting.insert(.prettyPrinted)
    let data = try encoder.encode(Versioned(version: Content.version, page: page))
    return PlainText.escapeInJSON(String(decoding: data, as: UTF8.self))
  }

  /// A page from its bytes. Throws ``ControlError`` for a version that is not known here.
  public static func decode<Content: Page>(_ type: Content.Type, from data: Data) throws -> Content
  {
    let decoder = decoder()
    if let found = try? decoder.decode(VersionOnly.self, from: data).version,
      found != Content.version
    {
      throw ControlError(
        .failed, "the daemon speaks version \(found) of this page, this program \(Content.version)",
        hint: "use hanse and hansed of the same release")
    }
    do {
      return try decoder.decode(Content.self, from: data)
    } catch {
      throw ControlError(
        .failed, "the answer is not the page asked for: \(error)",
        hint: "use hanse and hansed of the same release")
    }
  }

  /// A coder of the plain values that travel: requests and errors.
  static func encoder() -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return encoder
  }

  static func decoder() -> JSONDecoder {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return decoder
  }

  private struct VersionOnly: Decodable {
    var version: Int
  }

  private struct Versioned<Content: Page>: Encodable {
    var version: Int
    var page: Content

    enum Keys: CodingKey { case version }

    func encode(to encoder: any Encoder) throws {
      try page.encode(to: encoder)
      var values = encoder.container(keyedBy: Keys.self)
      try values.encode(version, forKey: .version)
    }
  }
}
