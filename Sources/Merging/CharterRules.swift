import Records

extension FoldRules {
  /// The rules a charter states. Throws ``FoldError``, for an unknown rule by its name.
  public init(_ message: Hanse_V1_MergeRules) throws(FoldError) {
    guard let rule = Rule(rawValue: message.rule) else {
      throw FoldError.unknownRule(message.rule)
    }
    try self.init(
      rule: rule, outerRate: message.outerRateQ16, momentum: message.momentumQ16,
      latenessLimit: message.latenessLimit)
  }
}
