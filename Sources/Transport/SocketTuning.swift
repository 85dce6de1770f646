import Glibc
import Gossip
import NIOCore
import NIOPosix

/// How sockets are set, and what their errors mean in words.
enum SocketTuning {
  /// Linux `TCP_NOTSENT_LOWAT`: what the kernel keeps of unsent bytes. Without it megabytes of
  /// blocks lie there, and a ping waits behind them.
  static let notSentOption = ChannelOptions.Types.SocketOption(
    level: .tcp, name: NIOBSDSocket.Option(rawValue: 25))
  static let notSentBytes = SocketOptionValue(TransportLimits.socketBytes)
  /// What NIO keeps above that before it says that no more should be written.
  static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(
    low: TransportLimits.socketBytes / 4, high: TransportLimits.socketBytes)
  static let receiveBuffers = AdaptiveRecvByteBufferAllocator(
    minimum: 1024, initial: 16 * 1024, maximum: 2 * TransportLimits.socketBytes)

  /// The other side's address without its port.
  static func host(of channel: any Channel) -> String {
    channel.remoteAddress?.ipAddress ?? "unknown"
  }

  /// The other side's address and port.
  static func peer(of channel: any Channel) -> String {
    guard let port = channel.remoteAddress?.port, (0...65535).contains(port) else {
      return "unknown"
    }
    return Endpoint(host: host(of: channel), port: port).description
  }

  /// Why a connection was not made, in words.
  static func connectReason(_ error: any Error) -> String {
    if let error = error as? NIOConnectionError {
      if let first = error.connectionErrors.first { return connectReason(first.error) }
      return TransportError.unresolved
    }
    if let error = error as? IOError { return systemMessage(error.errnoCode) }
    if case .connectTimeout? = error as? ChannelError {
      return "no answer within \(TransportLimits.connectSeconds) seconds"
    }
    return printable("\(error)")
  }

  /// Why an address cannot be listened on, and what to do about it.
  static func listenError(_ error: any Error, _ listen: Endpoint) -> TransportError {
    let code = (error as? IOError)?.errnoCode
    let hint =
      switch code {
      case EADDRINUSE: "another hansed may be running; stop it, or listen on another port"
      case EACCES: "ports below 1024 belong to root; choose a higher one"
      case EADDRNOTAVAIL: "0.0.0.0:\(listen.port) listens on all of this machine's addresses"
      default: "check the host and the port"
      }
    let reason = code.map(systemMessage) ?? printable("\(error)")
    return .cannotListen(address: "\(listen)", reason: reason, hint: hint)
  }

  private static func systemMessage(_ code: CInt) -> String {
    strerror(code).map { String(cString: $0) } ?? "error \(code)"
  }
}
