import Gossip

extension TransportError {
  /// What an error of TLS means, in words: BoringSSL's own name a line of its source, and what is
  /// most often behind them is a clock, a certificate or another program.
  static func ofTLS(_ error: any Error) -> TransportError {
    let text = "\(error)"
    let mark = "OPENSSL_internal:"
    guard let place = text.firstRange(of: mark) else { return .handshake(printable(text)) }
    let code = text[place.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" }
    switch code {
    case "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION":
      return .handshake("the other side does not speak TLS 1.3")
    case "PEER_DID_NOT_RETURN_A_CERTIFICATE": return .handshake("no certificate was shown")
    case "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST":
      return .handshake("the other side does not speak TLS")
    case "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "SSLV3_ALERT_BAD_CERTIFICATE",
      "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED",
      "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA",
      "TLSV1_ALERT_CERTIFICATE_REQUIRED":
      return .certificateRefused
    case "SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_COMMON_SIGNATURE_ALGORITHMS", "NO_SHARED_CIPHER":
      return .handshake("the two sides have no kind of key or cipher in common")
    default:
      return .handshake(code.lowercased().split(separator: "_").joined(separator: " "))
    }
  }
}
