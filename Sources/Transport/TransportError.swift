import Gossip
import Identities
import Records

/// Why a connection was not made, or ended.
public enum TransportError: Error, Equatable, Sendable {
  /// The text is not `host:port`.
  case badAddress(String)
  /// The address cannot be listened on.
  case cannotListen(address: String, reason: String, hint: String)
  /// No TCP connection came about.
  case cannotConnect(address: String, reason: String)
  /// The other side's certificate is not one that a lab shows.
  case badCertificate(String)
  /// The other side does not take the certificate that this one shows.
  case certificateRefused
  /// Another key than the expected one.
  case wrongKey(expected: PublicKey, found: PublicKey)
  /// The key was the lab's when it was looked for, and is no longer.
  case keyGivenUp
  /// The node dialled itself.
  case dialledItself
  /// TLS failed.
  case handshake(String)
  /// The other side does not speak `hanse/1`.
  case wrongProtocol(String?)
  /// Nothing came in time.
  case timedOut(awaiting: String, seconds: Double)
  /// The frame that is announced is longer than allowed.
  case frameTooLong(bytes: Int, limit: Int)
  /// A frame is empty or does not decode.
  case undecodable
  /// A frame arrives slower than any link is.
  case tooSlow
  /// What is sent is not taken in.
  case notReading
  /// A guest sent something else than one request, or too much.
  case guestOutOfTurn
  /// The other side said why it ends the connection.
  case goodbye(String)
  /// The other side closed without a word.
  case closedByPeer
  /// The socket failed.
  case io(String)
  /// This side closed it.
  case closedHere(String)
  /// The key is on the roster already: nothing to ask for.
  case alreadyMember
}

extension TransportError {
  /// The reason of a ``cannotConnect(address:reason:)`` whose host has no address.
  public static let unresolved = "the name cannot be resolved"
  /// The reason of a ``badCertificate(_:)`` from the future.
  public static let tooEarly = "it is not valid yet"
  /// The reason of a ``badCertificate(_:)`` from the past.
  public static let tooLate = "it has expired"
}

extension TransportError {
  /// Whether the connection of somebody who is no member ended as it should.
  var isOrderly: Bool {
    if case .closedHere = self { true } else { false }
  }
}

extension TransportError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .badAddress(let text): "\(printable(text)) is not an address like host:port"
    case .cannotListen(let address, let reason, _):
      "cannot listen on \(address): \(reason)\n"
        + "hint: change listen in hanse.toml, or end what has that port (ss -ltnp)"
    case .cannotConnect(let address, let reason): "cannot connect to \(address): \(reason)"
    case .badCertificate(let reason): "its certificate is refused: \(reason)"
    case .certificateRefused: "it refuses this node's certificate"
    case .wrongKey(let expected, let found):
      "it has the key \(found.fingerprint) instead of the expected \(expected.fingerprint)"
    case .keyGivenUp: "its key is no longer on the roster"
    case .dialledItself: "the address leads to this node itself"
    case .handshake(let reason): "the TLS handshake failed: \(reason)"
    case .wrongProtocol(let name):
      "it does not speak hanse/1" + (name.map { " but \(printable($0, limit: 32))" } ?? "")
    case .timedOut(let what, let seconds): "no \(what) within \(Int(seconds.rounded(.up))) seconds"
    case .frameTooLong(let bytes, let limit):
      "it announced a frame of \(bytes) bytes; \(limit) are allowed"
    case .undecodable: "it sent a frame that does not decode"
    case .tooSlow: "it sends a frame too slowly"
    case .notReading: "it does not take in what is sent"
    case .guestOutOfTurn: "as a guest it may send one request to join and nothing else"
    case .goodbye(let reason): "it said goodbye: \(printable(reason))"
    case .closedByPeer: "it closed the connection"
    case .io(let reason): "the connection failed: \(reason)"
    case .closedHere(let reason): "closed here: \(reason)"
    case .alreadyMember: "this lab's key is already on the roster"
    }
  }

  /// What to do about it, where that is not plain; for a `hint:` line.
  public var hint: String? {
    switch self {
    case .cannotListen(_, _, let hint): hint
    case .badAddress: "write the host and the port, for example lab.example:7447 or [::1]:7447"
    case .cannotConnect: "is hansed running there, and does its firewall let the port through?"
    case .badCertificate, .certificateRefused: "are the clocks of both machines right?"
    case .wrongKey: "the lab has changed its key, or another machine answers at the address"
    default: nil
    }
  }
}
