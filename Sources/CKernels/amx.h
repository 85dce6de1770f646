// Frozen products by matrix tiles of bf16 (Intel AMX), written once: products_amx.c includes this
// with the processor's instructions, products_amx_emulated.c with plain loops in their place, so
// that the layouts can be tested on any machine.
//
// The includer defines PREFIX(name), and the macros CONFIGURE, RELEASE, ZERO(t), LOAD(t, p,
// stride), MULTIPLY(c, a, b) and STORE(t, p, stride) over eight tiles of 16 rows by 64 bytes:
//
//   MULTIPLY: c[i][j] += a[i][2q] · b[q][2j] + a[i][2q + 1] · b[q][2j + 1] for q in 0..<16
//
// A weight is stored twice, as the right operand of the forward and of the backward product: in
// squares of 32 × 32, each as two tiles [16 pairs along the sum][16 outputs][2]. Squares follow one
// another along the sum, so a strip of 32 outputs is one stretch of memory. Activations are rounded
// to bf16 and, where there is room, laid out in tiles of [16 rows][32] as well.
#include <string.h>

#include "products_amx.h"

// One square of 32 × 32 sums goes through memory into c.
static void add_square(
  const float *square, long rows, float *restrict c, long ldc, int add
) {
  for (long i = 0; i < rows; i++, square += 32, c += ldc)
    for (int j = 0; j < 32; j++) c[j] = add ? c[j] + square[j] : square[j];
}

// c[m, 32] (+)= a · a strip of `steps` squares.
static void strip(
  long m, long steps, const hk_operand *a, long first, const uint16_t *b, float *c, long ldc,
  int add
) {
  float square[32 * 32] __attribute__((aligned(64)));
  for (long i = 0; i < m; i += 32) {
    const uint16_t *upper = a->rounded + i / 16 * a->block_stride + first * a->step_stride;
    const uint16_t *lower = upper + a->block_stride, *right = b;
    ZERO(0);
    ZERO(1);
    ZERO(2);
    ZERO(3);
    for (long step = 0; step < steps; step++) {
      LOAD(4, upper, 2 * a->row_stride);
      LOAD(6, right, 64);
      LOAD(7, right + 512, 64);
      MULTIPLY(0, 4, 6);
      MULTIPLY(1, 4, 7);
      LOAD(5, lower, 2 * a->row_stride);
      MULTIPLY(2, 5, 6);
      MULTIPLY(3, 5, 7);
      upper += a->step_stride;
      lower += a->step_stride;
      right += 1024;
    }
    STORE(0, square, 128);
    STORE(1, square + 16, 128);
    STORE(2, square + 512, 128);
    STORE(3, square + 528, 128);
    add_square(square, m - i < 32 ? m - i : 32, c + i * ldc, ldc, add);
  }
}

void PREFIX(forward)(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add
) {
  const uint16_t *squares = w->tiles;
  long along = hk_padded(w->columns) / 32, steps = (k1 - k0 + 31) / 32;
  CONFIGURE;
  for (long n = n0; n < n1; n += 32)
    strip(
      m, steps, a, 0, squares + (n / 32 * along + k0 / 32) * 1024, c + n - n0, ldc, add);
  RELEASE;
}

// A long sum is cut, so that a piece of a and its squares stay in cache.
void PREFIX(backward)(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add
) {
  const uint16_t *squares =
    (const uint16_t *)w->tiles + hk_padded(w->rows) * hk_padded(w->columns);
  long along = hk_padded(w->rows) / 32, steps = (n1 - n0 + 31) / 32, most = 48;
  CONFIGURE;
  for (long step = 0; step < steps; step += most)
    for (long k = k0; k < k1; k += 32)
      strip(
        m, steps - step < most ? steps - step : most, a, step,
        squares + (k / 32 * along + n0 / 32 + step) * 1024, c + k - k0, ldc, add || step > 0);
  RELEASE;
}
