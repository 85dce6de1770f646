import CKernels
import Testing

@Suite struct ProductTests {
  @Test func smallProductsAreThoseOfPlainLoops() {
    withEveryInstructionSet { isa in
      for (m, n, k) in [
        (1, 16, 1), (2, 32, 7), (13, 48, 16), (14, 16, 33), (15, 80, 5), (31, 64, 100),
      ] {
        let a = numbers(m * k, seed: 1)
        let b = numbers(k * n, seed: 2)
        let expected = product(a, b, m: m, n: n, k: k)
        var c = [Float](repeating: .nan, count: m * n)
        hk_multiply(m, n, k, a, k, 1, b, n, &c, n, 0)
        #expect(distance(c, expected) < 1e-6, "isa \(isa) \(m) × \(n) × \(k)")
        let turned = transposed(a, rows: m, columns: k)
        hk_multiply(m, n, k, turned, 1, m, b, n, &c, n, 1)
        #expect(distance(c, expected.map { 2 * $0 }) < 1e-6, "isa \(isa), added, transposed")
      }
    }
  }

  /// Columns that are not asked for may be written only up to the next multiple of 16.
  @Test func narrowProductsStayInTheirColumns() {
    withEveryInstructionSet { _ in
      let a = numbers(3 * 5, seed: 1)
      let b = numbers(5 * 64, seed: 2)
      var c = [Float](repeating: 7, count: 3 * 64)
      hk_multiply(3, 20, 5, a, 5, 1, b, 64, &c, 64, 0)
      let untouched = (0..<3).allSatisfy { row in
        c[row * 64 + 32..<row * 64 + 64].allSatisfy { $0 == 7 }
      }
      #expect(untouched)
    }
  }

  /// A packed weight, its products' operands, and what the plain loops say.
  struct Frozen {
    let rows: Int
    let columns: Int
    let values: [Float]
    let type: Int32
    let tiles: UnsafeMutableRawPointer
    var matrix: hk_matrix

    init(rows: Int, columns: Int, bf16: Bool, seed: UInt64, type wanted: Int? = nil) {
      self.rows = rows
      self.columns = columns
      let raw = numbers(rows * columns, seed: seed)
      values = bf16 ? raw.map(rounded) : raw
      type = wanted.map(Int32.init) ?? hk_pack_type(values, values.count, bf16 ? 1 : 0)
      tiles = .allocate(byteCount: hk_packed_bytes(rows, columns, type), alignment: 64)
      hk_pack(tiles, values, columns, rows, columns, type)
      matrix = hk_matrix(
        tiles: tiles, rows: rows, columns: columns, type: type, work: type, low_rank: 0)
    }

    /// Error bounds: sums of halves lose 2^-11 each time, see products_f16.c; matrix tiles and
    /// pairs round operands to bf16.
    var tolerance: Double {
      switch Int(type) {
      case hk_f16: 4e-3
      case hk_amx, hk_dot: 8e-3
      default: 2e-6
      }
    }

    mutating func forward(
      _ a: [Float], m: Int, outputs: Range<Int>, inputs: Range<Int>, into c: inout [Float],
      adding: Bool
    ) {
      withOperand(a, m: m, depth: inputs.count) { operand, panel in
        hk_frozen_forward(
          &matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound,
          inputs.upperBound, operand, &c, hk_padded(outputs.count), adding ? 1 : 0, panel)
      }
    }

    mutating func backward(
      _ a: [Float], m: Int, outputs: Range<Int>, inputs: Range<Int>, into c: inout [Float],
      adding: Bool
    ) {
      withOperand(a, m: m, depth: outputs.count) { operand, panel in
        hk_frozen_backward(
          &matrix, m, outputs.lowerBound, outputs.upperBound, inputs.lowerBound,
          inputs.upperBound, operand, &c, hk_padded(inputs.count), adding ? 1 : 0, panel)
      }
    }

    private func withOperand(
      _ a: [Float], m: Int, depth: Int,
      _ body: (UnsafePointer<hk_operand>, UnsafeMutablePointer<Float>) -> Void
    ) {
      var panel = [Float](repeating: 0, count: Int(hk_panel_floats))
      var scratch = [Float](repeating: .nan, count: hk_operand_floats(m, depth))
      a.withUnsafeBufferPointer { a in
        scratch.withUnsafeMutableBufferPointer { scratch in
          var operand = hk_prepare(type, m, depth, a.baseAddress!, depth, scratch.baseAddress!)
          body(&operand, &panel)
        }
      }
    }
  }

