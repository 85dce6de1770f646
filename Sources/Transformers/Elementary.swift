import Glibc

// The C library's functions under names of ours: one place that imports it.

func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
func cosine(_ angle: Double) -> Double { cos(angle) }
func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }
func sine(_ angle: Double) -> Double { sin(angle) }

/// Seconds of processor time that this process has used so far, on all cores together.
func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
