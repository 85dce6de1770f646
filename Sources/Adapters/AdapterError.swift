/// Why a set of modules is no adapter layout, or why values do not fit one.
public enum AdapterError: Error, Equatable, CustomStringConvertible {
  /// The rank is not between 1 and ``AdapterLayout/maximumRank``.
  case rank(Int)
  /// The alpha is not between 1 and ``AdapterLayout/maximumAlpha``.
  case alpha(Int)
  /// There are no modules, or more than ``AdapterLayout/maximumModules``.
  case moduleCount(Int)
  /// A module's path is empty, too long, or has other characters than letters, digits, `.`, `_`,
  /// `-`.
  case path(module: Int)
  /// Two modules have the same path.
  case duplicatePath(String)
  /// A module's inputs or outputs are not between 1 and ``AdapterLayout/maximumSide``.
  case sides(path: String, inputs: Int, outputs: Int)
  /// The factors hold more than ``AdapterLayout/maximumCount`` numbers.
  case count(Int)
  /// A list of values has another length than the layout's count.
  case valueCount(expected: Int, found: Int)

  /// The failed check's name, as in Protocol/Delta.md and in the `expect:` line of a vector.
  public var check: String {
    switch self {
    case .rank: "rank"
    case .alpha: "alpha"
    case .moduleCount: "module-count"
    case .path: "path"
    case .duplicatePath: "duplicate-path"
    case .sides: "sides"
    case .count: "count"
    case .valueCount: "value-count"
    }
  }

  public var description: String {
    switch self {
    case .rank(let rank):
      "adapter rank \(rank) is not between 1 and \(AdapterLayout.maximumRank)"
    case .alpha(let alpha):
      "adapter alpha \(alpha) is not between 1 and \(AdapterLayout.maximumAlpha)"
    case .moduleCount(let count):
      "an adapter needs 1 to \(AdapterLayout.maximumModules) modules, not \(count)"
    case .path(let module):
      "module \(module) of the adapter has an unusable path; it needs 1 to "
        + "\(AdapterLayout.maximumPathBytes) letters, digits, dots, underscores or hyphens"
    case .duplicatePath(let path):
      "the adapter names module \(path) twice"
    case .sides(let path, let inputs, let outputs):
      "module \(path) is \(inputs) by \(outputs); each side must be 1 to "
        + "\(AdapterLayout.maximumSide)"
    case .count(let count):
      "the adapter would hold \(count) numbers; \(AdapterLayout.maximumCount) is the most. "
        + "Choose a lower rank or fewer modules"
    case .valueCount(let expected, let found):
      "the adapter's layout has \(expected) numbers, but \(found) were given"
    }
  }
}
