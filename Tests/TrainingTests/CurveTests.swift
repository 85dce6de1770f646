import FoundationEssentials
import Testing
import Training

@Suite struct CurveTests {
  private func point(_ step: Int, _ loss: Double, heldOut: Double? = nil) -> CurvePoint {
    CurvePoint(
      StepReport(
        step: step, loss: loss, learningRate: 1e-4, gradientNorm: 0.5, tokens: 64, seconds: 0.25),
      heldOutLoss: heldOut)
  }

  private func lines(_ folder: Folder) throws -> [String] {
    let data = try #require(FileManager.default.contents(atPath: folder.path + "/curve.jsonl"))
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  @Test func aResumedCurveHasEachStepOnce() throws {
    let folder = Folder()
    let first = try CurveFile(folder: folder.path, stepsDone: 0)
    try first.append(CurvePoint(start: 5))
    for step in 1...5 { try first.append(point(step, 4)) }
    try first.synchronise()
    // Killed while it wrote a sixth line; the state is of step 3.
    let path = folder.path + "/curve.jsonl"
    let torn = try #require(FileManager.default.contents(atPath: path)) + Data("{\"step\":6,".utf8)
    FileManager.default.createFile(atPath: path, contents: torn)
    let second = try CurveFile(folder: folder.path, stepsDone: 3)
    #expect(second.points.map(\.step) == [0, 1, 2, 3])
    for step in 4...6 { try second.append(point(step, 3, heldOut: step == 6 ? 2.5 : nil)) }
    #expect(second.points.map(\.step) == Array(0...6))
    let text = try lines(folder)
    #expect(text.count == 7)
    #expect(text[0] == "{\"held_out_loss\":5,\"step\":0}")
    #expect(
      text[6] == "{\"gradient_norm\":0.5,\"held_out_loss\":2.5,\"learning_rate\":0.0001,"
        + "\"loss\":3,\"seconds\":0.25,\"step\":6,\"tokens\":64}")
    // A run that begins has nothing of the one before.
    #expect(try CurveFile(folder: folder.path, stepsDone: 0).points.isEmpty)
    #expect(try lines(folder).isEmpty)
  }

  @Test func nothingIsGuessedOfADamagedFile() throws {
    let folder = Folder()
    let text = "{\"step\":1,\"loss\":1}\n{\"step\":3,\"loss\":1}\nhello\n{\"step\":4,\"loss\":1}\n"
    let path = folder.path + "/curve.jsonl"
    FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
    #expect(try CurveFile(folder: folder.path, stepsDone: 9).points.map(\.step) == [1])
  }

  @Test(arguments: [32, 40, 79, 80, 120, 500])
  func theDrawingKeepsToItsWidth(_ width: Int) {
    let points = (1...300).map {
      point($0, 4 - Double($0) / 100, heldOut: $0 % 50 == 0 ? 3.5 - Double($0) / 200 : nil)
    }
    let drawing = CurveDrawing(points, width: width).lines()
    #expect(drawing.count == 14)
    #expect(drawing.allSatisfy { $0.count <= min(width, 120) }, "\(drawing)")
    let text = drawing.joined()
    #expect(text.contains("●") && text.contains("·") && text.contains("step 1"))
    #expect(text.contains("300"))
    // Falling: the first column's mark stands above the last one's.
    let rows = drawing.indices.filter { drawing[$0].contains("·") }
    #expect(rows.first == 0 || rows.first == 1)
    #expect(drawing.allSatisfy { $0.allSatisfy { !$0.isNewline } })
  }

  @Test func tooLittleIsNotDrawn() {
    #expect(CurveDrawing([point(1, 4)], width: 80).lines().isEmpty)
    #expect(CurveDrawing([point(1, 4), point(2, 4)], width: 31).lines().isEmpty)
    #expect(CurveSVG([point(1, 4)], title: "x") == nil)
    // A flat line and equal steps divide by nothing.
    #expect(!CurveDrawing([point(1, 4), point(2, 4)], width: 80).lines().isEmpty)
  }

  @Test func theWholeDrawingOfAFewSteps() {
    let points = [
      point(1, 4), point(2, 3.5), point(3, 3.25), point(4, 3, heldOut: 3.5), point(5, 3),
    ]
    #expect(
      CurveDrawing(points, width: 32, height: 5).lines() == [
        "4.0 ┤·",
        "    │",
        "3.5 ┤      ·            ●",
        "    │             ·",
        "3.0 ┤                   ·      ·",
        "    └───────────────────────────",
        "     step 1                    5",
      ])
  }

  @Test func thePictureIsWholeAndHarmless() throws {
    let points =
      [CurvePoint(start: 4.5)]
      + (1...2000).map {
        point($0, 4 - Double($0) / 1000 + Double($0 % 7) / 10, heldOut: $0 % 500 == 0 ? 3 : nil)
      }
    let picture = try #require(CurveSVG(points, title: "a <script> & \u{1B}[31m\"b\""))
    let text = picture.text()
    #expect(text.hasPrefix("<svg xmlns=") && text.hasSuffix("</svg>\n"))
    #expect(!text.contains("<script") && !text.unicodeScalars.contains("\u{1B}"))
    #expect(text.contains("a &lt;script&gt; &amp;"))
    #expect(text.contains("prefers-color-scheme: dark"))
    for word in ["loss, nats per token", ">step<", "held-out, lowest 3.0000 after step 500"] {
      #expect(text.contains(word), "\(word)")
    }
    // As many points as a screen shows, however long the run was.
    #expect(text.utf8.count < 40_000)
    #expect(!text.contains("nan") && !text.contains("inf"))
  }
}
