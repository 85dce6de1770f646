import Glibc

/// A process just started, with pipes to its three streams.
struct Child {
  let process: pid_t
  /// Written to by us.
  let input: Int32
  /// Read by us.
  let output: Int32
  /// Its standard error, read by us.
  let words: Int32

  /// Starts a command in a process group of its own, with default signals, none blocked, and no
  /// other descriptor of ours: a copy of another worker's input would keep that one alive, and one
  /// of the control socket would let a foreign trainer answer the operator.
  init(_ command: [String], _ environment: [String]) throws(TrainerError) {
    let name = command.joined(separator: " ")
    guard let program = command.first else {
      throw .cannotStart(command: name, reason: "the command is empty")
    }
    let pipes = try Pipes(name)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, pipes.input.read, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, pipes.output.write, STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, pipes.words.write, STDERR_FILENO)
    closeEverythingOnExec()
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    var arguments = command.map { strdup($0) } + [nil]
    var variables = environment.map { strdup($0) } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var process = pid_t()
    let status = posix_spawnp(
      &process, program, &actions, &attributes, &arguments, &variables)
    close(pipes.input.read)
    close(pipes.output.write)
    close(pipes.words.write)
    guard status == 0 else {
      for end in [pipes.input.write, pipes.output.read, pipes.words.read] { close(end) }
      throw .cannotStart(command: name, reason: String(cString: strerror(status)))
    }
    self.process = process
    input = pipes.input.write
    output = pipes.output.read
    words = pipes.words.read
  }

  private struct Pipes {
    typealias Pipe = (read: Int32, write: Int32)
    let input: Pipe
    let output: Pipe
    let words: Pipe

    init(_ name: String) throws(TrainerError) {
      input = try Self.make(name)
      output = try Self.make(name)
      words = try Self.make(name)
    }

    private static func make(_ name: String) throws(TrainerError) -> Pipe {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else {
        throw .cannotStart(command: name, reason: String(cString: strerror(errno)))
      }
      for end in ends { closeOnExec(end) }
      return (ends[0], ends[1])
    }
  }
}

/// Keeps a descriptor out of the processes that this one starts.
private func closeOnExec(_ descriptor: Int32) {
  _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
}

/// Does that for every descriptor but the three streams: libraries do not mark all of theirs.
private func closeEverythingOnExec() {
  guard let folder = opendir("/proc/self/fd") else { return }
  defer { closedir(folder) }
  while let entry = readdir(folder) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    if let descriptor = Int32(name), descriptor > STDERR_FILENO { closeOnExec(descriptor) }
  }
}

/// A stream socket in the file system.
public enum UnixSocket {
  /// Connects to one that listens.
  static func connect(_ path: String) throws(TrainerError) -> Int32 {
    try open(path) { descriptor, address, length in Glibc.connect(descriptor, address, length) }
  }

  /// Listens at a path that only this user may use; a socket that is there is replaced.
  public static func listen(_ path: String) throws -> Int32 {
    unlink(path)
    let descriptor = try open(path) { descriptor, address, length in
      bind(descriptor, address, length) == 0 && chmod(path, 0o660) == 0
        ? Glibc.listen(descriptor, 4) : -1
    }
    return descriptor
  }

  /// The next connection to a listening socket; nil when there can be none any more.
  public static func accept(_ descriptor: Int32) -> Int32? {
    while true {
      let accepted = Glibc.accept(descriptor, nil, nil)
      if accepted >= 0 {
        closeOnExec(accepted)
        return accepted
      }
      if errno != EINTR && errno != ECONNABORTED { return nil }
    }
  }

  private static func open(
    _ path: String,
    _ action: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(TrainerError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .cannotStart(command: path, reason: "a socket's path has at most 107 bytes")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = socket(
      AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        action(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard descriptor >= 0, status == 0 else {
      let reason = String(cString: strerror(errno))
      if descriptor >= 0 { close(descriptor) }
      throw .cannotStart(command: path, reason: reason)
    }
    return descriptor
  }
}
