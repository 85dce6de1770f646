import Adapters
import Determinism
import FoundationEssentials
import Identities
import Records

/// The charter of a simulated federation: a base that nobody opens, an adapter of a few numbers.
enum Founders {
  static func charter(
    _ keys: some Collection<SigningKey>, retention: UInt32, _ chance: inout SeededGenerator
  ) throws -> Charter {
    var message = Hanse_V1_Charter()
    message.format = 1
    message.name = "simulated"
    var file = Hanse_V1_BaseFile()
    file.name = "base"
    file.size = 1
    file.hash = Data(ContentID(of: [1], kind: .file).bytes)
    message.base.files = [file]
    message.adapter.rank = 2
    message.adapter.alpha = 4
    message.adapter.seed = Data(repeating: 7, count: 32)
    var module = Hanse_V1_ModuleShape()
    module.path = "model.layers.0.mlp.up_proj"
    module.inputs = 6
    module.outputs = 5
    message.adapter.modules = [module]
    message.round.localSteps = 10
    message.round.batch = 1
    message.round.length = 8
    message.round.learningRate = 1e-3
    message.round.labsToBegin = UInt32(keys.count)
    message.round.graceSeconds = 5 + UInt32(chance.nextUnit() * 10)
    let rules = ["clipped-mean", "median", "nnm-trimmed-mean"]
    message.merge.rule = rules[Int(chance.nextUnit() * 3)]
    message.merge.outerRateQ16 = 45_875
    message.merge.momentumQ16 = 58_982
    message.merge.latenessLimit = 2
    message.merge.retention = retention
    message.judging.toleranceMicronats = 20_000
    message.judging.committee = 16
    message.founders = keys.enumerated().map { index, key in
      var founder = Hanse_V1_Founder()
      founder.name = "lab \(index)"
      founder.key = Data(key.publicKey.bytes)
      return founder
    }
    return try Charter(message)
  }

  static func layout(of charter: Charter) throws -> AdapterLayout {
    let shape = charter.message.adapter
    return try AdapterLayout(
      rank: Int(shape.rank), alpha: Int(shape.alpha),
      modules: shape.modules.map {
        AdapterModule(path: $0.path, inputs: Int($0.inputs), outputs: Int($0.outputs))
      })
  }
}
