import Identities

/// What keeps a node from being set up or from running, each with the way out.
public enum NodeError: Error, CustomStringConvertible {
  /// There is a home already.
  case homeExists(String)
  /// A line of the configuration.
  case configuration(path: String, reason: String)
  /// A file that the charter names is not the same here.
  case otherFile(name: String, path: String, reason: String)
  /// A ticket that cannot be used.
  case ticket(String, hint: String)
  /// The member that was asked said no.
  case joinRefused(String, hint: String)
  /// Nobody that the ticket names could be asked.
  case nobodyAnswers([String])
  /// A model or data file.
  case file(path: String, reason: String)
  /// The charter in the home.
  case charter(String)
  /// A payload that a merge needs.
  case missingPayload(contribution: ContentID)
  /// A bundle that cannot be written or taken in.
  case bundle(String, hint: String)
  /// A key that cannot be asked for.
  case recovery(String, hint: String)
  /// Something that was asked for by name.
  case notFound(String)
  /// Two different state roots for one merge: never ignored.
  case differentRoots(merge: ContentID, own: ContentID, other: ContentID, lab: LabID)

  public var description: String {
    switch self {
    case .homeExists(let path):
      "\(path) is a node's home already\n"
        + "hint: choose another --home, or remove it if the lab is to start anew"
    case .configuration(let path, let reason):
      "\(path): \(reason)\nhint: Deploy/hanse.toml shows every key"
    case .otherFile(let name, let path, let reason):
      "the federation's base file \(name) is not the one at \(path): \(reason)\n"
        + "hint: every lab needs the very same base; get the file that the charter names"
    case .ticket(let reason, let hint): "\(reason)\nhint: \(hint)"
    case .joinRefused(let reason, let hint):
      "the federation did not take the request: \(reason)\nhint: \(hint)"
    case .nobodyAnswers(let tried):
      "nobody that the ticket names could be asked:\n  " + tried.joined(separator: "\n  ")
        + "\nhint: one of these addresses must be reachable from here"
    case .file(let path, let reason): "\(path): \(reason)"
    case .charter(let reason):
      "the charter in this home is not valid: \(reason)\nhint: restore charter.bin from a member"
    case .missingPayload(let id):
      "the payload of contribution \(id.short) is not here\n"
        + "hint: it is fetched from the other labs while the daemon runs; "
        + "one that was pruned by policy only with keep_payloads = \"all\" in hanse.toml"
    case .bundle(let reason, let hint): "\(reason)\nhint: \(hint)"
    case .recovery(let reason, let hint): "\(reason)\nhint: \(hint)"
    case .notFound(let what): "\(what) is not here"
    case .differentRoots(let merge, let own, let other, let lab):
      "merge \(merge.short) gives root \(own.short) here and \(other.short) at lab \(lab.short)\n"
        + "hint: run hanse verify on both nodes; one of them computed wrongly"
    }
  }
}
