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
    let written = Configuration(plan: plan, contacts: [])
    let read = try Self.read(written.text())
    #expect(read.lab == "Lübeck \"A\"\\")
    #expect(read.data == ["/a b.txt"])
    #expect(read.listen == "127.0.0.1:7400")
  }

  @Test(arguments: [
    ("lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\nlisten_on = \"x\"\n", "listen_on"),
    ("lab = \"a\"\nmodel = \"m\"\n", "data"),
    ("lab = \"a\"\nmodel = \"m\"\ndata = \"d\"\n", "data"),
    ("lab = \"a\"\nmodel = \"m\"\ndata = []\n", "data is empty"),
    ("lab = \"a\nmodel = \"m\"\n", "line 1"),
    ("lab = \"a\"\nmodel = \"m\"\ndata = [\"d\"]\n[training]\ndtype = \"f64\"\n", "training.dtype"),
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
}
