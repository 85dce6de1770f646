import Synchronization
import Tensors
import Testing

@Suite struct WorkersTests {
  /// An atomic that an array can hold.
  final class Counter: Sendable {
    let value = Atomic(0)
  }

  @Test func everyTaskRunsOnceAndNoWorkerTwiceAtATime() {
    for tasks in [0, 1, 2, 7, 500] {
      let runs = (0..<tasks).map { _ in Counter() }
      let busy = (0..<Workers.count).map { _ in Counter() }
      let clashes = Atomic(0)
      Workers.run(tasks: tasks) { task, worker in
        if busy[worker].value.add(1, ordering: .relaxed).oldValue != 0 {
          clashes.add(1, ordering: .relaxed)
        }
        runs[task].value.add(1, ordering: .relaxed)
        busy[worker].value.subtract(1, ordering: .relaxed)
      }
      #expect(runs.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
      #expect(clashes.load(ordering: .relaxed) == 0)
    }
  }

  /// Two decoders in two tasks must not wait for one another, nor lose a task.
  @Test func regionsOfSeveralThreadsFinish() async {
    await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let sum = Atomic(0)
          for _ in 0..<50 {
            Workers.run(tasks: 10) { task, _ in sum.add(task, ordering: .relaxed) }
          }
          return sum.load(ordering: .relaxed)
        }
      }
      for await sum in group { #expect(sum == 50 * 45) }
    }
  }

  @Test func arenaIsZeroAndItsSlotsApart() {
    var layout = ArenaLayout()
    let a = layout.floats(5)
    let b = layout.kept(100, as: .bf16)
    let c = layout.floats(1 << 20)
    let arena = Arena(layout)
    #expect(arena.bytes(a) + 20 <= arena.bytes(b) && arena.bytes(b) + 200 <= arena.bytes(c))
    #expect(Int(bitPattern: arena.bytes(b)) % 64 == 0)
    #expect((0..<1 << 20).allSatisfy { arena.floats(c)[$0] == 0 })
  }
}
