import Transformers

/// Small models that differ from Llama in one way each, and one that does in several.
enum FamilyShapes {
  static let all: [DecoderConfiguration] = [
    changed { $0.biases = [.query, .key, .value] },
    changed {
      $0.biases = Set(LinearLayer.allCases)
      $0.intermediate = 300
      $0.layers = 1
    },
    changed { $0.headNorm = .perHead },
    changed { $0.headNorm = .whole },
    changed { $0.normPlacement = .after },
    changed { $0.activation = .xielu },
    changed { $0.unrotatedLayers = [1] },
    changed {
      $0.slidingWindow = 3
      $0.slidingLayers = [0]
    },
    changed { $0.rotaryScaling = .linear(factor: 2.5) },
    changed {
      $0.headDimension = 12
      $0.rotaryScaling = .llama3(factor: 8, low: 1, high: 4, original: 64)
    },
    changed { $0.rotaryScaling = .divisors([1, 3, 8]) },
    changed {
      $0.headNorm = .whole
      $0.normPlacement = .after
      $0.activation = .xielu
      $0.biases = [.query, .output, .up, .down]
      $0.slidingWindow = 4
      $0.slidingLayers = [0, 1]
      $0.unrotatedLayers = [0]
      $0.intermediate = 280
      $0.tiedEmbeddings = false
    },
  ]

  private static func changed(
    _ change: (inout DecoderConfiguration) -> Void
  ) -> DecoderConfiguration {
    var shape = Specimen.odd
    change(&shape)
    return shape
  }
}
