import Tensors

extension BlockForward {
  /// Adds a layer's bias to its output `[R, outputs]`, or to the range of it that y begins at. The
  /// gradient needs nothing on the way back: the bias is frozen.
  func addBias(
    _ linear: LinearLayer, _ index: Int, outputs: Range<Int>? = nil,
    to y: UnsafeMutablePointer<Float>, width: Int
  ) {
    guard let bias = model.layers[index].bias(linear) else { return }
    let outputs = outputs ?? 0..<shape.shape(of: linear).outputs
    Kernels.add(
      row: bias.start + outputs.lowerBound, count: outputs.count, toRows: rows.count, y,
      width: width)
  }
}
