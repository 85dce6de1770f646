import FoundationEssentials
import Identities
import SwiftProtobuf

extension Hanse_V1_KeyRotation {
  /// A lab's wish for a new key, signed with that key: so nobody can propose a key that is not the
  /// lab's to give.
  public init(of lab: LabID, to key: SigningKey) {
    self.init()
    self.lab = Data(lab.bytes)
    newKey = Data(key.publicKey.bytes)
    signature = Data(key.sign(Self.signedBytes(lab)))
  }

  /// Whether lab and key are well formed, and the new key has signed.
  public var isSigned: Bool {
    guard let lab = LabID(bytes: lab), let key = PublicKey(bytes: newKey) else { return false }
    return key.verifies(signature, of: Self.signedBytes(lab))
  }

  private static func signedBytes(_ lab: LabID) -> [UInt8] {
    Array("hanse rotate 1\u{0}".utf8) + lab.bytes
  }
}

/// A rotation as one line to paste, for a lab that has lost its key: base32 of the message and a
/// checksum. It holds no secret. Protocol/Records.md, "Rotations".
public enum KeyRotationText {
  static let prefix = "hansekey1"
  private static let checksumBytes = 5
  /// Characters in a line: a message of 32 + 32 + 64 bytes has 223.
  private static let charactersMax = 1_024

  /// The line for a rotation.
  public static func write(_ rotation: Hanse_V1_KeyRotation) -> String {
    let bytes: [UInt8] = (try? rotation.serializedBytes()) ?? []
    return prefix + Base32.encode(bytes + checksum(bytes))
  }

  /// Reads a line; white space around and inside it is ignored.
  ///
  /// - Throws: ``RecordError`` for text that is no such line, is damaged, or is not signed by the
  ///   key that it names.
  public static func read(_ text: String) throws(RecordError) -> Hanse_V1_KeyRotation {
    let line = text.filter { !$0.isWhitespace }.lowercased()
    guard line.utf8.count <= charactersMax, line.hasPrefix(prefix),
      let bytes = Base32.decode(String(line.dropFirst(prefix.count))),
      bytes.count > checksumBytes
    else { throw .unreadable(what: "a line of hanse rotate-key --request") }
    let body = Array(bytes.dropLast(checksumBytes))
    guard checksum(body) == Array(bytes.suffix(checksumBytes)),
      let rotation = try? Hanse_V1_KeyRotation(serializedBytes: body)
    else { throw .field("the line", "is damaged: its checksum does not fit") }
    guard rotation.isSigned else {
      throw .field("the line", "is not signed by the key that it names")
    }
    return rotation
  }

  private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
    Array(ContentID(of: bytes, kind: .request).bytes.prefix(checksumBytes))
  }
}
