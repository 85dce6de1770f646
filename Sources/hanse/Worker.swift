import ArgumentParser
import Control
import Glibc
import Node
import Tensors
import Trainers
import Transformers

/// `hanse worker`: the built-in trainer, started by the daemon.
struct Worker: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker",
    abstract: "Train and measure as a daemon tells it to: the built-in trainer.",
    discussion: """
      Keeps the base in memory and takes jobs as JSON lines on standard input, answers on \
      standard output, as Protocol/Worker.md says. The daemon starts it by itself; by hand it is \
      of use to run as a unit of its own, without network, that the daemon reaches by a socket.

      EXAMPLE
        $ hanse worker --model m.gguf --listen /run/hanse/worker.sock

      EXIT CODES
        0 the input ended or it was told to stop, 1 failed, 2 wrong use, 3 the model is missing
      """)

  @Option(help: ArgumentHelp("The base: a GGUF file or a Hugging Face folder.", valueName: "path"))
  var model: String

  @Option(help: "In what the frozen weights are kept: bf16 or f32.")
  var dtype = "bf16"

  @Option(
    help: ArgumentHelp(
      "How frozen weights are kept: as --dtype says, or in GGUF's blocks of 8 or 4 bits.",
      valueName: "form"))
  var weights = WeightForm.full

  @Option(
    help: ArgumentHelp(
      "Take jobs from connections to this Unix socket, one after the other, instead.",
      valueName: "path"))
  var listen: String?

  func validate() throws {
    guard ComputeType(rawValue: dtype) != nil else {
      throw ValidationError("--dtype is \(dtype); it must be bf16 or f32")
    }
  }

  func run() throws {
    let engine = "hanse \(Node.version)"
    guard let listen else {
      // Whatever a library prints must not stand between the answers.
      let output = dup(STDOUT_FILENO)
      dup2(STDERR_FILENO, STDOUT_FILENO)
      WorkerLoop.watch(STDIN_FILENO)
      WorkerLoop(jobs: try load(), input: STDIN_FILENO, output: output, engine: engine).run()
      return
    }
    let jobs = try load()
    let socket = try UnixSocket.listen(listen)
    Speech.note("listening at \(PlainText.escape(listen))")
    while let connection = UnixSocket.accept(socket) {
      WorkerLoop(jobs: jobs, input: connection, output: connection, engine: engine).run()
      close(connection)
    }
  }

  private func load() throws -> WorkerJobs {
    try WorkerJobs(model: model, computeType: ComputeType(rawValue: dtype) ?? .bf16, form: weights)
  }
}
