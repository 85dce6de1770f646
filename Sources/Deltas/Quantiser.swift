import Adapters

extension Delta {
  /// Cuts what training changed, plus what earlier rounds could not say, into a delta.
  ///
  /// `wanted = (trained − base) + feedback`, in float32. The new feedback is what the delta leaves
  /// unsaid of it, so that nothing is lost, only delayed; of the sparsest tiers, a little less. It
  /// replaces the old one when the delta has been admitted, and not before.
  ///
  /// - Parameters:
  ///   - trained: the adapter after local training.
  ///   - base: the rounded canonical adapter that training started from.
  ///   - feedback: what the last admitted delta left unsaid, in the layout's order; empty at first.
  /// - Throws: ``DeltaError`` for other layouts or lengths, and for numbers that are not finite.
  public static func quantise(
    trained: consuming Adapter, base: consuming Adapter, feedback: [Float] = [],
    tier: DeltaTier = .int4
  ) throws -> (delta: Delta, feedback: [Float]) {
    let layout = base.layout
    guard trained.layout == layout else { throw DeltaError.layoutsDiffer }
    guard feedback.isEmpty || feedback.count == layout.count else {
      throw DeltaError.feedbackCount(expected: layout.count, found: feedback.count)
    }
    var wanted = trained.difference(from: base)
    // Each is as large as all that comes now.
    _ = consume trained
    _ = consume base
    if !feedback.isEmpty {
      for index in wanted.indices { wanted[index] += feedback[index] }
    }
    return try quantise(wanted: wanted, layout: layout, tier: tier)
  }

  /// Cuts the wanted change itself; the second part is what the next delta should make up for.
  public static func quantise(
    wanted: [Float], layout: AdapterLayout, tier: DeltaTier = .int4
  ) throws -> (delta: Delta, feedback: [Float]) {
    guard wanted.count == layout.count else {
      throw DeltaError.feedbackCount(expected: layout.count, found: wanted.count)
    }
    for factor in layout.factors {
      let isFinite = wanted[factor.range].allSatisfy { $0.isFinite }
      guard isFinite else { throw DeltaError.notFinite(factor: factor.name) }
    }
    let (delta, unsaid) =
      tier.entriesPerBlock == nil
      ? DenseQuantiser(layout: layout, tier: tier).quantise(wanted)
      : SparseQuantiser(layout: layout, tier: tier).quantise(wanted)
    let kept = tier.feedbackKept
    return (delta, kept == 1 ? unsaid : unsaid.map { $0 * kept })
  }

  /// Value of a symbol of one: 2^(exponent − 40).
  static func scale(_ exponent: Int8) -> Float {
    Float(sign: .plus, exponent: Int(exponent) - CanonicalAdapter.fractionBits, significand: 1)
  }
}
