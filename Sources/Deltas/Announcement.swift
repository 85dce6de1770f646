import Adapters
import FoundationEssentials
import Identities
import Records

// What a contribution entry says of its delta, and how a reader holds the delta to it.
extension Delta {
  /// The payload fields of the entry that announces this delta, packed as `packed`.
  ///
  /// Throws ``DeltaError/payloadSize(limit:found:)`` for a payload beyond the limit.
  public func payload(packed: [UInt8]) throws -> Hanse_V1_Payload {
    var payload = Hanse_V1_Payload()
    payload.codec = tier.name
    payload.size = UInt64(packed.count)
    payload.decodedSize = UInt64(try DeltaHeader(reading: packed).streamLength)
    payload.blockList = Data(try BlockList(of: packed).id.bytes)
    payload.symbols = Data(symbolsHash().bytes)
    return payload
  }

  /// The delta in `bytes`, if it is the one that `contribution` announces.
  ///
  /// The structural checks of admission that concern the payload: codec, sizes, every check of
  /// ``unpack(_:layout:tier:)``, symbols hash, norms, and that it is not zero. The block list is
  /// checked block by block on arrival. Throws ``DeltaError`` naming the first that fails.
  public static func unpack(
    _ bytes: [UInt8], announcedBy contribution: Hanse_V1_Contribution, layout: AdapterLayout,
    tier: DeltaTier
  ) throws -> Delta {
    let payload = contribution.payload
    guard payload.codec == tier.name else { throw DeltaError.codec(payload.codec) }
    guard payload.size == UInt64(bytes.count) else {
      throw DeltaError.payloadLength(expected: payload.size, found: bytes.count)
    }
    let streamLength = Int(try DeltaHeader(reading: bytes).streamLength)
    guard payload.decodedSize == UInt64(streamLength) else {
      throw DeltaError.decodedSize(expected: payload.decodedSize, found: streamLength)
    }
    let delta = try unpack(bytes, layout: layout, tier: tier)
    let symbols = delta.symbolsHash()
    guard let announced = ContentID(bytes: payload.symbols), announced == symbols else {
      let announced = ContentID(bytes: payload.symbols)
      throw DeltaError.symbols(
        expected: announced ?? ContentID(of: [], kind: .symbols), found: symbols)
    }
    try delta.check(norms: contribution.factorNorms)
    return delta
  }

  /// Whether `norms` are exactly this delta's, and not all zero.
  func check(norms: [UInt64]) throws {
    let own = factorNorms()
    guard norms.count == own.count else {
      throw DeltaError.norms(factor: min(norms.count, own.count))
    }
    if let factor = own.indices.first(where: { own[$0] != norms[$0] }) {
      throw DeltaError.norms(factor: factor)
    }
    guard own.contains(where: { $0 != 0 }) else { throw DeltaError.zero }
  }
}
