import Identities

/// A contribution that enough judges accepted: the only thing that may be merged.
///
/// Only this room makes one, so what was not admitted cannot be merged: it does not compile.
public struct AdmittedContribution: Sendable, Hashable {
  /// The entry that announced it.
  public let id: ContentID
  /// Whose it is.
  public let author: LabID
  /// The round that it was trained in.
  public let round: UInt32
  /// The round that it counts in, at least `round`; see Protocol/Merge.md, "Landing rounds".
  public let landingRound: UInt32
  /// Tokens that it claims to have been trained on.
  public let tokens: UInt64
  /// Whether a recall took it out of the fold, or another try of its author for the same round
  /// stands in it instead: it keeps its place and weighs nothing.
  public let isRecalled: Bool

  init(
    id: ContentID, author: LabID, round: UInt32, landingRound: UInt32, tokens: UInt64,
    isRecalled: Bool
  ) {
    self.id = id
    self.author = author
    self.round = round
    self.landingRound = landingRound
    self.tokens = tokens
    self.isRecalled = isRecalled
  }

  /// For test vectors, which have no logs behind them.
  @_spi(Vectors)
  public init(
    vector id: ContentID, author: LabID, round: UInt32, landingRound: UInt32, tokens: UInt64,
    isRecalled: Bool
  ) {
    self.init(
      id: id, author: author, round: round, landingRound: landingRound, tokens: tokens,
      isRecalled: isRecalled)
  }
}

/// The contributions that count in one round.
public struct LandingGroup: Sendable, Hashable {
  /// The landing round that they share.
  public let round: UInt32
  /// The roster version whose rules it is folded under; see Protocol/Merge.md, "Rules".
  public let rosterVersion: UInt32
  /// Sorted by id.
  public let contributions: [AdmittedContribution]

  /// A group; sorts its contributions.
  public init(round: UInt32, rosterVersion: UInt32 = 1, contributions: [AdmittedContribution]) {
    self.round = round
    self.rosterVersion = rosterVersion
    self.contributions = contributions.sorted { $0.id < $1.id }
  }
}
