import CKernels

/// The threads that share the work of a step.
public enum Workers {
  /// How many there are: `HANSE_THREADS`, or the cores this process may use.
  public static var count: Int { Int(hk_threads()) }

  /// Runs `body` for every task and returns when all are done.
  ///
  /// `worker` is below `count`, and no two bodies of one call run with the same one at a time, so
  /// it can choose scratch. What a task computes must not depend on it.
  public static func run(tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      var context = body
      withUnsafeMutablePointer(to: &context) { pointer in
        hk_parallel(tasks, pointer) { context, task, worker in
          context!.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee(task, Int(worker))
        }
      }
    }
  }
}
