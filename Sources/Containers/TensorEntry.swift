/// Where one tensor of a file lies and what it is.
public struct TensorEntry: Sendable, Hashable {
  /// The name as the file spells it.
  public let name: String
  /// How the numbers are stored.
  public let elementType: ElementType
  /// Row-major, outermost dimension first, as in PyTorch; GGUF's order is reversed on reading.
  public let shape: [Int]
  /// Offsets in the file that holds the tensor.
  public let byteRange: Range<Int>
  /// Which of the checkpoint's files holds it; 0 unless the checkpoint is sharded.
  package let part: Int

  package init(
    name: String, elementType: ElementType, shape: [Int], byteRange: Range<Int>, part: Int = 0
  ) {
    self.name = name
    self.elementType = elementType
    self.shape = shape
    self.byteRange = byteRange
    self.part = part
  }

  /// How many numbers the tensor holds. Readers have checked that the product does not overflow.
  public var count: Int { shape.reduce(1, *) }
}