  static let shapes = [(1, 1, 1), (5, 33, 70), (17, 96, 64), (29, 40, 900), (64, 1000, 36)]

  @Test(arguments: shapes.indices, [false, true])
  func frozenProductsAreThoseOfPlainLoops(index: Int, bf16: Bool) {
    let (m, rows, columns) = Self.shapes[index]
    withEveryInstructionSet { isa in
      var frozen = Frozen(rows: rows, columns: columns, bf16: bf16, seed: 5)
      defer { frozen.tiles.deallocate() }
      let x = numbers(m * columns, seed: 6, scale: 3)
      let w = transposed(frozen.values, rows: rows, columns: columns)
      let expected = product(x, w, m: m, n: rows, k: columns)
      var c = [Float](repeating: .nan, count: m * hk_padded(rows))
      frozen.forward(
        x, m: m, outputs: 0..<rows, inputs: 0..<columns, into: &c, adding: false)
      let found = cutRows(c, width: rows)
      #expect(distance(found, expected) < frozen.tolerance, "isa \(isa) forward")

      let dy = numbers(m * rows, seed: 7, scale: 1e-6)
      let back = product(dy, frozen.values, m: m, n: columns, k: rows)
      var dx = [Float](repeating: .nan, count: m * hk_padded(columns))
      for adding in [false, true] {
        frozen.backward(
          dy, m: m, outputs: 0..<rows, inputs: 0..<columns, into: &dx, adding: adding)
      }
      #expect(
        distance(cutRows(dx, width: columns), back.map { 2 * $0 }) < frozen.tolerance,
        "isa \(isa) backward")
    }
  }

  /// Where the processor has no matrix tiles, their emulation shows that the layouts are right.
  @Test(arguments: shapes.indices)
  func matrixTilesMultiplyLikePlainLoops(index: Int) {
    let (m, rows, columns) = Self.shapes[index]
    var frozen = Frozen(rows: rows, columns: columns, bf16: true, seed: 5, type: hk_amx)
    defer { frozen.tiles.deallocate() }
    let x = numbers(m * columns, seed: 6).map(rounded)
    let w = transposed(frozen.values, rows: rows, columns: columns)
    var c = [Float](repeating: 1, count: m * hk_padded(rows))
    frozen.forward(x, m: m, outputs: 0..<rows, inputs: 0..<columns, into: &c, adding: true)
    let expected = product(x, w, m: m, n: rows, k: columns).map { $0 + 1 }
    #expect(distance(cutRows(c, width: rows), expected) < 1e-5)
    let dy = numbers(m * rows, seed: 7).map(rounded)
    let back = product(dy, frozen.values, m: m, n: columns, k: rows)
    var dx = [Float](repeating: .nan, count: m * hk_padded(columns))
    frozen.backward(dy, m: m, outputs: 0..<rows, inputs: 0..<columns, into: &dx, adding: false)
    #expect(distance(cutRows(dx, width: columns), back) < 1e-5)
    frozen.backward(dy, m: m, outputs: 0..<rows, inputs: 0..<columns, into: &dx, adding: true)
    #expect(distance(cutRows(dx, width: columns), back.map { 2 * $0 }) < 1e-5)
    if rows > 64, columns > 40 {  // ranges that begin inside
      var part = [Float](repeating: .nan, count: m * hk_padded(rows - 32))
      frozen.forward(
        (0..<m).flatMap { x[$0 * columns + 32..<($0 + 1) * columns] }, m: m,
        outputs: 32..<rows, inputs: 32..<columns, into: &part, adding: false)
      let square = (32..<columns).flatMap { k in (32..<rows).map { frozen.values[$0 * columns + k] }
      }
      let wanted = product(
        (0..<m).flatMap { x[$0 * columns + 32..<($0 + 1) * columns] }, square, m: m, n: rows - 32,
        k: columns - 32)
      #expect(distance(cutRows(part, width: rows - 32), wanted) < 1e-5)
    }
    var row = [Float](repeating: .nan, count: hk_padded(columns))
    hk_unpack_row(&frozen.matrix, rows - 1, &row)
    #expect(Array(row.prefix(columns)) == Array(frozen.values.suffix(columns)))
  }

  @Test(arguments: [false, true])
  func rangesArePartsOfTheWhole(bf16: Bool) {
    withEveryInstructionSet { isa in
      let (m, rows, columns) = (9, 100, 90)
      var frozen = Frozen(rows: rows, columns: columns, bf16: bf16, seed: 8)
      defer { frozen.tiles.deallocate() }
      let x = numbers(m * 26, seed: 9)
      // Inputs 64..<90, outputs 32..<100.
      let part = (64..<90).flatMap { k in (32..<100).map { frozen.values[$0 * columns + k] } }
      var c = [Float](repeating: 0, count: m * 96)
      frozen.forward(x, m: m, outputs: 32..<100, inputs: 64..<90, into: &c, adding: true)
      #expect(
        distance(cutRows(c, width: 68), product(x, part, m: m, n: 68, k: 26)) < frozen.tolerance,
        "isa \(isa)")
      let dy = numbers(m * 68, seed: 10)
      let square = (32..<100).flatMap { n in (64..<90).map { frozen.values[n * columns + $0] } }
      var dx = [Float](repeating: 0, count: m * 32)
      frozen.backward(dy, m: m, outputs: 32..<100, inputs: 64..<90, into: &dx, adding: false)
      #expect(
        distance(cutRows(dx, width: 26), product(dy, square, m: m, n: 26, k: 68))
          < frozen.tolerance, "isa \(isa)")
    }
  }

  @Test func rowsComeBackAsTheyWerePacked() {
    withEveryInstructionSet { _ in
      for bf16 in [false, true] {
        var frozen = Frozen(rows: 37, columns: 41, bf16: bf16, seed: 11)
        defer { frozen.tiles.deallocate() }
        for row in [0, 5, 36] {
          var out = [Float](repeating: .nan, count: 64)
          hk_unpack_row(&frozen.matrix, row, &out)
          #expect(Array(out.prefix(41)) == Array(frozen.values[row * 41..<(row + 1) * 41]))
          #expect(out.suffix(23).allSatisfy { $0 == 0 })
        }
      }
    }
  }

  /// Halves end at 65,504: rows of any size must come through, by their scale.
  @Test func halvesCarryRowsOfEverySize() {
    guard hk_isa_best() >= Int32(hk_isa_avx512_fp16) else { return }
    var frozen = Frozen(rows: 48, columns: 64, bf16: true, seed: 12)
    defer { frozen.tiles.deallocate() }
    let sizes: [Float] = [1e-30, 1e-9, 1e-4, 1, 1e5, 1e20, 0]
    let x = sizes.flatMap { numbers(64, seed: 13, scale: $0) }
    let w = transposed(frozen.values, rows: 48, columns: 64)
    let expected = product(x, w, m: sizes.count, n: 48, k: 64)
    var c = [Float](repeating: .nan, count: sizes.count * 64)
    frozen.forward(
      x, m: sizes.count, outputs: 0..<48, inputs: 0..<64, into: &c, adding: false)
    let found = cutRows(c, width: 48)
    for row in sizes.indices {
      let range = row * 48..<(row + 1) * 48
      #expect(distance(Array(found[range]), Array(expected[range])) < 5e-3, "row \(row)")
    }
  }

  @Test func weightsTooLargeForHalvesStayBf16() {
    var values = numbers(64, seed: 14)
    values[3] = 64
    let wide = [hk_isa_avx512_bf16: hk_dot, hk_isa_amx: hk_amx][Int(hk_isa())] ?? hk_bf16
    #expect(hk_pack_type(values, 64, 1) == Int32(wide))
    values[3] = .nan
    #expect(hk_pack_type(values, 64, 1) == Int32(wide))
    #expect(hk_pack_type(values, 64, 0) == Int32(hk_f32))
  }

  @Test func turningAndGatheringMoveEveryElement() {
    let x = numbers(19 * 23, seed: 15)
    var turned = [Float](repeating: 0, count: 23 * 20)
    hk_turn(19, 23, x, 23, &turned, 20, 2)
    #expect((0..<19 * 23).allSatisfy { turned[$0 % 23 * 20 + $0 / 23] == 2 * x[$0] })
    let partials = numbers(3 * 200, seed: 16)
    var gradient = [Float](repeating: 1, count: 5 * 7)
    hk_gather_gradient(5, 7, 3, 200, partials, 32, 0.5, &gradient, 1, 5)
    let expected = (0..<35).map { index -> Double in
      let at = index % 5 * 32 + index / 5
      return 1 + 0.5 * (0..<3).reduce(0) { $0 + Double(partials[$1 * 200 + at]) }
    }
    #expect(distance(gradient, expected) < 1e-6)
  }
}
