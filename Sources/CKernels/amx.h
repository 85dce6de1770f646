// Frozen products by matrix tiles of bf16 (Intel AMX), written once: products_amx.c includes this
// with the processor's instructions, products_amx_emulated.c with plain loops in their place, so
// that the layouts can be tested on any machine.
//
// The includer defines PREFIX(name), and the macros CONFIGURE, RELEASE, ZERO(t), LOAD(t, p,
// stride), MULTIPLY(c, a, b), STORE(t, p, stride) and FETCH(p), which brings a kilobyte nearer,
// over eight tiles of 16 rows by 64 bytes, strides in bytes:
//
//   MULTIPLY: c[i][j] += a[i][2q] · b[q][2j] + a[i][2q + 1] · b[q][2j + 1] for q in 0..<16
//
// A weight is stored twice, as the right operand of the forward and of the backward product: in
// squares of 32 × 32, each as two tiles [16 pairs along the sum][16 outputs][2]. Squares follow one
// another along the sum, so a strip of 32 outputs is one stretch of memory. Activations are rounded
// to bf16 and laid out in tiles of [16 rows][32] as well.
#include <string.h>

#include "products_amx.h"

// c[m, 32] (+)= a · a strip of `steps` squares. Four tiles hold sums, so each tile of a and of the
// weight serves two multiplications. Sums of whole squares begin and end in c itself; those of the
// last rows go through memory of their own.
static void strip(
  long m, long steps, const hk_operand *a, long first, const uint16_t *b, float *c, long ldc,
  int add
) {
  float square[32 * 32] __attribute__((aligned(64)));
  for (long i = 0; i < m; i += 32, c += 32 * ldc) {
    long rows = m - i < 32 ? m - i : 32, ld = rows == 32 ? ldc : 32;
    float *sums = rows == 32 ? c : square;
    if (rows == 32 && add) {
      LOAD(0, sums, 4 * ld);
      LOAD(1, sums + 16, 4 * ld);
      LOAD(2, sums + 16 * ld, 4 * ld);
      LOAD(3, sums + 16 * ld + 16, 4 * ld);
    } else {
      ZERO(0);
      ZERO(1);
      ZERO(2);
      ZERO(3);
    }
    const uint16_t *upper = a->rounded + i / 16 * a->block_stride + first * 512;
    const uint16_t *lower = upper + a->block_stride, *right = b;
    for (long step = 0; step < steps; step++) {
      // The weight's strip stays in the first-level cache while a streams past: fetch it ahead.
      FETCH(upper + 1024);
      FETCH(lower + 1024);
      LOAD(4, upper, 64);
      LOAD(6, right, 64);
      LOAD(7, right + 512, 64);
      MULTIPLY(0, 4, 6);
      MULTIPLY(1, 4, 7);
      LOAD(5, lower, 64);
      MULTIPLY(2, 5, 6);
      MULTIPLY(3, 5, 7);
      upper += 512;
      lower += 512;
      right += 1024;
    }
    STORE(0, sums, 4 * ld);
    STORE(1, sums + 16, 4 * ld);
    STORE(2, sums + 16 * ld, 4 * ld);
    STORE(3, sums + 16 * ld + 16, 4 * ld);
    for (long r = 0; r < rows && sums == square; r++)
      for (int j = 0; j < 32; j++)
        c[r * ldc + j] = add ? c[r * ldc + j] + square[r * 32 + j] : square[r * 32 + j];
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
