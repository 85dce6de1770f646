import CLinux

/// How glibc's allocator serves a process that runs for months and now and then handles arrays of
/// hundreds of megabytes.
enum Allocator {
  /// By default every array that is freed raises the size, up to 32 MiB, below which the next one
  /// comes out of a heap, of which each thread may get its own and none shrinks while anything
  /// near its end is in use: what a round needed for a moment stays with the process. A fixed
  /// threshold gives large arrays back as soon as they are freed. Blocks and frames stay below it.
  static func settle() {
    mallopt(M_MMAP_THRESHOLD, 2 << 20)
    mallopt(M_TRIM_THRESHOLD, 16 << 20)
    mallopt(M_ARENA_MAX, 2)
  }
}
