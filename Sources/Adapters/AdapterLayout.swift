import Identities

/// A linear map of the base that carries a pair of LoRA factors.
public struct AdapterModule: Sendable, Hashable {
  /// The module's name in the base, such as `model.layers.0.self_attn.q_proj`.
  public let path: String
  /// Length of the vectors that go in: columns of A.
  public let inputs: Int
  /// Length of the vectors that come out: rows of B.
  public let outputs: Int

  /// A module of the base. Nothing is checked here; ``AdapterLayout`` does.
  public init(path: String, inputs: Int, outputs: Int) {
    self.path = path
    self.inputs = inputs
    self.outputs = outputs
  }
}

/// Where an adapter's numbers sit: which modules have factors, and at which offset of one flat
/// list.
///
/// Per module in order: A `[rank, inputs]`, then B `[outputs, rank]`, both row by row. Two layouts
/// are equal when their ids are. See Protocol/Delta.md, "Layout".
public struct AdapterLayout: Sendable, Equatable {
  /// Largest rank: beyond it a full fine-tune is the better tool.
  public static let maximumRank = 1024
  /// Largest alpha.
  public static let maximumAlpha = 65_536
  /// Most modules: 2,000 layers of seven.
  public static let maximumModules = 16_384
  /// Longest path in bytes.
  public static let maximumPathBytes = 256
  /// Longest side of a module: four times the largest vocabulary in use.
  public static let maximumSide = 1 << 20
  /// Most numbers in an adapter: a state of 4 GiB, rank 16 on everything in a 70 B model.
  public static let maximumCount = 1 << 28

  /// One of the two matrices of a module.
  public struct Factor: Sendable, Hashable {
    /// Which of the two a factor is.
    public enum Kind: String, Sendable {
      /// The one applied first, `[rank, inputs]`.
      case a = "lora_A"
      /// The one applied second, `[outputs, rank]`.
      case b = "lora_B"
    }

    /// Index of the module in ``AdapterLayout/modules``.
    public let module: Int
    /// A or B.
    public let kind: Kind
    /// Rows of the matrix.
    public let rows: Int
    /// Columns of the matrix.
    public let columns: Int
    /// Index of the first number in the flat list.
    public let offset: Int
    /// The module's path with `.lora_A` or `.lora_B`.
    public let name: String

    /// Numbers in the matrix.
    public var count: Int { rows * columns }
    /// Where the matrix sits in the flat list.
    public var range: Range<Int> { offset..<offset + rows * columns }
  }

  /// What the product of the factors is multiplied by.
  public enum Scaling: String, Sendable {
    /// alpha / rank.
    case standard
    /// alpha / √rank (Kalajdzievski, 2023, arXiv:2312.03732): PEFT's `use_rslora`.
    case rankStabilised = "rslora"
  }

  /// Inner dimension of every pair.
  public let rank: Int
  /// Numerator of ``scale``.
  public let alpha: Int
  /// How ``scale`` follows from alpha and rank.
  public let scaling: Scaling
  /// The modules, in the order of the flat list.
  public let modules: [AdapterModule]
  /// A and B of each module, in the order of the flat list.
  public let factors: [Factor]
  /// Numbers in all factors together.
  public let count: Int
  /// The content id of ``encoded()``.
  public let id: ContentID

  /// What the product of the factors is multiplied by.
  public var scale: Float {
    switch scaling {
    case .standard: Float(alpha) / Float(rank)
    case .rankStabilised: Float(Double(alpha) / Double(rank).squareRoot())
    }
  }

  /// Lays the factors of `modules` out. Throws ``AdapterError`` naming what is out of bounds.
  public init(
    rank: Int, alpha: Int, modules: [AdapterModule], scaling: Scaling = .standard
  ) throws(AdapterError) {
    guard (1...Self.maximumRank).contains(rank) else { throw AdapterError.rank(rank) }
    guard (1...Self.maximumAlpha).contains(alpha) else { throw AdapterError.alpha(alpha) }
    guard (1...Self.maximumModules).contains(modules.count) else {
      throw AdapterError.moduleCount(modules.count)
    }
    try Self.check(modules)
    self.rank = rank
    self.alpha = alpha
    self.scaling = scaling
    self.modules = modules
    (factors, count) = try Self.factors(of: modules, rank: rank)
    id = ContentID(
      of: Self.encode(rank: rank, alpha: alpha, modules: modules, scaling), kind: .layout)
  }

  /// The canonical bytes of the layout, which its id is the hash of.
  public func encoded() -> [UInt8] {
    Self.encode(rank: rank, alpha: alpha, modules: modules, scaling)
  }

  public static func == (left: AdapterLayout, right: AdapterLayout) -> Bool {
    left.id == right.id
  }

  private static func check(_ modules: [AdapterModule]) throws(AdapterError) {
    let sides = 1...maximumSide
    var paths = Set<String>()
    for (index, module) in modules.enumerated() {
      guard isUsable(path: module.path) else { throw AdapterError.path(module: index) }
      guard paths.insert(module.path).inserted else {
        throw AdapterError.duplicatePath(module.path)
      }
      guard sides.contains(module.inputs), sides.contains(module.outputs) else {
        throw AdapterError.sides(
          path: module.path, inputs: module.inputs, outputs: module.outputs)
      }
    }
  }

  /// Paths become file and tensor names elsewhere, so only harmless characters pass.
  private static func isUsable(path: String) -> Bool {
    let bytes = path.utf8
    return (1...maximumPathBytes).contains(bytes.count)
      && bytes.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  // No product here can overflow: 16,384 modules × 2 × 2¹⁰ × 2²⁰ numbers are 2⁴⁵.
  private static func factors(
    of modules: [AdapterModule], rank: Int
  ) throws(AdapterError) -> ([Factor], Int) {
    var factors: [Factor] = []
    factors.reserveCapacity(2 * modules.count)
    var offset = 0
    for (index, module) in modules.enumerated() {
      for kind in [Factor.Kind.a, .b] {
        let factor = Factor(
          module: index, kind: kind, rows: kind == .a ? rank : module.outputs,
          columns: kind == .a ? module.inputs : rank, offset: offset,
          name: module.path + "." + kind.rawValue)
        factors.append(factor)
        offset += factor.count
      }
    }
    guard offset <= maximumCount else { throw AdapterError.count(offset) }
    return (factors, offset)
  }

  private static func encode(
    rank: Int, alpha: Int, modules: [AdapterModule], _ scaling: Scaling
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    func append(_ number: Int, bytes width: Int) {
      for index in 0..<width { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * index))) }
    }
    append(rank, bytes: 4)
    append(alpha + (scaling == .standard ? 0 : 1 << 31), bytes: 4)
    append(modules.count, bytes: 4)
    for module in modules {
      append(module.path.utf8.count, bytes: 2)
      bytes.append(contentsOf: module.path.utf8)
      append(module.inputs, bytes: 4)
      append(module.outputs, bytes: 4)
    }
    return bytes
  }
}
