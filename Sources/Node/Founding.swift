import Adapters
import Checkpoints
import FoundationEssentials
import Glibc
import Identities
import Records
import Storage
import Transformers

/// Founds a federation: one lab writes the charter that all later ones agree to.
public enum Founding {
  /// The charter's numbers; each has a default that works.
  public struct Settings: Sendable {
    /// Inner dimension of the factors.
    public var rank = 16
    /// Scale of the factors' product is alpha / rank.
    public var alpha = 32
    /// Which linear layers carry factors.
    public var targets = ["all-linear"]
    /// Decides the adapter's start; nil: drawn now.
    public var seed: UInt64?
    /// Optimiser steps that a lab takes in a round.
    public var localSteps = 100
    /// Windows a step.
    public var batch = 4
    /// Tokens a window.
    public var length = 512
    /// Suggested learning rate.
    public var learningRate = 2e-4
    /// Labs on the roster before round 1 begins.
    public var labsToBegin = 1
    /// Least seconds that a round waits for late labs once a quorum has been heard.
    public var graceSeconds = 60
    /// Outer learning rate.
    public var outerRate = 0.7
    /// Outer momentum.
    public var momentum = 0.9
    /// How much worse a judge's loss may get, in micro-nats per token.
    public var toleranceMicronats: UInt64 = 20_000
    /// Judges that a contribution has at most.
    public var committee = 16
    /// Rounds for which payloads are kept.
    public var retention = 256
    /// What the labs declare about privacy.
    public var privacyPolicy = "deltas are visible to every member"
    /// Licence or terms of the base.
    public var terms = ""

    /// The defaults.
    public init() {}
  }

  /// What was founded.
  public struct Result: Sendable {
    /// The federation's id.
    public let federation: ContentID
    /// The founder's lab id.
    public let lab: LabID
    /// Of the founder's key.
    public let fingerprint: String
    /// Coordinates of the adapter.
    public let parameters: Int
    /// The home.
    public let home: String
  }

  /// Makes the home, the key and the charter.
  public static func create(
    _ plan: HomePlan, federation: String, settings: Settings, progress: (String) -> Void
  ) throws -> Result {
    let home = HomeLayout(plan.home)
    guard !home.isHome else { throw NodeError.homeExists(plan.home) }
    try plan.validate()
    let checkpoint = try Checkpoint.open(plan.model)
    let key = SigningKey.generate()
    var message = Hanse_V1_Charter()
    message.format = 1
    message.name = federation
    message.base.name = plan.model.split(separator: "/").last.map(String.init) ?? plan.model
    message.base.terms = settings.terms
    message.base.architecture = checkpoint.architecture
    message.base.files = try BaseFiles.hash(checkpoint, progress: progress)
    message.adapter = try shape(checkpoint.configuration, settings)
    fill(&message, settings)
    var founder = Hanse_V1_Founder()
    founder.name = plan.labName
    founder.key = Data(key.publicKey.bytes)
    message.founders = [founder]
    message.createdSeconds = UInt64(max(0, time(nil)))
    let charter = try Charter(message)
    try HomeFiles.create(home, key: key, configuration: Configuration(plan: plan, contacts: []))
    try DurableFile.write(charter.bytes, to: home.charter, mode: 0o640)
    return Result(
      federation: charter.id, lab: LabID(firstKey: key.publicKey),
      fingerprint: key.publicKey.fingerprint,
      parameters: try AdapterShapes.layout(of: charter).count, home: plan.home)
  }

  private static func shape(
    _ configuration: DecoderConfiguration, _ settings: Settings
  ) throws -> Hanse_V1_AdapterShape {
    var shape = Hanse_V1_AdapterShape()
    shape.rank = UInt32(clamping: settings.rank)
    shape.alpha = UInt32(clamping: settings.alpha)
    if let seed = settings.seed {
      shape.seed = Data(ContentID(of: seed.littleEndianBytes, kind: .start).bytes)
    } else {
      shape.seed = Data(systemRandomBytes(32))
    }
    let targets = try Targets(text: settings.targets.joined(separator: ","))
    shape.modules = try configuration.linearModules(targets: targets).map { module in
      var message = Hanse_V1_ModuleShape()
      message.path = module.path
      message.inputs = UInt32(module.inputs)
      message.outputs = UInt32(module.outputs)
      return message
    }
    return shape
  }

  private static func fill(_ message: inout Hanse_V1_Charter, _ settings: Settings) {
    message.round.localSteps = UInt32(clamping: settings.localSteps)
    message.round.batch = UInt32(clamping: settings.batch)
    message.round.length = UInt32(clamping: settings.length)
    message.round.labsToBegin = UInt32(clamping: settings.labsToBegin)
    message.round.learningRate = settings.learningRate
    message.round.graceSeconds = UInt32(clamping: settings.graceSeconds)
    message.merge.rule = "clipped-mean"
    message.merge.outerRateQ16 = q16(settings.outerRate)
    message.merge.momentumQ16 = q16(settings.momentum)
    message.merge.latenessLimit = UInt32(Limits.latenessMax)
    message.merge.retention = UInt32(clamping: settings.retention)
    message.judging.toleranceMicronats = settings.toleranceMicronats
    message.judging.committee = UInt32(clamping: settings.committee)
    message.privacyPolicy = settings.privacyPolicy
  }

  /// A number of people's choosing as the fixed-point number that peers compute with.
  private static func q16(_ value: Double) -> UInt32 {
    UInt32(clamping: Int64((min(max(value, 0), 16) * 65536).rounded(.toNearestOrEven)))
  }
}

/// Writing a new home.
enum HomeFiles {
  static func create(
    _ home: HomeLayout, key: SigningKey, configuration: Configuration
  ) throws {
    try DurableFile.makeFolder(home.path, mode: 0o750)
    try KeyFile.create(key, in: home)
    try DurableFile.write(
      Array(configuration.text().utf8), to: home.configuration, mode: 0o640)
  }
}
