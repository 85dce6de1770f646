import CSodium

/// Numbers that follow from a 32-byte seed on every machine: the ChaCha20 (IETF) key stream.
///
/// Block after block of the key stream under an all-zero nonce, read as little-endian 64-bit words.
/// This is what an adapter's start is drawn from; see Protocol/Merge.md.
public struct DeterministicStream: Sendable {
  private static let blockBytes = 4096
  private let seed: [UInt8]
  private var counter: UInt32 = 0
  private var buffer: [UInt8] = []
  private var position = 0

  /// The stream of a seed. Precondition: 32 bytes.
  public init(seed: [UInt8]) {
    precondition(seed.count == 32, "a stream's seed has 32 bytes, not \(seed.count)")
    Sodium.ready()
    self.seed = seed
  }

  /// The next word. The stream holds 2³² blocks of 64 bytes, far more than any adapter draws.
  public mutating func next() -> UInt64 {
    if position == buffer.count { refill() }
    var word: UInt64 = 0
    for index in 0..<8 { word |= UInt64(buffer[position + index]) << UInt64(8 * index) }
    position += 8
    return word
  }

  private mutating func refill() {
    let zeros = [UInt8](repeating: 0, count: Self.blockBytes)
    let nonce = [UInt8](repeating: 0, count: 12)
    buffer = zeros
    crypto_stream_chacha20_ietf_xor_ic(
      &buffer, zeros, UInt64(Self.blockBytes), nonce, counter, seed)
    counter &+= UInt32(Self.blockBytes / 64)
    position = 0
  }
}
