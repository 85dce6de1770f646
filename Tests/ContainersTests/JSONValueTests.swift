import Containers
import Determinism
import Testing

@Suite struct JSONValueTests {
  private func parse(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }

  @Test func valuesAreRead() throws {
    let value = try parse(
      #" { "a" : [ 1 , -2.5e1, true , false , null ] , "#
        + #""ö\n" : "\u00e9\ud83d\ude00\/" , "" : {} } "#)
    #expect(value["a"]?.array == [.integer(1), .real(-25), .bool(true), .bool(false), .null])
    #expect(value["ö\n"]?.string == "é😀/")
    #expect(value[""]?.object?.keys == [])
    #expect(value["b"] == nil)
    #expect(try parse("9223372036854775807") == .integer(.max))
    #expect(try parse("9223372036854775808").real == 9_223_372_036_854_775_808)
  }

  @Test(arguments: [
    "", " ", "{", "[", "\"", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[1,", "[1,]", "{,}",
    "{\"a\":1,}", "01", "-", "1.", ".5", "1e", "+1", "0x1", "nul", "truefalse", "\"\\x\"",
    "\"\\u12\"",
    "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "1 2", "{\"a\":1 \"b\":2}",
    "{'a':1}", "{1:2}", "1e999", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
  ])
  func whatIsNotJSONIsRefused(text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test func bytesThatAreNotUTF8AreRefused() {
    #expect(throws: JSONError.self) { try JSONValue.parse([0x22, 0xFF, 0x22]) }
    #expect(throws: JSONError.self) { try JSONValue.parse([0x22, 0x5C, 0x6E, 0xC3, 0x22]) }
  }

  @Test func keysAreComparedByteByByte() throws {
    // Equal to Swift's eyes, different to the format's.
    let value = try parse("{\"é\":1,\"e\u{301}\":2}")
    #expect(value["e\u{301}"]?.integer == 2)
    #expect(value["\u{e9}"]?.integer == 1)
  }

  @Test func damagedTextNeverTraps() {
    let sound = Array(#"{"a":[1,-2.5e3,"x\u00e9\n",{"b":null}],"c":true}"#.utf8)
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<Slow.rounds(5000) { _ = try? JSONValue.parse(damaged(sound, &generator)) }
  }
}
