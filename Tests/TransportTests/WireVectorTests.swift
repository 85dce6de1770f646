import Foundation
import Gossip
import Identities
import NIOCore
import Records
import Testing
import Transport

/// Every file of Protocol/Vectors/Wire does what it says.
@Suite struct WireVectorTests {
  private struct Vector {
    var name: String
    var fields: [String: String]
    var bytes: [UInt8]
  }

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Protocol/Vectors/Wire").standardizedFileURL

  private func vectors(_ kind: String) throws -> [Vector] {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).sorted()
    return try names.filter { $0.hasSuffix(".txt") }.map { name in
      let text = try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8)
      let halves = text.components(separatedBy: "\n\n")
      var fields: [String: String] = [:]
      for line in halves[0].split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        fields[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces)
      }
      let digits = Array(halves[1].filter { !$0.isWhitespace })
      let bytes = stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)!
      }
      return Vector(name: name, fields: fields, bytes: bytes)
    }.filter { $0.fields["kind"] == kind }
  }

  /// What a reader makes of the bytes when they come in pieces of this size.
  private func read(_ vector: Vector, piece: Int) -> (outcome: String, frames: [String]) {
    var reader = FrameReader(limit: Int(vector.fields["limit"]!)!)
    var frames: [String] = []
    for start in stride(from: 0, to: vector.bytes.count, by: piece) {
      let end = min(start + piece, vector.bytes.count)
      reader.append(ByteBuffer(bytes: vector.bytes[start..<end]))
      do {
        while let bytes = try reader.next() {
          guard let frame = decode(bytes) else {
            return ("undecodable", frames)
          }
          frames.append(Self.name(frame))
        }
      } catch .frameTooLong {
        return ("frame-too-long", frames)
      } catch {
        return ("undecodable", frames)
      }
    }
    return (reader.pendingBytes == 0 ? "success" : "incomplete", frames)
  }

  private static func name(_ frame: Hanse_V1_Frame) -> String {
    switch frame.kind {
    case .hello?: "hello"
    case .ping?: "ping"
    case .wantObject?: "want_object"
    case .block?: "block"
    case .goodbye?: "goodbye"
    case nil: "none"
    default: "other"
    }
  }

  @Test func framesAreCutAsTheChapterSays() throws {
    let vectors = try vectors("frames")
    #expect(vectors.count == 16)
    for vector in vectors {
      let expected = vector.fields["frames"]?.split(separator: " ").map(String.init) ?? []
      for piece in [1, 2, 3, 5, 64, 100_000] {
        let (outcome, frames) = read(vector, piece: piece)
        #expect(outcome == vector.fields["expect"], "\(vector.name) in pieces of \(piece)")
        #expect(frames == expected, "\(vector.name) in pieces of \(piece)")
      }
    }
  }

  @Test func theWorkedExampleIsWhatIsWritten() throws {
    var frame = Hanse_V1_Frame()
    frame.hello.protocol = 1
    frame.hello.federation = Data(repeating: 0x11, count: 32)
    frame.hello.software = "hanse/0.1"
    let lab = LabID(bytes: [UInt8](repeating: 0x22, count: 32))!
    let entry = ContentID(bytes: [UInt8](repeating: 0x33, count: 32))!
    frame.hello.heads = [Head(lab: lab, sequence: 3, entry: entry).wire]
    let vector = try #require(try vectors("frames").first { $0.name == "frame_hello.txt" })
    #expect(encode(frame).map { Array(buffer: $0) } == vector.bytes)
  }

  @Test func certificatesAreJudgedAsTheChapterSays() throws {
    let vectors = try vectors("certificate")
    #expect(vectors.count == 17)
    for vector in vectors {
      let now = Int64(vector.fields["now"]!)!
      let key = try? CertificateCheck.key(of: vector.bytes, now: now)
      #expect((key != nil) == (vector.fields["expect"] == "success"), "\(vector.name)")
      #expect(key?.description == vector.fields["key"], "\(vector.name)")
    }
  }
}
