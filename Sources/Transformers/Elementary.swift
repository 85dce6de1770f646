import Glibc

// The C library's functions under names of ours: one place that imports it.

func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
func cosine(_ angle: Double) -> Double { cos(angle) }
func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }
func sine(_ angle: Double) -> Double { sin(angle) }
