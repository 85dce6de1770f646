import Adapters
import Deltas
import Identities

// Vectors of what stands around a payload: the contribution's fields and the block list.
extension DeltaForge {
  static func announcements() throws -> [VectorFile] {
    let layout = try layout()
    let delta = try plain(layout)
    let body = try PlainFrame.payload(of: delta)
    let zero = try Delta(
      layout: layout, exponents: [0, 0, 0], symbols: [Int8](repeating: 0, count: layout.count))
    func vector(
      _ name: String, _ expect: String, _ comment: String, body: [UInt8] = body,
      _ edit: (inout [(String, String)]) -> Void = { _ in }
    ) -> VectorFile {
      let own = name == "zero" ? zero : delta
      var fields = [
        ("announced-codec", own.tier.name), ("announced-size", "\(body.count)"),
        ("announced-decoded-size", "70"),
        ("announced-symbols", own.symbolsHash().description),
        ("announced-norms", list(own.factorNorms())),
      ]
      edit(&fields)
      return VectorFile(
        "announcement_" + name,
        [("expect", expect), ("comment", comment), ("kind", "announcement")] + describe(layout)
          + fields, body: body)
    }
    return [
      vector("good", "success", "A delta that is what its entry says."),
      vector("codec", "codec", "Another codec than the charter's.") { $0[0].1 = "int3-128" },
      vector("size", "payload-length", "One byte more announced.") {
        $0[1].1 = "\(body.count + 1)"
      },
      vector("decoded_size", "decoded-size", "71 decoded bytes announced.") { $0[2].1 = "71" },
      vector("symbols", "symbols", "The hash of other symbols.") {
        $0[3].1 = zero.symbolsHash().description
      },
      vector("norm", "norms", "A norm that is one too large.") {
        $0[4].1 = list(delta.factorNorms().enumerated().map { $0 == 1 ? $1 + 1 : $1 })
      },
      vector("norm_missing", "norms", "One norm for two factors.") {
        $0[4].1 = list(delta.factorNorms().prefix(1))
      },
      vector(
        "zero", "zero", "A delta that changes nothing.",
        body: try PlainFrame.payload(of: zero)),
    ]
  }

  static func blockLists() throws -> [VectorFile] {
    func good(_ name: String, _ length: Int) throws -> VectorFile {
      let list = try BlockList(of: (0..<length).map { UInt8($0 % 251) })
      return VectorFile(
        "blocklist_" + name,
        [
          ("expect", "success"), ("comment", "Byte i of the payload is i mod 251."),
          ("kind", "block-list"), ("payload-length", "\(length)"), ("id", list.id.description),
        ], body: list.encoded())
    }
    func fault(_ name: String, _ check: String, _ comment: String, _ body: [UInt8]) -> VectorFile {
      VectorFile(
        "blocklist_" + name, [("expect", check), ("comment", comment), ("kind", "block-list")],
        body: body)
    }
    let one = try BlockList(of: [1, 2, 3]).encoded()
    return [
      try good("one_byte", 1), try good("one_block", 262_144), try good("two_blocks", 262_145),
      fault("empty", "block-list-length", "No bytes.", []),
      fault("size_zero", "payload-size", "A payload of nothing.", PlainFrame.word(0, 8)),
      fault(
        "size_large", "payload-size", "2^30 + 1 bytes.", PlainFrame.word(1 << 30 + 1, 8)),
      fault(
        "size_huge", "payload-size", "2^64 - 1 bytes.", [UInt8](repeating: 255, count: 8)),
      fault("hash_missing", "block-list-length", "No hash.", Array(one[..<8])),
      fault("hash_cut", "block-list-length", "A hash of 31 bytes.", one.dropLast()),
      fault("trailing", "block-list-length", "A byte too many.", one + [0]),
    ]
  }
}
