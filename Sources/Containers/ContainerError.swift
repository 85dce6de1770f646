/// What can be wrong with a file of tensors, in words for the person who named the file.
public enum ContainerError: Error, Equatable, CustomStringConvertible {
  /// The file cannot be opened or mapped.
  case unreadable(path: String, reason: String)
  /// The bytes break the format's rules at `place` (a tensor, a key or an offset).
  case malformed(path: String, place: String, reason: String)
  /// The file is sound, but holds something this program does not read.
  case unsupported(path: String, place: String, reason: String)
  /// The file holds no tensor of this name.
  case noTensor(path: String, name: String)
  /// The caller's buffer, shape or name does not fit.
  case misfit(name: String, reason: String)
  /// The file cannot be written.
  case unwritable(path: String, reason: String)

  public var description: String {
    switch self {
    case .unreadable(let path, let reason):
      "cannot read \(printable(path)): \(reason)"
    case .malformed(let path, let place, let reason):
      "\(printable(path)) is damaged at \(place): \(reason)\n"
        + "hint: fetch the file again and compare its checksum with the publisher's"
    case .unsupported(let path, let place, let reason):
      "\(printable(path)), \(place): \(reason)"
    case .noTensor(let path, let name):
      "\(printable(path)) holds no tensor named \(printable(name))\n"
        + "hint: `hanse inspect \(printable(path))` lists what it holds"
    case .misfit(let name, let reason):
      "tensor \(printable(name)): \(reason)"
    case .unwritable(let path, let reason):
      "cannot write \(printable(path)): \(reason)"
    }
  }
}

/// A name from a file made fit for a terminal: control characters escaped, length bounded.
///
/// File contents are not trusted; a tensor name must not move the cursor or hide the next line.
package func printable(_ text: String, limit: Int = 200) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit {
      result += "…"
      break
    }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .lineSeparator, .paragraphSeparator:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default:
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}
