/// Draws merges and what flowed into them, newest first, as `git log --graph` draws commits.
///
/// The stem is the sequence of heads; every contribution is a branch that leaves the merge it was
/// trained from and joins the one that counted it. A late one passes the merges between.
public struct MergeGraph: Sendable {
  /// What stands at a line.
  public enum Item: Sendable, Equatable {
    /// A merge by its place in the list.
    case merge(Int)
    /// A contribution by its merge's place and its own.
    case contribution(merge: Int, Int)
    /// Only lines.
    case lines
  }

  /// One line: the drawing, and what belongs beside it.
  public struct Row: Sendable, Equatable {
    /// The drawing, without spaces behind.
    public var drawing: String
    /// What it stands for.
    public var item: Item

    /// The drawing of a line that goes on with the same item: what hangs beneath the mark.
    var going: String { String(drawing.map { $0 == "*" || $0 == "o" ? "|" : $0 }) }
  }

  /// The rows from top to bottom.
  public private(set) var rows: [Row] = []
  /// Of each column, the merge that its line runs to; column 0 is the stem. The others are in the
  /// order in which they reach it, so that none has to cross another.
  private var columns: [String] = []
  private let ranks: [String: Int]

  /// The drawing of merges, newest first.
  public init(_ merges: [MergeRow]) {
    var ranks: [String: Int] = [:]
    for (index, merge) in merges.enumerated() { ranks[merge.id] = index }
    self.ranks = ranks
    for (index, merge) in merges.enumerated() {
      if columns.isEmpty { columns = [merge.id] }
      // A head that does not follow from the one before starts a stem of its own.
      columns[0] = merge.id
      join()
      draw(merge, at: index)
      columns[0] = index + 1 < merges.count ? merges[index + 1].id : merge.parents.first ?? ""
    }
  }

  private mutating func draw(_ merge: MergeRow, at index: Int) {
    add("*", at: 0, .merge(index))
    if merge.contributions.isEmpty { return }
    // The first contribution stands outermost, and so is drawn first.
    var lines = merge.contributions.indices.reversed().map { place in
      (base: merge.contributions[place].base, place: Int?.some(place))
    }
    lines += columns.dropFirst().map { (base: $0, place: nil) }
    let sorted = lines.enumerated().sorted { left, right in
      let (a, b) = (rank(left.element.base), rank(right.element.base))
      return a == b ? left.offset < right.offset : a < b
    }.map(\.element)
    columns = [merge.id] + sorted.map(\.base)
    add(slanted("\\", from: 1))
    for (offset, line) in sorted.enumerated().reversed() {
      if let place = line.place { add("o", at: offset + 1, .contribution(merge: index, place)) }
    }
  }

  private func rank(_ merge: String) -> Int { ranks[merge] ?? Int.max }

  /// Lets the lines that run to the next merge reach the stem.
  private mutating func join() {
    let joining = columns.dropFirst().prefix { $0 == columns[0] }.count
    guard joining > 0 else { return }
    add(slanted("/", from: 1))
    columns.removeSubrange(1...joining)
  }

  /// A row of lines with a mark at one column.
  private mutating func add(_ mark: Character, at column: Int, _ item: Item) {
    let drawing = columns.indices.map { $0 == column ? String(mark) : "|" }
    rows.append(Row(drawing: drawing.joined(separator: " "), item: item))
  }

  private mutating func add(_ drawing: String) {
    rows.append(Row(drawing: drawing, item: .lines))
  }

  private func slanted(_ stroke: Character, from first: Int) -> String {
    "|" + columns.indices.dropFirst().map { $0 == first ? "\(stroke)" : " \(stroke)" }.joined()
  }
}
