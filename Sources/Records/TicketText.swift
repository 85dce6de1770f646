import Identities
import SwiftProtobuf

/// A ticket as one line to paste: `hanse1`, base32 of the message, and a checksum.
public enum TicketText {
  /// What every ticket begins with.
  public static let prefix = "hanse1"
  private static let checksumBytes = 5

  /// Why a text is not a ticket.
  public enum Failure: Error, Equatable, CustomStringConvertible {
    case notATicket
    case tooLong(Int)
    case damaged
    case unreadable(String)

    public var description: String {
      switch self {
      case .notATicket: "this is not a ticket: a ticket begins with \(prefix)"
      case .tooLong(let count): "this ticket has \(count) characters; no ticket is that long"
      case .damaged: "this ticket is damaged: its checksum does not fit"
      case .unreadable(let why): "this ticket cannot be read: \(why)"
      }
    }
  }

  /// The line for a ticket.
  public static func write(_ ticket: Hanse_V1_Ticket) -> String {
    let bytes: [UInt8] = (try? ticket.serializedBytes()) ?? []
    let checksum = ContentID(of: bytes, kind: .ticket).bytes.prefix(checksumBytes)
    return prefix + Base32.encode(bytes + checksum)
  }

  /// Reads a line; white space around and inside it, as mail programs add it, is ignored.
  public static func read(_ text: String) throws(Failure) -> Hanse_V1_Ticket {
    guard text.utf8.count <= 16_384 else { throw .tooLong(text.utf8.count) }
    let line = text.filter { !$0.isWhitespace }.lowercased()
    guard line.hasPrefix(prefix) else { throw .notATicket }
    guard let bytes = Base32.decode(String(line.dropFirst(prefix.count))),
      bytes.count > checksumBytes
    else { throw .damaged }
    let body = Array(bytes.dropLast(checksumBytes))
    guard
      Array(ContentID(of: body, kind: .ticket).bytes.prefix(checksumBytes))
        == Array(bytes.suffix(checksumBytes))
    else { throw .damaged }
    guard let ticket = try? Hanse_V1_Ticket(serializedBytes: body) else {
      throw .unreadable("not the message it should be")
    }
    guard ContentID(bytes: ticket.federation) != nil else { throw .unreadable("no federation") }
    guard SigningKey(seed: Array(ticket.invitationSeed)) != nil else {
      throw .unreadable("no invitation key")
    }
    guard !ticket.contacts.isEmpty, ticket.contacts.count <= Limits.labsMax,
      ticket.contacts.allSatisfy({
        PublicKey(bytes: $0.key) != nil && LabID(bytes: $0.lab) != nil
          && $0.addresses.count <= Limits.addressesMax
      })
    else { throw .unreadable("no contact to ask") }
    return ticket
  }
}
