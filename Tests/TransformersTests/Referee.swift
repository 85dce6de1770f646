import Adapters
import Determinism
import Glibc
import Transformers

/// Frozen tensors made up from a seed, so that decoder and referee read the same numbers.
final class InventedWeights: DecoderWeights {
  let configuration: DecoderConfiguration
  private var tensors: [String: [Float]] = [:]

  init(_ configuration: DecoderConfiguration, seed: UInt64) {
    self.configuration = configuration
    var generator = SeededGenerator(seed: seed)
    func invent(_ name: String, _ count: Int, around center: Float, width: Float) {
      tensors[name] = (0..<count).map { _ in
        center + width * Float(2 * generator.nextUnit() - 1)
      }
    }
    let c = configuration
    invent("model.embed_tokens.weight", c.vocabulary * c.hidden, around: 0, width: 1)
    if !c.tiedEmbeddings {
      invent("lm_head.weight", c.vocabulary * c.hidden, around: 0, width: 0.5)
    }
    invent("model.norm.weight", c.hidden, around: 1, width: 0.3)
    for layer in 0..<c.layers {
      let prefix = "model.layers.\(layer)."
      invent(prefix + "input_layernorm.weight", c.hidden, around: 1, width: 0.3)
      invent(prefix + "post_attention_layernorm.weight", c.hidden, around: 1, width: 0.3)
      for linear in LinearLayer.allCases {
        let shape = c.shape(of: linear)
        invent(
          linear.path(layer: layer) + ".weight", shape.inputs * shape.outputs, around: 0,
          width: 1.7 / Float(shape.inputs).squareRoot())
      }
    }
  }

  struct Missing: Error {
    let name: String
  }

  func readTensor(_ name: String, into values: UnsafeMutableBufferPointer<Float>) throws {
    let tensor = self[name]
    guard tensor.count == values.count else { throw Missing(name: name) }
    _ = values.update(from: tensor)
  }

  subscript(name: String) -> [Float] { tensors[name] ?? [] }
}

/// The same decoder in plain loops and double precision: slow, short, and easy to believe.
struct Referee {
  let weights: InventedWeights
  var layout: AdapterLayout?
  var values: [Double] = []

  private var c: DecoderConfiguration { weights.configuration }

  /// Logits of one window, `[length][vocabulary]`.
  func logits(_ tokens: [Int32]) -> [[Double]] {
    let embedding = weights["model.embed_tokens.weight"].map(Double.init)
    var x = tokens.map { token in
      Array(embedding[Int(token) * c.hidden..<(Int(token) + 1) * c.hidden])
    }
    for layer in 0..<c.layers {
      let prefix = "model.layers.\(layer)."
      let attended = attention(x.map { norm($0, prefix + "input_layernorm.weight") }, layer)
      for row in x.indices { x[row] = sum(x[row], linear(attended[row], .output, layer)) }
      for row in x.indices {
        let y = norm(x[row], prefix + "post_attention_layernorm.weight")
        let gate = linear(y, .gate, layer)
        let up = linear(y, .up, layer)
        let act = zip(gate, up).map { $0 / (1 + exp(-$0)) * $1 }
        x[row] = sum(x[row], linear(act, .down, layer))
      }
    }
    let head = c.tiedEmbeddings ? embedding : weights["lm_head.weight"].map(Double.init)
    return x.map { product(norm($0, "model.norm.weight"), head, outputs: c.vocabulary) }
  }

  /// Loss of one window, summed over its predictions.
  func loss(_ tokens: [Int32]) -> Double {
    guard tokens.count > 1 else { return 0 }
    let logits = logits(tokens)
    return (0..<tokens.count - 1).reduce(0) { total, position in
      let row = logits[position]
      let top = row.max() ?? 0
      let partition = row.reduce(0) { $0 + exp($1 - top) }
      return total + log(partition) + top - row[Int(tokens[position + 1])]
    }
  }

  private func attention(_ y: [[Double]], _ layer: Int) -> [[Double]] {
    let d = c.headDimension
    let q = y.indices.map { rotated(linear(y[$0], .query, layer), at: $0) }
    let k = y.indices.map { rotated(linear(y[$0], .key, layer), at: $0) }
    let v = y.map { linear($0, .value, layer) }
    return y.indices.map { position in
      (0..<c.heads).flatMap { head in
        let shared = head / (c.heads / c.keyValueHeads)
        let query = q[position][head * d..<(head + 1) * d]
        let scores = (0...position).map { other in
          exp(
            zip(query, k[other][shared * d..<(shared + 1) * d]).reduce(0) { $0 + $1.0 * $1.1 }
              / Double(d).squareRoot())
        }
        let total = scores.reduce(0, +)
        return (0..<d).map { index in
          (0...position).reduce(0) { $0 + scores[$1] / total * v[$1][shared * d + index] }
        }
      }
    }
  }

  private func rotated(_ x: [Double], at position: Int) -> [Double] {
    let d = c.headDimension
    let half = d / 2
    var out = x
    for head in 0..<x.count / d {
      for index in 0..<half {
        let angle = Double(position) / pow(c.ropeTheta, Double(2 * index) / Double(d))
        let (a, b) = (x[head * d + index], x[head * d + index + half])
        out[head * d + index] = a * cos(angle) - b * sin(angle)
        out[head * d + index + half] = b * cos(angle) + a * sin(angle)
      }
    }
    return out
  }

  private func linear(_ x: [Double], _ linear: LinearLayer, _ layer: Int) -> [Double] {
    let path = linear.path(layer: layer)
    let outputs = c.shape(of: linear).outputs
    let base = product(x, weights[path + ".weight"].map(Double.init), outputs: outputs)
    guard let layout, let module = layout.modules.firstIndex(where: { $0.path == path }) else {
      return base
    }
    let h = product(x, Array(values[layout.factors[2 * module].range]), outputs: layout.rank)
    let b = Array(values[layout.factors[2 * module + 1].range])
    let correction = product(h, b, outputs: outputs)
    return zip(base, correction).map { $0 + Double(layout.alpha) / Double(layout.rank) * $1 }
  }

  private func product(_ x: [Double], _ w: [Double], outputs: Int) -> [Double] {
    (0..<outputs).map { output in
      var total = 0.0
      for index in x.indices { total += x[index] * w[output * x.count + index] }
      return total
    }
  }

  private func norm(_ x: [Double], _ name: String) -> [Double] {
    let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let factor = 1 / (mean + Double(c.normEpsilon)).squareRoot()
    return zip(x, weights[name]).map { $0 * factor * Double($1) }
  }

  private func sum(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }
}
