import Glibc

/// The most memory this process ever held, in bytes.
///
/// Read from /proc, for `getrusage` also counts what the parent held before it started us.
public func peakResidentBytes() -> Int {
  if let line = firstLine(of: "/proc/self/status", beginning: "VmHWM:") {
    return (Int(line.filter(\.isNumber)) ?? 0) << 10
  }
  var usage = rusage()
  getrusage(RUSAGE_SELF.rawValue, &usage)
  return usage.ru_maxrss * 1024
}

/// Bytes of memory that this process may still take: what the system has left, and no more than its
/// control group grants. Nil where neither can be read.
public func availableBytes() -> Int? {
  var found: [Int] = []
  if let line = firstLine(of: "/proc/meminfo", beginning: "MemAvailable:"),
    let kilobytes = Int(line.filter(\.isNumber))
  {
    found.append(kilobytes << 10)
  }
  let group = "/sys/fs/cgroup/memory."
  if let most = firstLine(of: group + "max").flatMap({ Int($0.filter { !$0.isWhitespace }) }),
    let now = firstLine(of: group + "current").flatMap({ Int($0.filter { !$0.isWhitespace }) })
  {
    found.append(max(0, most - now))
  }
  return found.min()
}

private func firstLine(of path: String, beginning: String = "") -> String? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  var line = [CChar](repeating: 0, count: 256)
  while fgets(&line, Int32(line.count), file) != nil {
    let text = line.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    if text.hasPrefix(beginning) { return text }
  }
  return nil
}

/// Seconds of a clock that never jumps; only differences mean something.
func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
