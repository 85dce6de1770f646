import CKernels

/// How numbers rest in memory; they are always float32 while computed with.
public enum Storage: String, Sendable, CaseIterable {
  case bf16, f32

  /// Bytes of a number at rest.
  public var elementBytes: Int { self == .bf16 ? 2 : 4 }

  /// The kernels' flag.
  public var flag: Int32 { self == .bf16 ? 1 : 0 }
}

/// The width that rows of `width` numbers really have: the next multiple of 32, filled with zeros.
public func padded(_ width: Int) -> Int { (width + 31) & ~31 }
