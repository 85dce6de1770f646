/// Finds where words end. It matches the patterns of `SplitPattern` as a backtracking engine would,
/// but each in one pass.
///
/// `bytes` must be valid UTF-8 and every position a scalar's first byte.
struct WordScanner {
  let bytes: UnsafePointer<UInt8>
  let pattern: SplitPattern
  /// The end of the piece that is being cut; nothing behind it is seen.
  var end: Int
  private let classes = ScalarClass.table

  init(bytes: UnsafePointer<UInt8>, end: Int, pattern: SplitPattern) {
    self.bytes = bytes
    self.end = end
    self.pattern = pattern
  }

  /// The class at a position (with the digit bit) and the bytes of the scalar there.
  @inline(__always)
  func look(_ position: Int) -> (code: UInt8, length: Int) {
    let first = UInt32(bytes[position])
    if first < 0x80 { return (classes[Int(first)], 1) }
    let second = UInt32(bytes[position + 1] & 0x3F)
    if first < 0xE0 { return (classes[Int(first & 0x1F) << 6 | Int(second)], 2) }
    let third = UInt32(bytes[position + 2] & 0x3F)
    if first < 0xF0 {
      return (classes[Int((first & 0x0F) << 12 | second << 6 | third)], 3)
    }
    let fourth = UInt32(bytes[position + 3] & 0x3F)
    return (classes[Int((first & 0x07) << 18 | second << 12 | third << 6 | fourth)], 4)
  }

  /// The end of the piece that begins at `position`: one digit, or all up to the next digit.
  func pieceEnd(from position: Int, limit: Int) -> Int {
    var (code, length) = look(position)
    if code & ScalarClass.digit != 0 { return position + length }
    var next = position + length
    while next < limit {
      (code, length) = look(next)
      if code & ScalarClass.digit != 0 { break }
      next += length
    }
    return next
  }

  /// The end of the run that begins at `position`: of digits, or of anything else.
  func digitRunEnd(from position: Int, limit: Int) -> Int {
    let first = look(position)
    var next = position + first.length
    while next < limit {
      let (code, length) = look(next)
      guard (code ^ first.code) & ScalarClass.digit == 0 else { break }
      next += length
    }
    return next
  }

