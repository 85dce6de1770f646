// Vectors of sixteen floats: 14 × 2 of the 32 registers hold sums.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#define W 16
#define ROWS 14
#define COLUMNS 2
#define NAME hk_kernels_avx512
#pragma clang attribute push(                                                     \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,evex512"))), \
  apply_to = function)
#include "kernels.h"
#pragma clang attribute pop
#else
typedef int not_for_this_processor;
#endif
