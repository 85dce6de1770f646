import CKernels
import Containers
import Testing

/// Frozen weights in blocks of eight and four bits.
@Suite struct BlockTests {
  /// A weight in blocks, and the numbers that its blocks stand for.
  final class Blocks {
    private(set) var values: [Float] = []
    private let tiles: UnsafeMutableRawPointer
    private var matrix: hk_matrix

    init(_ raw: [Float], rows: Int, columns: Int, type: Int, bf16: Bool) {
      tiles = .allocate(
        byteCount: hk_packed_bytes(rows, columns, Int32(type)), alignment: 64)
      hk_pack(tiles, raw, columns, rows, columns, Int32(type))
      matrix = hk_matrix(
        tiles: tiles, rows: rows, columns: columns, type: Int32(type),
        work: hk_work_type(raw, raw.count, bf16 ? 1 : 0), low_rank: 0)
      for row in 0..<rows {
        var line = [Float](repeating: .nan, count: columns)
        hk_unpack_row(&matrix, row, &line)
        values += line
      }
    }

    deinit { tiles.deallocate() }

    /// Halves round the unpacked numbers and the operands; floats neither.
    var tolerance: Double {
      switch Int(matrix.work) {
      case hk_f16: 5e-3
      case hk_dot: 8e-3
      default: 3e-6
      }
    }

    func forward(_ a: [Float], m: Int, outputs: Range<Int>, inputs: Range<Int>) -> [Float] {
      product(a, m: m, depth: inputs.count, width: outputs.count) { operand, c, panel in
        hk_frozen_forward(
          &matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound,
          inputs.upperBound, operand, c, hk_padded(outputs.count), 1, panel)
      }
    }

    func backward(_ a: [Float], m: Int, outputs: Range<Int>, inputs: Range<Int>) -> [Float] {
      product(a, m: m, depth: outputs.count, width: inputs.count) { operand, c, panel in
        hk_frozen_backward(
          &matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound,
          inputs.upperBound, operand, c, hk_padded(inputs.count), 1, panel)
      }
    }

    /// The product added to zeros.
    private func product(
      _ a: [Float], m: Int, depth: Int, width: Int,
      _ body: (
        UnsafePointer<hk_operand>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
      ) -> Void
    ) -> [Float] {
      var panel = [Float](repeating: .nan, count: Int(hk_panel_floats))
      var scratch = [Float](repeating: .nan, count: hk_operand_floats(m, depth))
      var c = [Float](repeating: 0, count: m * hk_padded(width))
      a.withUnsafeBufferPointer { a in
        scratch.withUnsafeMutableBufferPointer { scratch in
          var operand = hk_prepare(
            matrix.work, m, depth, a.baseAddress!, depth, scratch.baseAddress!)
          body(&operand, &c, &panel)
        }
      }
      return cutRows(c, width: width)
    }
  }

  static let types = [Int(hk_q8), Int(hk_q4)]

  @Test(arguments: types, [false, true])
  func productsAreThoseOfTheNumbersThatBlocksStandFor(type: Int, bf16: Bool) {
    withEveryInstructionSet { isa in
      for (m, rows, columns) in [(1, 1, 32), (5, 33, 64), (17, 96, 800), (29, 900, 96)] {
        let blocks = Blocks(
          numbers(rows * columns, seed: 5), rows: rows, columns: columns, type: type, bf16: bf16)
        let x = numbers(m * columns, seed: 6, scale: 3)
        let w = transposed(blocks.values, rows: rows, columns: columns)
        let found = blocks.forward(x, m: m, outputs: 0..<rows, inputs: 0..<columns)
        #expect(
          distance(found, product(x, w, m: m, n: rows, k: columns)) < blocks.tolerance,
          "isa \(isa), \(rows) × \(columns) forward")
        let dy = numbers(m * rows, seed: 7, scale: 1e-6)
        let back = blocks.backward(dy, m: m, outputs: 0..<rows, inputs: 0..<columns)
        #expect(
          distance(back, product(dy, blocks.values, m: m, n: columns, k: rows))
            < blocks.tolerance, "isa \(isa), \(rows) × \(columns) backward")
      }
    }
  }

  @Test(arguments: types) func rangesArePartsOfTheWhole(type: Int) {
    withEveryInstructionSet { isa in
      let (m, rows, columns) = (9, 100, 128)
      let blocks = Blocks(
        numbers(rows * columns, seed: 8), rows: rows, columns: columns, type: type, bf16: true)
      var square: [Float] = []
      for row in 32..<100 {
        square += blocks.values[row * columns + 64..<(row + 1) * columns]
      }
      let x = numbers(m * 64, seed: 9)
      let forward = blocks.forward(x, m: m, outputs: 32..<100, inputs: 64..<128)
      let turned = transposed(square, rows: 68, columns: 64)
      #expect(
        distance(forward, product(x, turned, m: m, n: 68, k: 64)) < blocks.tolerance,
        "isa \(isa)")
      let dy = numbers(m * 68, seed: 10)
      let backward = blocks.backward(dy, m: m, outputs: 32..<100, inputs: 64..<128)
      #expect(
        distance(backward, product(dy, square, m: m, n: 64, k: 68)) < blocks.tolerance,
        "isa \(isa)")
    }
  }

  /// What a file holds in blocks is held in memory bit by bit the same.
  @Test(arguments: types) func numbersOfBlocksComeBackExactly(type: Int) throws {
    let raw = numbers(64 * 96, seed: 3)
    let once = Blocks(raw, rows: 64, columns: 96, type: type, bf16: false)
    let again = Blocks(once.values, rows: 64, columns: 96, type: type, bf16: false)
    #expect(again.values == once.values)
    // Half a step of the widest block: of 127 for the largest magnitude, or of 15 from −1 to 1.
    let step: Float = type == Int(hk_q8) ? 1 / 127 : 2 / 15
    let worst = try #require(zip(once.values, raw).map { abs($0 - $1) }.max())
    #expect(worst < 0.51 * step + 1e-3)
    #expect(worst > 0.3 * step)
  }

  /// The blocks are those that the reader of GGUF files knows.
  @Test(arguments: types) func blocksAreThoseOfTheFileFormat(type: Int) {
    let raw = numbers(32 * 64, seed: 4)
    let blocks = Blocks(raw, rows: 32, columns: 64, type: type, bf16: false)
    var tiles = [UInt8](repeating: 0, count: hk_packed_bytes(32, 64, Int32(type)))
    hk_pack(&tiles, raw, 64, 32, 64, Int32(type))
    let size = tiles.count / 64
    // In a file the blocks of a row follow one another.
    var inRows: [UInt8] = []
    for row in 0..<32 {
      for column in 0..<2 {
        let start: Int = (column * 32 + row) * size
        inRows += tiles[start..<start + size]
      }
    }
    var read = [Float](repeating: .nan, count: 32 * 64)
    read.withUnsafeMutableBufferPointer { read in
      inRows.withUnsafeBytes {
        dequantise($0, as: type == Int(hk_q8) ? .q8_0 : .q4_1, into: read)
      }
    }
    #expect(read == blocks.values)
  }
}
