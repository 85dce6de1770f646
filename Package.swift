// swift-tools-version: 6.1
//
// The rooms of the house and their floors. A room imports only rooms on lower floors; Tests/Tidy
// reads the `floor` comments below and fails on an arrow that points up or sideways.
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let argumentParser = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let certificates = Target.Dependency.product(name: "X509", package: "swift-certificates")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let serviceLifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(
  name: "UnixSignals", package: "swift-service-lifecycle")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")

let package = Package(
  name: "hanse",
  products: [
    .executable(name: "hanse", targets: ["hanse"]),
    .executable(name: "hansed", targets: ["hansed"]),
    .executable(name: "hanse-sim", targets: ["hanse-sim"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0"),
    .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
  ],
  targets: [
    // floor 0
    .systemLibrary(
      name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "CBlake2"),
    .target(name: "CLinux"),
    .target(
      name: "CKernels", cSettings: [.unsafeFlags(["-O3"])], linkerSettings: [.linkedLibrary("m")]),
    // floor 1
    .target(
      name: "Determinism",
      dependencies: [],
      swiftSettings: strict),
    .target(
      name: "Identities",
      dependencies: ["CBlake2", "CSodium"],
      swiftSettings: strict),
    .target(
      name: "Containers",
      dependencies: [],
      swiftSettings: strict),
    // floor 2
    .target(
      name: "Tokenizers",
      dependencies: ["Containers"],
      swiftSettings: strict),
    .target(
      name: "Tensors",
      dependencies: ["CKernels"],
      swiftSettings: strict),
    .target(
      name: "Records",
      dependencies: ["Identities", protobuf],
      swiftSettings: strict),
    // floor 3
    .target(
      name: "Datasets",
      dependencies: ["Determinism", "Tokenizers"],
      swiftSettings: strict),
    .target(
      name: "Adapters",
      dependencies: ["Determinism", "Identities"],
      swiftSettings: strict),
    .target(
      name: "Ledger",
      dependencies: ["Identities", "Records", protobuf],
      swiftSettings: strict),
    // floor 4
    .target(
      name: "Transformers",
      dependencies: ["Adapters", "Tensors"],
      swiftSettings: strict),
    .target(
      name: "Deltas",
      dependencies: ["Adapters", "CZstd", "Identities", "Records"],
      swiftSettings: strict),
    .target(
      name: "Gossip",
      dependencies: ["Determinism", "Identities", "Records", protobuf],
      swiftSettings: strict),
    // floor 5
    .target(
      name: "Checkpoints",
      dependencies: [
        "Adapters", "Containers", "Identities", "Tensors", "Tokenizers", "Transformers",
      ],
      swiftSettings: strict),
    .target(
      name: "Merging",
      dependencies: ["Adapters", "Deltas", "Identities", "Ledger", "Records"],
      swiftSettings: strict),
    .target(
      name: "Participation",
      dependencies: ["Deltas", "Determinism", "Gossip", "Identities", "Ledger", "Records"],
      swiftSettings: strict),
    .target(
      name: "Transport",
      dependencies: [
        "Determinism", "Gossip", "Identities", "Records", asn1, certificates, crypto, logging,
        nio, nioPosix, nioSSL, nioTLS, protobuf,
      ],
      swiftSettings: strict),
    .target(
      name: "Storage",
      dependencies: ["CLinux", "Identities", "Records", grdb, protobuf],
      swiftSettings: strict),
    // floor 6
    .target(
      name: "Training",
      dependencies: [
        "Adapters", "Checkpoints", "Containers", "Datasets", "Determinism", "Tensors", "Tokenizers",
        "Transformers",
      ],
      swiftSettings: strict),
    // floor 7
    .target(
      name: "Trainers",
      dependencies: [
        "Adapters", "Checkpoints", "Containers", "Datasets", "Tensors", "Tokenizers", "Training",
        "Transformers", logging,
      ],
      swiftSettings: strict),
    .target(
      name: "Control",
      dependencies: ["Identities", logging, nio, nioHTTP1, nioPosix],
      swiftSettings: strict),
    .target(
      name: "Simulation",
      dependencies: [
        "Adapters", "Deltas", "Determinism", "Gossip", "Identities", "Ledger", "Merging",
        "Participation", "Records",
      ],
      swiftSettings: strict),
    // floor 8
    .target(
      name: "Node",
      dependencies: [
        "Adapters", "Checkpoints", "Control", "Datasets", "Deltas", "Determinism", "Gossip",
        "Identities", "Ledger", "Merging", "Participation", "Records", "Storage", "Tokenizers",
        "Trainers", "Training", "Transformers", "Transport", logging, protobuf, serviceLifecycle,
        toml,
        unixSignals,
      ],
      swiftSettings: strict),
    // floor 9
    .executableTarget(
      name: "hansed",
      dependencies: [
        "CLinux", "Node", "Storage", "Tensors", argumentParser, logging, serviceLifecycle,
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "hanse",
      dependencies: [
        "Adapters", "Checkpoints", "Containers", "Control", "Datasets", "Deltas", "Determinism",
        "Identities", "Ledger", "Merging", "Node", "Records", "Storage", "Tensors", "Tokenizers",
        "Trainers", "Training", "Transformers", argumentParser,
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "hanse-sim",
      dependencies: ["Records", "Simulation", argumentParser],
      swiftSettings: strict),

    // tests
    .target(name: "TinyModels", path: "Tests/TinyModels", swiftSettings: strict),
    .target(
      name: "Readers",
      dependencies: [
        "Adapters", "Checkpoints", "Containers", "Control", "Deltas", "Identities", "Merging",
        "Records", "Tokenizers", "Trainers", "Transformers", nioHTTP1, protobuf,
      ],
      path: "Tests/Fuzz/Readers",
      swiftSettings: strict),
    .executableTarget(
      name: "fuzz",
      dependencies: ["Readers"],
      path: "Tests/Fuzz/Driver",
      swiftSettings: strict),
    .testTarget(
      name: "FuzzTests",
      dependencies: ["Readers"],
      swiftSettings: strict),
    .testTarget(
      name: "DeterminismTests",
      dependencies: ["Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "IdentitiesTests",
      dependencies: ["CSodium", "Identities"],
      swiftSettings: strict),
    .testTarget(
      name: "ContainersTests",
      dependencies: ["Containers", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "TokenizersTests",
      dependencies: ["Tokenizers", "Containers", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "TensorsTests",
      dependencies: ["Tensors", "CKernels", "Containers", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "RecordsTests",
      dependencies: ["Records", "Identities", protobuf, "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "DatasetsTests",
      dependencies: ["Datasets", "Determinism", "Tokenizers"],
      swiftSettings: strict),
    .testTarget(
      name: "AdaptersTests",
      dependencies: ["Adapters", "Determinism", "Identities"],
      swiftSettings: strict),
    .testTarget(
      name: "LedgerTests",
      dependencies: ["Ledger", "Identities", "Records", "Determinism", protobuf],
      swiftSettings: strict),
    .testTarget(
      name: "TransformersTests",
      dependencies: ["Transformers", "Adapters", "Tensors", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "DeltasTests",
      dependencies: ["Deltas", "Adapters", "Identities", "Records", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "GossipTests",
      dependencies: ["Gossip", "Determinism", "Identities", "Records"],
      swiftSettings: strict),
    .testTarget(
      name: "CheckpointsTests",
      dependencies: ["Checkpoints", "Adapters", "Containers", "Tokenizers", "Transformers"],
      swiftSettings: strict),
    .testTarget(
      name: "MergingTests",
      dependencies: [
        "Merging", "Adapters", "Deltas", "Identities", "Ledger", "Records", "Determinism",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "TransportTests",
      dependencies: [
        "Transport", "Determinism", "Gossip", "Identities", "Records", asn1, certificates, crypto,
        logging, nio, nioPosix, nioSSL, protobuf,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "StorageTests",
      dependencies: ["Storage", "Identities", "Records", grdb, "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Training", "Adapters", "Checkpoints", "Datasets", "Determinism", "Tensors", "Tokenizers",
        "Transformers",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "TrainersTests",
      dependencies: [
        "Trainers", "Adapters", "Checkpoints", "Datasets", "TinyModels", "Tokenizers", "Training",
        "Transformers", logging,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ControlTests",
      dependencies: ["Control", "Identities", logging, nio, nioHTTP1, nioPosix],
      swiftSettings: strict),
    .testTarget(
      name: "NodeTests",
      dependencies: [
        "Node", "Adapters", "Checkpoints", "Control", "Datasets", "Deltas", "Determinism",
        "Gossip", "Identities", "Ledger", "Merging", "Participation", "Records", "Storage",
        "Tokenizers", "Trainers", "Training", "Transformers", "Transport", logging,
        protobuf, serviceLifecycle, toml,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ParticipationTests",
      dependencies: [
        "Participation", "Deltas", "Determinism", "Gossip", "Identities", "Ledger", "Records",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SimulationTests",
      dependencies: ["Simulation", "Determinism"],
      swiftSettings: strict),
    .testTarget(
      name: "DaemonTests",
      dependencies: [
        "Control", "Determinism", "Identities", "Records", "Storage", "TinyModels", grdb, protobuf,
      ],
      swiftSettings: strict),
    .testTarget(name: "TidyTests", swiftSettings: strict),
  ]
)
