import Adapters
import Identities
import Merging

// Vectors of the fold's parts: starts, square roots, shares and snapshots.
extension MergeForge {
  static func parts() throws -> [VectorFile] {
    try starts() + roots() + shares() + snapshots()
  }

  private static func starts() throws -> [VectorFile] {
    func start(
      _ name: String, _ comment: String, seed: String, rank: Int,
      _ modules: [(String, Int, Int)]
    ) throws -> VectorFile {
      let layout = try AdapterLayout(
        rank: rank, alpha: 1,
        modules: modules.map { AdapterModule(path: $0.0, inputs: $0.1, outputs: $0.2) })
      let state = FoldState.start(layout: layout, seed: VectorFile.bytes(hex: seed)!)
      return VectorFile(
        name,
        [
          ("expect", "success"), ("comment", comment), ("kind", "start"), ("rank", "\(rank)"),
          ("alpha", "1"),
        ] + modules.map { ("module", "\($0.0) \($0.1) \($0.2)") } + [
          ("seed", seed), ("theta", MergeScript.list(state.theta)),
          ("root", state.root.description),
        ])
    }
    let zeros = String(repeating: "00", count: 32)
    return [
      try start(
        "start_one_input", "Bound 2^40, so that nearly every second word is drawn again.",
        seed: zeros, rank: 8, [("m", 1, 1)]),
      try start(
        "start_two_modules", "One stream for all factors, in the layout's order.", seed: zeros,
        rank: 2, [("q", 3, 2), ("v", 7, 1)]),
      try start(
        "start_other_seed", "Another seed, another start.",
        seed: String(repeating: "01", count: 32), rank: 2, [("q", 3, 2), ("v", 7, 1)]),
      try start("start_no_seed", "A seed may have any length.", seed: "", rank: 1, [("m", 4, 1)]),
    ]
  }

  private static func roots() -> [VectorFile] {
    let values: [(String, UInt128)] = [
      ("zero", 0), ("three", 3), ("four", 4), ("word", 1 << 64), ("below_square", (1 << 80) - 1),
      ("start_576", (1 << 80) / 576), ("largest", .max),
    ]
    return values.map { name, value in
      VectorFile(
        "root_" + name,
        [
          ("expect", "success"), ("kind", "square-root"), ("value", "\(value)"),
          ("square-root", "\(integerSquareRoot(value))"),
        ])
    }
  }

  private static func shares() -> [VectorFile] {
    let cases: [(String, String, [UInt64])] = [
      ("one", "All of it.", [17]),
      ("seven", "Two units are missing: they go to the two lowest ids.", [1, 1, 1, 1, 1, 1, 1]),
      ("remainders", "Missing units go to the largest remainders.", [3, 5, 7, 11, 13]),
      ("zero_median", "A median of zero: all alike.", [0, 0, 1]),
      ("some_zero", "No tokens, no weight, unless most have none.", [0, 4, 4]),
      ("largest", "The largest counts.", [.max, .max, .max, 1]),
    ]
    return cases.map { name, comment, tokens in
      VectorFile(
        "shares_" + name,
        [
          ("expect", "success"), ("comment", comment), ("kind", "shares"),
          ("tokens", MergeScript.list(tokens)),
          ("shares", MergeScript.list(Weights.shares(tokens: tokens))),
        ])
    }
  }

  private static func snapshots() throws -> [VectorFile] {
    let layout = try MergeScript.smallLayout()
    let limit: Int64 = 1 << 58
    let good = try snapshot(
      theta: [limit, -limit, 1, -1], velocity: [0, 5, -limit, limit], medians: [0, .max])
    let root = ContentID(of: good, kind: .state)
    func vector(
      _ name: String, _ expect: String, _ comment: String,
      _ edit: (inout [UInt8]) -> Void = { _ in }
    ) -> VectorFile {
      var body = good
      edit(&body)
      return VectorFile(
        "snapshot_" + name,
        [
          ("expect", expect), ("comment", comment), ("kind", "snapshot"),
          ("rank", "\(layout.rank)"), ("alpha", "\(layout.alpha)"), ("module", "m 2 2"),
          ("root", root.description),
        ], body: body)
    }
    return [
      vector("good", "success", "Numbers at both ends of their range."),
      vector("empty", "state-magic", "No bytes.") { $0 = [] },
      vector("magic", "state-magic", "HANSESTB.") { $0[7] = 0x42 },
      vector("head_cut", "state-length", "47 bytes.") { $0 = Array($0[..<47]) },
      vector("version", "state-version", "Version 2.") { $0[8] = 2 },
      vector("reserved", "state-reserved", "Byte 15 is 1.") { $0[15] = 1 },
      vector("layout", "state-layout", "A layout's id with one bit changed.") { $0[16] ^= 1 },
      vector("cut", "state-length", "The last byte is missing.") { $0.removeLast() },
      vector("trailing", "state-length", "A byte too many.") { $0.append(0) },
      vector("theta_range", "state-range", "A coordinate of 2^58 + 1.") { $0[64] = 1 },
      vector("velocity_range", "state-range", "A velocity of -2^63.") {
        $0.replaceSubrange(120..<128, with: [0, 0, 0, 0, 0, 0, 0, 0x80])
      },
      vector("bit", "state-root", "One bit of a median.") { $0[48] ^= 1 },
    ]
  }
}
