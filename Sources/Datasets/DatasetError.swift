/// Why files cannot become data, with the file and the line.
public enum DatasetError: Error, Equatable, CustomStringConvertible {
  /// No files were named.
  case noFiles
  /// The file cannot be read.
  case unreadable(path: String, reason: String)
  /// The file's name ends in nothing that is read here.
  case unknownKind(path: String)
  /// A line of a `.jsonl` file that cannot be a document. Lines count from 1.
  case badLine(path: String, line: Int, reason: String)
  /// The files hold no token at all.
  case empty(paths: [String])
  /// Too few tokens for what is wanted of them.
  case tooShort(tokens: Int, needed: Int, purpose: String)
  /// A setting that no data fits.
  case badSetting(String)

  public var description: String {
    switch self {
    case .noFiles:
      "no data files were named\nhint: --data takes one or more .txt or .jsonl files"
    case .unreadable(let path, let reason): "cannot read \(path): \(reason)"
    case .unknownKind(let path):
      "\(path) is neither .txt nor .jsonl\n"
        + "hint: .txt is one document a file, .jsonl one document a line (`text` or `messages`)"
    case .badLine(let path, let line, let reason): "\(path):\(line): \(reason)"
    case .empty(let paths):
      "the data is empty: \(paths.joined(separator: ", "))\n"
        + "hint: name files that hold text"
    case .tooShort(let tokens, let needed, let purpose):
      "\(tokens) tokens are too few for \(purpose), which needs \(needed)\n"
        + "hint: add data or make --length smaller"
    case .badSetting(let reason): reason
    }
  }
}
