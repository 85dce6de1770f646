import Glibc
import Readers

// Two programs in one file. Built by Tests/Fuzz/run with FUZZER defined, the fuzzer's own main
// calls `LLVMFuzzerTestOneInput`; built any other way, a program that reads the files it is given.

#if FUZZER
  /// The reader that HANSE_FUZZ names.
  private let reader: Reader = {
    guard let name = getenv("HANSE_FUZZ").map({ String(cString: $0) }),
      let reader = Reader(rawValue: name)
    else {
      complain("HANSE_FUZZ names no reader: " + names)
      exit(2)
    }
    return reader
  }()

  /// libFuzzer's own main in all but name.
  @_silgen_name("LLVMFuzzerRunDriver")
  private func runFuzzer(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>, Int) -> CInt
  ) -> CInt

  /// Where the package manager lets an executable of this name begin.
  @_cdecl("fuzz_main")
  public func begin(
    _ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) -> CInt {
    var (count, arguments) = (count, arguments)
    return runFuzzer(&count, &arguments) { testOneInput($0, $1) }
  }

  /// One input of the fuzzer's.
  @_cdecl("LLVMFuzzerTestOneInput")
  public func testOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    if let fault = reader.fault(in: Array(UnsafeBufferPointer(start: start, count: count))) {
      complain(fault)
      abort()
    }
    return 0
  }
#else
  @main
  enum Driver {
    static func main() {
      let arguments = CommandLine.arguments.dropFirst()
      guard let name = arguments.first, let reader = Reader(rawValue: name) else {
        complain("usage: fuzz READER FILE…\nreaders: " + names)
        exit(2)
      }
      var status: CInt = 0
      for path in arguments.dropFirst() {
        guard let bytes = contents(path) else {
          complain("cannot read \(path)")
          exit(2)
        }
        let fault = reader.fault(in: bytes)
        print("\(path): \(fault ?? "kept its promises")")
        if fault != nil { status = 1 }
      }
      exit(status)
    }

    private static func contents(_ path: String) -> [UInt8]? {
      guard let file = fopen(path, "rb") else { return nil }
      defer { fclose(file) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let count = fread(&chunk, 1, chunk.count, file)
        guard count > 0 else { return bytes }
        bytes += chunk[..<count]
      }
    }
  }
#endif

private var names: String { Reader.allCases.map(\.rawValue).joined(separator: " ") }

private func complain(_ text: String) {
  let line = Array((text + "\n").utf8)
  _ = write(STDERR_FILENO, line, line.count)
}
