/// Why a node does not do what its operator or a stranger asks for, and the way out.
package struct Refusal: Error, Equatable, CustomStringConvertible {
  /// What kind of answer it is.
  package enum Kind: Sendable {
    case refused
    case notFound
    case wrongUse
  }

  package let kind: Kind
  /// One sentence.
  package let reason: String
  /// What to do about it.
  package let hint: String

  package init(_ kind: Kind, _ reason: String, hint: String) {
    self.kind = kind
    self.reason = reason
    self.hint = hint
  }

  package var description: String { reason }
}