  /// The end of the word that begins at `position`, which is before `end`.
  @inline(__always)
  func wordEnd(from position: Int) -> Int {
    switch pattern {
    case .gpt2: gpt2(position)
    case .llama3, .qwen2: llama3(position)
    case .tekken, .gpt4o: cased(position)
    }
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  @inline(__always)
  private func gpt2(_ position: Int) -> Int {
    let first = bytes[position]
    if first == UInt8(ascii: "'") {
      let length = contraction(at: position, ignoringCase: false)
      if length > 0 { return position + length }
    }
    var start = position
    if first == 0x20, position + 1 < end { start += 1 }
    let (code, length) = look(start)
    if ScalarClass.isLetter(code) { return run(from: start + length, while: ScalarClass.isLetter) }
    if code & ScalarClass.mask == ScalarClass.number {
      return run(from: start + length) { $0 & ScalarClass.mask == ScalarClass.number }
    }
    if ScalarClass.isSymbol(code) { return run(from: start + length, while: ScalarClass.isSymbol) }
    return spaces(position)
  }

  /// Contraction, letters behind at most one other scalar, a few numbers, symbols with the line
  /// ends behind them, white space up to its last line end, white space.
  private func llama3(_ position: Int) -> Int {
    let first = bytes[position]
    if first == UInt8(ascii: "'") {
      let length = contraction(at: position, ignoringCase: true)
      if length > 0 { return position + length }
    }
    let (code, length) = look(position)
    if ScalarClass.isLetter(code) {
      return run(from: position + length, while: ScalarClass.isLetter)
    }
    if let start = afterLead(position) {
      let (next, nextLength) = look(start)
      if ScalarClass.isLetter(next) {
        return run(from: start + nextLength, while: ScalarClass.isLetter)
      }
    }
    return numbersSymbolsSpaces(position, alsoAfterSymbols: 0x0A)
  }

  /// As `llama3`, but letters are cut where a capital follows a small one, and marks count as
  /// letters.
  private func cased(_ position: Int) -> Int {
    let lead = afterLead(position)
    let found =
      lead.flatMap(smallEnding) ?? smallEnding(position) ?? lead.flatMap(capitals)
      ?? capitals(position)
    guard let found else { return numbersSymbolsSpaces(position, alsoAfterSymbols: 0x2F) }
    guard pattern == .gpt4o, found < end, bytes[found] == UInt8(ascii: "'") else { return found }
    return found + contraction(at: found, ignoringCase: true)
  }

  /// Where the word goes on when `[^\r\n\p{L}\p{N}]` takes the scalar at `position`; nil when it
  /// does not match or nothing follows.
  private func afterLead(_ position: Int) -> Int? {
    let first = bytes[position]
    let (code, length) = look(position)
    guard first != 0x0A, first != 0x0D, !ScalarClass.isLetter(code),
      code & ScalarClass.mask != ScalarClass.number, position + length < end
    else { return nil }
    return position + length
  }

  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
  ///
  /// When no small letter follows the first run, the engine gives scalars back until the second
  /// class can take one: that is the last one without case, and it ends the match.
  private func smallEnding(_ start: Int) -> Int? {
    var position = start
    var lastCaseless: Int?
    while position < end {
      let (code, length) = look(position)
      guard Self.isCapital(code) else { break }
      position += length
      if Self.isSmall(code) { lastCaseless = position }
    }
    if position < end, Self.isSmall(look(position).code) {
      return run(from: position, while: Self.isSmall)
    }
    return lastCaseless
  }

  /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
  private func capitals(_ start: Int) -> Int? {
    let position = run(from: start, while: Self.isCapital)
    return position == start ? nil : run(from: position, while: Self.isSmall)
  }

  @inline(__always)
  private static func isCapital(_ code: UInt8) -> Bool {
    let kind = code & ScalarClass.mask
    return kind == ScalarClass.upper || kind == ScalarClass.caseless || kind == ScalarClass.mark
  }

  @inline(__always)
  private static func isSmall(_ code: UInt8) -> Bool {
    let kind = code & ScalarClass.mask
    return kind == ScalarClass.lower || kind == ScalarClass.caseless || kind == ScalarClass.mark
  }

  /// `\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n…]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  private func numbersSymbolsSpaces(_ position: Int, alsoAfterSymbols extra: UInt8) -> Int {
    let (code, length) = look(position)
    if code & ScalarClass.mask == ScalarClass.number {
      return numbers(from: position + length)
    }
    var start = position
    if bytes[position] == 0x20, position + 1 < end { start += 1 }
    let (symbol, symbolLength) = look(start)
    if ScalarClass.isSymbol(symbol) {
      var next = run(from: start + symbolLength, while: ScalarClass.isSymbol)
      while next < end, bytes[next] == 0x0A || bytes[next] == 0x0D || bytes[next] == extra {
        next += 1
      }
      return next
    }
    var lastLineEnd = position
    var next = position
    while next < end {
      let (code, length) = look(next)
      guard code & ScalarClass.mask == ScalarClass.space else { break }
      if bytes[next] == 0x0A || bytes[next] == 0x0D { lastLineEnd = next + 1 }
      next += length
    }
    return lastLineEnd > position ? lastLineEnd : spaces(position)
  }

  private func numbers(from start: Int) -> Int {
    var position = start
    var left = pattern.numbersPerWord - 1
    while left > 0, position < end {
      let (code, length) = look(position)
      guard code & ScalarClass.mask == ScalarClass.number else { break }
      position += length
      left -= 1
    }
    return position
  }

  /// `\s+(?!\S)|\s+`: all white space, but its last scalar is left to a word behind it.
  private func spaces(_ position: Int) -> Int {
    var last = position
    var next = position
    while next < end {
      let (code, length) = look(next)
      guard code & ScalarClass.mask == ScalarClass.space else { break }
      last = next
      next += length
    }
    return next == end || last == position ? next : last
  }

  @inline(__always)
  private func run(from start: Int, while belongs: (UInt8) -> Bool) -> Int {
    var position = start
    while position < end {
      let (code, length) = look(position)
      guard belongs(code) else { break }
      position += length
    }
    return position
  }

  /// Bytes of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at an apostrophe; 0 if none is there.
  private func contraction(at position: Int, ignoringCase: Bool) -> Int {
    guard position + 1 < end else { return 0 }
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    let first = bytes[position + 1] | fold
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: break
    }
    guard position + 2 < end else { return 0 }
    let second = bytes[position + 2] | fold
    switch (first, second) {
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
      (UInt8(ascii: "l"), UInt8(ascii: "l")):
      return 3
    default: break
    }
    // The long s folds to s under the engine's Unicode case folding.
    let isLongS = ignoringCase && bytes[position + 1] == 0xC5 && bytes[position + 2] == 0xBF
    return isLongS ? 3 : 0
  }
}
