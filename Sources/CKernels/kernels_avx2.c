// Vectors of eight floats with fused multiply-add: 6 × 2 of the 16 registers hold sums.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#define W 8
#define ROWS 6
#define COLUMNS 2
#define NAME hk_kernels_avx2
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "kernels.h"
#pragma clang attribute pop
#else
typedef int not_for_this_processor;
#endif
