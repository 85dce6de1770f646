import FoundationEssentials
import Identities
import SwiftProtobuf

/// A stranger's request to join, with both of its signatures checked.
///
/// Signed with the lab's own key, which proves that it holds the key, and with the ticket's
/// one-time key, whose public half a member announced in its log: so any member can check the
/// request.
public struct JoinAsk: Sendable, Hashable {
  /// Content id of the request's body.
  public let id: ContentID
  /// The key that the lab will sign its log with.
  public let key: PublicKey
  /// The invitation's public half.
  public let invitation: PublicKey
  /// What the lab calls itself.
  public let name: String
  /// Where it may be dialled.
  public let addresses: [String]
  /// Which federation it asks for.
  public let federation: ContentID
  /// When it asked, Unix seconds, informative.
  public let timeSeconds: UInt64
  /// Whether it only asks for the charter, to compare the base model before it asks to join.
  public let charterOnly: Bool
  /// The request as carried.
  public let request: Hanse_V1_JoinRequest

  /// The lab that would be admitted.
  public var lab: LabID { LabID(firstKey: key) }

  /// Reads and checks a request.
  public init(_ request: Hanse_V1_JoinRequest) throws(RecordError) {
    guard request.body.count <= Limits.guestBytesMax else {
      throw .tooLarge(
        what: "a join request", bytes: request.body.count, limit: Limits.guestBytesMax)
    }
    guard let body = try? Hanse_V1_JoinRequestBody(serializedBytes: Array(request.body)) else {
      throw .unreadable(what: "a join request")
    }
    guard let federation = ContentID(bytes: body.federation) else {
      throw .field("request.federation", "is not an id")
    }
    guard let key = PublicKey(bytes: body.key) else { throw .field("request.key", "is not a key") }
    guard let invitation = PublicKey(bytes: body.invitation) else {
      throw .field("request.invitation", "is not a key")
    }
    guard !body.name.isEmpty else { throw .field("request.name", "is empty") }
    try PayloadCheck.name(body.name, "request.name")
    try PayloadCheck.addresses(body.addresses)
    let signed = Self.signedBytes(Array(request.body))
    guard key.verifies(request.labSignature, of: signed) else {
      throw .field("request.lab_signature", "does not fit the request")
    }
    guard invitation.verifies(request.invitationSignature, of: signed) else {
      throw .field("request.invitation_signature", "does not fit the request")
    }
    self.id = ContentID(of: Array(request.body), kind: .request)
    self.key = key
    self.invitation = invitation
    self.name = body.name
    self.addresses = body.addresses
    self.federation = federation
    self.timeSeconds = body.timeSeconds
    self.charterOnly = body.charterOnly
    self.request = request
  }

  /// Writes a request and signs it twice.
  public static func sign(
    _ body: Hanse_V1_JoinRequestBody, lab: SigningKey, invitation: SigningKey
  ) throws(RecordError) -> Hanse_V1_JoinRequest {
    var body = body
    body.key = .init(lab.publicKey.bytes)
    body.invitation = .init(invitation.publicKey.bytes)
    guard let bytes: [UInt8] = try? body.serializedBytes() else {
      throw .unreadable(what: "a join request")
    }
    var request = Hanse_V1_JoinRequest()
    request.body = .init(bytes)
    request.labSignature = .init(lab.sign(signedBytes(bytes)))
    request.invitationSignature = .init(invitation.sign(signedBytes(bytes)))
    _ = try JoinAsk(request)
    return request
  }

  private static func signedBytes(_ body: [UInt8]) -> [UInt8] {
    Array("hanse join 1\u{0}".utf8) + body
  }
}
