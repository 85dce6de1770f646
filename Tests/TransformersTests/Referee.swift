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
      invent(prefix + c.normNames.attention, c.hidden, around: 1, width: 0.3)
      invent(prefix + c.normNames.feedForward, c.hidden, around: 1, width: 0.3)
      for linear in c.linears {
        let shape = c.shape(of: linear)
        invent(
          linear.path(layer: layer) + ".weight", shape.inputs * shape.outputs, around: 0,
          width: 1.7 / Float(shape.inputs).squareRoot())
        if c.biases.contains(linear) {
          invent(linear.path(layer: layer) + ".bias", shape.outputs, around: 0, width: 0.5)
        }
      }
      for (linear, name) in [(LinearLayer.query, "q_norm"), (.key, "k_norm")] {
        if let width = c.headNormWidth(of: linear) {
          invent(prefix + "self_attn.\(name).weight", width, around: 1, width: 0.4)
        }
      }
      if c.activation == .xielu {
        for (name, center) in [("alpha_p", 0.2), ("alpha_n", -1.05)] as [(String, Float)] {
          invent(prefix + "mlp.act_fn." + name, 1, around: center, width: 0.5)
        }
        tensors[prefix + "mlp.act_fn.beta"] = [0.5]
        // Far from zero, so that the stretch that it cuts is met.
        tensors[prefix + "mlp.act_fn.eps"] = [-0.25]
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
  /// Dropout on the factors' inputs, and the row of the batch that the window begins with.
  var dropout: Dropout?
  var firstRow = 0

  private var c: DecoderConfiguration { weights.configuration }

  /// Logits of one window, `[length][vocabulary]`.
  func logits(_ tokens: [Int32]) -> [[Double]] {
    let embedding = weights["model.embed_tokens.weight"].map(Double.init)
    var x = tokens.map { token in
      Array(embedding[Int(token) * c.hidden..<(Int(token) + 1) * c.hidden])
    }
    for layer in 0..<c.layers {
      let prefix = "model.layers.\(layer)."
      let (first, second) = (prefix + c.normNames.attention, prefix + c.normNames.feedForward)
      let before = c.normPlacement == .before
      let attended = attention(before ? x.map { norm($0, first) } : x, layer)
      for row in x.indices {
        let out = linear(attended[row], .output, layer, row)
        x[row] = sum(x[row], before ? out : norm(out, first))
      }
      for row in x.indices {
        let y = before ? norm(x[row], second) : x[row]
        let out = linear(activation(y, layer, row), .down, layer, row)
        x[row] = sum(x[row], before ? out : norm(out, second))
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
    func placed(_ position: Int, _ projection: LinearLayer) -> [Double] {
      let x = normed(linear(y[position], projection, layer, position), projection, layer)
      return c.unrotatedLayers.contains(layer) ? x : rotated(x, at: position)
    }
    let q = y.indices.map { placed($0, .query) }
    let k = y.indices.map { placed($0, .key) }
    let v = y.indices.map { linear(y[$0], .value, layer, $0) }
    return y.indices.map { position in
      (0..<c.heads).flatMap { head in
        let shared = head / (c.heads / c.keyValueHeads)
        let query = q[position][head * d..<(head + 1) * d]
        let window = c.slidingLayers.contains(layer) ? c.slidingWindow ?? 0 : y.count
        let seen = max(0, position - window + 1)...position
        let scores = seen.map { other in
          exp(
            zip(query, k[other][shared * d..<(shared + 1) * d]).reduce(0) { $0 + $1.0 * $1.1 }
              / Double(d).squareRoot())
        }
        let total = scores.reduce(0, +)
        return (0..<d).map { index in
          seen.reduce(0) {
            $0 + scores[$1 - seen.lowerBound] / total * v[$1][shared * d + index]
          }
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
        let plain = 1 / pow(c.ropeTheta, Double(2 * index) / Double(d))
        let angle = Double(position) * scaled(plain, index)
        let (a, b) = (x[head * d + index], x[head * d + index + half])
        out[head * d + index] = a * cos(angle) - b * sin(angle)
        out[head * d + index + half] = b * cos(angle) + a * sin(angle)
      }
    }
    return out
  }

  private func scaled(_ frequency: Double, _ index: Int) -> Double {
    switch c.rotaryScaling {
    case .none: return frequency
    case .linear(let factor): return frequency / factor
    case .divisors(let list): return frequency / Double(list[index])
    case .llama3(let factor, let low, let high, let original):
      let turns = Double(original) * frequency / (2 * Double.pi)
      let blend = min(max((turns - low) / (high - low), 0), 1)
      return frequency * (blend + (1 - blend) / factor)
    }
  }

  /// The norm of queries or keys: of each head, or of all of them as one.
  private func normed(_ x: [Double], _ linear: LinearLayer, _ layer: Int) -> [Double] {
    guard let width = c.headNormWidth(of: linear) else { return x }
    let name = linear == .query ? "q_norm" : "k_norm"
    return stride(from: 0, to: x.count, by: width).flatMap { start in
      norm(
        Array(x[start..<start + width]), "model.layers.\(layer).self_attn.\(name).weight")
    }
  }

  private func activation(_ y: [Double], _ layer: Int, _ row: Int) -> [Double] {
    let up = linear(y, .up, layer, row)
    guard c.activation == .xielu else {
      return zip(linear(y, .gate, layer, row), up).map { $0 / (1 + exp(-$0)) * $1 }
    }
    func number(_ name: String) -> Double {
      Double(weights["model.layers.\(layer).mlp.act_fn.\(name)"][0])
    }
    let (beta, eps) = (number("beta"), number("eps"))
    let positive = log1p(exp(number("alpha_p")))
    let negative = beta + log1p(exp(number("alpha_n")))
    return up.map { x in
      x > 0
        ? positive * x * x + beta * x : negative * (expm1(min(x, eps)) - x) + beta * x
    }
  }

  private func linear(
    _ x: [Double], _ linear: LinearLayer, _ layer: Int, _ row: Int
  ) -> [Double] {
    let path = linear.path(layer: layer)
    let outputs = c.shape(of: linear).outputs
    var base = product(x, weights[path + ".weight"].map(Double.init), outputs: outputs)
    if c.biases.contains(linear) { base = sum(base, weights[path + ".bias"].map(Double.init)) }
    guard let layout, let module = layout.modules.firstIndex(where: { $0.path == path }) else {
      return base
    }
    let a = layout.factors[2 * module]
    let seen = x.indices.map { column in
      x[column]
        * Double(dropout?.factor(offset: a.offset, row: firstRow + row, column: column) ?? 1)
    }
    let h = product(seen, Array(values[a.range]), outputs: layout.rank)
    let b = Array(values[layout.factors[2 * module + 1].range])
    let correction = product(h, b, outputs: outputs)
    return zip(base, correction).map { $0 + Double(layout.scale) * $1 }
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
