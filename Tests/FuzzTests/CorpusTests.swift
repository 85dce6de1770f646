import Foundation
import Readers
import Testing

/// Every file that a fuzzer kept, through the reader that it was kept for.
@Suite struct CorpusTests {
  static let folder =
    "/\(#filePath.split(separator: "/").dropLast(2).joined(separator: "/"))"
    + "/Fuzz/Corpus"

  @Test(arguments: Reader.allCases) func everyKeptFileIsReadOrRefused(reader: Reader) throws {
    let folder = "\(Self.folder)/\(reader.rawValue)"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    #expect(!names.isEmpty, "no file is kept for \(reader.rawValue)")
    for name in names {
      let bytes = try Data(contentsOf: URL(filePath: "\(folder)/\(name)"))
      #expect(reader.fault(in: [UInt8](bytes)) == nil, "\(reader.rawValue)/\(name)")
    }
  }
}
