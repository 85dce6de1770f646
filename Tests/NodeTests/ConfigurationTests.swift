import FoundationEssentials
import Glibc
import Node
import Testing

@Suite struct ConfigurationTests {
  private static func read(_ text: String) throws -> Configuration {
    let path = "/tmp/hanse-configuration-\(getpid())-\(UInt64.random(in: 0 ... .max)).toml"
    try Data(text.utf8).write(to: URL(filePath: path))
    defer { unlink(path) }
    return try Configuration.read(path)
  }

  @Test func whatIsWrittenIsRead() throws {
    let plan = HomePlan(
      home: "/h", labName: "Lübeck \"A\"\\", model: "/m.gguf", data: ["/a b.txt"], heldOut: [],
      listen: "127.0.0.1:7400")
    var written = Configuration(plan: plan, contacts: [])
    #expect(try Self.read(written.text()).licence == nil)
    written.licence = "CC-BY-SA-4.0 \"or later\""
    let read = try Self.read(written.text())
    #expect(read.lab == "Lübeck \"A\"\\")
    #expect(read.data == ["/a b.txt"])
    #expect(read.listen == "127.0.0.1:7400")
    #expect(read.licence == written.licence)
  }

  @Test(arguments: [
    ("lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\nlisten_on = \"x\"\n", "listen_on"),
    ("lab = \"a\"\nmodel = \"m\"\n", "data"),
    ("lab = \"a\"\nmodel = \"m\"\ndata = \"d\"\n", ".toml:3: data has the wrong type"),
    ("lab = \"a\"\nmodel = \"m\"\ndata = []\n", ".toml:3: data is empty"),
    ("lab = \"a\nmodel = \"m\"\n", ".toml:1: "),
    (
      "lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\nlicence = \""
        + String(repeating: "x", count: 513) + "\"\n",
      ".toml:4: licence is longer than 512 bytes"
    ),
    (
      "lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\n[training]\ndtype = \"f64\"\n",
      ".toml:5: training.dtype"
    ),
    (
      "lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\n[network]\nrate_limit_mbit = 0.5\n",
      "network.rate_limit_mbit"
    ),
  ])
  func namesWhatIsWrong(_ text: String, _ word: String) {
    do {
      _ = try Self.read(text)
      Issue.record("read without a complaint")
    } catch {
      #expect("\(error)".contains(word), "\(error)")
      #expect("\(error)".contains("hint:"))
    }
  }

  /// A misspelt key is named with its line and the key that may be meant.
  @Test(arguments: [
    ("listen_on = \"x\"", ":4: unknown key listen_on, the nearest is listen\n"),
    ("[training]\nstesp = 3", ":5: unknown key training.stesp, the nearest is training.steps\n"),
    ("threads = 2", ":4: unknown key threads, the nearest is training.threads\n"),
    ("[trainng]\nsteps = 3", ":4: unknown key trainng, the nearest is training\n"),
    (
      "training = { dtype = \"f32\", stepz = 3 }",
      ":4: unknown key training.stepz, the nearest is training.steps\n"
    ),
    ("training.batsh = 3", ":4: unknown key training.batsh, the nearest is training.batch\n"),
    ("colour = true", ":4: unknown key colour\n"),
    (
      "held_out = [  # one a line\n  \"a]\", 'b[', # [\n\n"
        + "  \"\"\"c\n[\"\"\"\"\n]\r\n\n\"contact\" = []",
      ":11: unknown key contact, the nearest is contacts\n"
    ),
    (
      (1...20_000).map { "k\($0) = 1\n" }.joined(),
      ":4: unknown key k1; line 5: unknown key k2; line 6: unknown key k3; "
        + "line 7: unknown key k4; line 8: unknown key k5\n"
    ),
    ("[x" + String(repeating: ".x", count: 20_000) + "]", ":4: unknown key x\n"),
    (
      "# x = [\nlistne = \"\"\n[log]\nlevl = \"info\"",
      ":5: unknown key listne, the nearest is listen; "
        + "line 7: unknown key log.levl, the nearest is log.level\n"
    ),
  ])
  func namesTheLineOfAMisspeltKey(_ more: String, _ words: String) {
    do {
      _ = try Self.read("lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\n" + more + "\n")
      Issue.record("read without a complaint")
    } catch {
      #expect("\(error)".contains(".toml" + words), "\(error)")
    }
  }

  /// One that is needed is said to be misspelt, not to be missing.
  @Test func aMisspeltKeyIsNamedBeforeTheOneThatItLeavesOut() {
    do {
      _ = try Self.read("lab = \"a\"\nmodle = \"m\"\ndata = [\"d\"]\n")
      Issue.record("read without a complaint")
    } catch {
      #expect("\(error)".contains(".toml:2: unknown key modle, the nearest is model\n"), "\(error)")
    }
  }
}
