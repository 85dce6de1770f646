/// LoRA factors in float32, as training sees them: one flat list in the layout's order.
public struct Adapter: Sendable, Equatable {
  /// Where each number sits.
  public let layout: AdapterLayout
  /// All factors, `layout.count` numbers.
  public var values: [Float]

  /// An adapter from its numbers. Throws ``AdapterError/valueCount(expected:found:)``.
  public init(layout: AdapterLayout, values: [Float]) throws(AdapterError) {
    guard values.count == layout.count else {
      throw AdapterError.valueCount(expected: layout.count, found: values.count)
    }
    self.layout = layout
    self.values = values
  }

  /// The adapter that changes nothing: all factors zero.
  public static func zero(layout: AdapterLayout) -> Adapter {
    Adapter(layout: layout, filled: [Float](repeating: 0, count: layout.count))
  }

  /// The start that PEFT gives LoRA: A uniform in ±1/√inputs, B zero.
  ///
  /// PEFT calls `kaiming_uniform_(a=√5)`, whose bound √(6 / ((1 + 5) · inputs)) is 1/√inputs. For a
  /// federation use ``CanonicalAdapter/start(layout:seed:)``, which is the same on every machine.
  public static func start(
    layout: AdapterLayout, generator: inout some RandomNumberGenerator
  ) -> Adapter {
    var adapter = zero(layout: layout)
    for factor in layout.factors where factor.kind == .a {
      let bound = 1 / Float(factor.columns).squareRoot()
      for index in factor.range {
        adapter.values[index] = Float.random(in: -bound...bound, using: &generator)
      }
    }
    return adapter
  }

  /// This adapter minus `base`, number by number in float32. Precondition: one layout.
  public func difference(from base: Adapter) -> [Float] {
    precondition(layout == base.layout, "adapters of two layouts have no difference")
    return zip(values, base.values).map { $0 - $1 }
  }

  package init(layout: AdapterLayout, filled values: [Float]) {
    self.layout = layout
    self.values = values
  }
}
