// The kernels, written once over vectors of W floats and compiled once for each instruction set:
// kernels_portable.c, kernels_avx2.c and kernels_avx512.c define W, ROWS, COLUMNS and NAME, and
// include this file inside a `#pragma clang attribute` that names the set.
//
//   W        floats in a vector
//   ROWS     rows of the block that stays in registers during a product
//   COLUMNS  vectors of the block (a divisor of 32 / W, and of 16 / W unless W is 16)
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"
#include "dispatch.h"
#include "vectors.h"

// ---- products

INLINE void block(
  const int rows, const int columns, long k, const float *a, long a_row, long a_step,
  const float *b, long ldb, float *c, long ldc, int add
) {
  vf total[ROWS][COLUMNS];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < columns; v++) total[i][v] = 0;
  // Three rows share a pointer, so that their addresses are not one long chain of additions; the
  // empty assembly keeps the compiler from making them one.
  const float *left[(ROWS + 2) / 3];
  for (int i = 0; i < (rows + 2) / 3; i++) {
    left[i] = a + 3 * i * a_row;
    __asm__("" : "+r"(left[i]));
  }
  for (long q = 0; q < k; q++) {
    vf right[COLUMNS];
    for (int v = 0; v < columns; v++) right[v] = load(b + v * W);
#pragma unroll
    for (int i = 0; i < rows; i++) {
      vf x = left[i / 3][i % 3 * a_row];
      for (int v = 0; v < columns; v++) total[i][v] += x * right[v];
    }
    for (int i = 0; i < (rows + 2) / 3; i++) left[i] += a_step;
    b += ldb;
  }
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < columns; v++) {
      float *p = c + i * ldc + v * W;
      store(p, add ? load(p) + total[i][v] : total[i][v]);
    }
}

typedef void (*block_function)(
  long k, const float *a, long a_row, long a_step, const float *b, long ldb, float *c, long ldc,
  int add);

// One function for each number of rows; those past ROWS are never called.
#define BLOCK(n)                                                                               \
  __attribute__((noinline)) static void wide##n(                                               \
    long k, const float *a, long a_row, long a_step, const float *b, long ldb, float *c,       \
    long ldc, int add                                                                          \
  ) {                                                                                          \
    block(n <= ROWS ? n : 1, COLUMNS, k, a, a_row, a_step, b, ldb, c, ldc, add);               \
  }
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7)
BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static const block_function wide[15] = {
  0, wide1, wide2, wide3, wide4, wide5, wide6, wide7, wide8, wide9, wide10, wide11, wide12,
  wide13, wide14,
};

#if W == 16
#define NARROW(n)                                                                              \
  __attribute__((noinline)) static void narrow##n(                                             \
    long k, const float *a, long a_row, long a_step, const float *b, long ldb, float *c,       \
    long ldc, int add                                                                          \
  ) {                                                                                          \
    block(n, 1, k, a, a_row, a_step, b, ldb, c, ldc, add);                                     \
  }
NARROW(1) NARROW(2) NARROW(3) NARROW(4) NARROW(5) NARROW(6) NARROW(7)
NARROW(8) NARROW(9) NARROW(10) NARROW(11) NARROW(12) NARROW(13) NARROW(14)

static const block_function narrow[15] = {
  0, narrow1, narrow2, narrow3, narrow4, narrow5, narrow6, narrow7, narrow8, narrow9, narrow10,
  narrow11, narrow12, narrow13, narrow14,
};
#endif

// All rows of c by one strip of columns.
INLINE void strip(
  const block_function *blocks, long m, long k, const float *a, long a_row, long a_step,
  const float *b, long ldb, float *c, long ldc, int add
) {
  for (long i = 0, rows; i < m; i += rows) {
    // Few rows alone leave the multipliers waiting for their own sums: the last two blocks share.
    long left = m - i;
    rows = left <= ROWS ? left : left < ROWS + ROWS / 2 ? (left + 1) / 2 : ROWS;
    blocks[rows](k, a + i * a_row, a_row, a_step, b, ldb, c + i * ldc, ldc, add);
  }
}

static void multiply(
  long m, long n, long k, const float *a, long a_row, long a_step, const float *b, long ldb,
  float *c, long ldc, int add
) {
  long j = 0;
  for (; j + COLUMNS * W <= n; j += COLUMNS * W)
    strip(wide, m, k, a, a_row, a_step, b + j, ldb, c + j, ldc, add);
#if W == 16
  if (j < n && n - j <= W) {
    strip(narrow, m, k, a, a_row, a_step, b + j, ldb, c + j, ldc, add);
    return;
  }
#endif
  for (; j < n; j += COLUMNS * W)
    strip(wide, m, k, a, a_row, a_step, b + j, ldb, c + j, ldc, add);
}

// A strip of 32 columns from a panel [k][32].
INLINE void panel_strip(
  long m, long k, const float *a, long lda, const float *panel, float *c, long ldc, int add
) {
  for (long j = 0; j < 32; j += COLUMNS * W)
    strip(wide, m, k, a, lda, 1, panel + j, 32, c + j, ldc, add);
}

INLINE const void *tile(const hk_matrix *w, long row, long column) {
  long element = column / 32 * hk_padded(w->rows) * 32 + row * 32 + column % 32;
  return w->type == hk_bf16 ? (const void *)((const uint16_t *)w->tiles + element)
                            : (const void *)((const float *)w->tiles + element);
}

#if W == 16
#include "transpose.h"

// panel[k][32 rows] from a tile [32 rows][32 k]. A word of a bf16 tile is two neighbours in k, so
// its transposed words are two rows of the panel.
static void turn_tile(const void *tile, int bf16, float *panel) {
  __m512i r[16];
  for (int half = 0; half < 32; half += 16) {
    if (bf16) {
      const uint16_t *p = (const uint16_t *)tile + half * 32;
      for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(p + i * 32);
      transpose16(r);
      for (int i = 0; i < 16; i++) {
        float *out = panel + 64 * i + half;
        _mm512_storeu_si512(out, _mm512_slli_epi32(r[i], 16));
        _mm512_storeu_si512(out + 32, _mm512_and_si512(r[i], _mm512_set1_epi32((int)0xffff0000)));
      }
    } else {
      for (int k = 0; k < 32; k += 16) {
        const float *p = (const float *)tile + half * 32 + k;
        for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(p + i * 32);
        transpose16(r);
        for (int i = 0; i < 16; i++) _mm512_storeu_si512(panel + (k + i) * 32 + half, r[i]);
      }
    }
  }
}

// out[columns][ldo] from x[rows][ldx]; rows and columns are multiples of 16.
static void transpose(long rows, long columns, const float *x, long ldx, float *out, long ldo) {
  __m512i r[16];
  for (long i = 0; i < rows; i += 16)
    for (long j = 0; j < columns; j += 16) {
      for (int q = 0; q < 16; q++) r[q] = _mm512_loadu_si512(x + (i + q) * ldx + j);
      transpose16(r);
      for (int q = 0; q < 16; q++) _mm512_storeu_si512(out + (j + q) * ldo + i, r[q]);
    }
}
#else
static void turn_tile(const void *tile, int bf16, float *panel) {
  float row[32];
  for (int n = 0; n < 32; n++) {
    for (int k = 0; k < 32; k += W) store(row + k, recall(tile, n * 32 + k, bf16));
    for (int k = 0; k < 32; k++) panel[k * 32 + n] = row[k];
  }
}

static void transpose(long rows, long columns, const float *x, long ldx, float *out, long ldo) {
  for (long i = 0; i < rows; i += 8)
    for (long j = 0; j < columns; j += 8)
      for (int p = 0; p < 8; p++)
        for (int q = 0; q < 8; q++) out[(j + q) * ldo + i + p] = x[(i + p) * ldx + j + q];
}
#endif

// As many steps of at most 768 as are needed, all about equal and multiples of 32.
INLINE long chunk_of(long length) {
  long chunks = (length + 767) / 768;
  return hk_padded((length + chunks - 1) / chunks);
}

static void frozen_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const float *a, long lda,
  float *c, long ldc, int add, float *panel
) {
  long chunk = chunk_of(k1 - k0);
  int bf16 = w->type == hk_bf16;
  for (long n = n0; n < n1; n += 32)
    for (long k = k0; k < k1; k += chunk) {
      long depth = k1 - k < chunk ? k1 - k : chunk;
      for (long q = 0; q < depth; q += 32) turn_tile(tile(w, n, k + q), bf16, panel + q * 32);
      panel_strip(m, depth, a + k - k0, lda, panel, c + n - n0, ldc, add || k > k0);
    }
}

static void frozen_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const float *a, long lda,
  float *c, long ldc, int add, float *panel
) {
  long chunk = chunk_of(n1 - n0);
  for (long n = n0; n < n1; n += chunk) {
    long depth = n1 - n < chunk ? n1 - n : chunk;
    for (long k = k0; k < k1; k += 32) {
      const void *source = tile(w, n, k);
      const float *right = source;
      if (w->type == hk_bf16) {
        for (long i = 0; i < depth * 32; i += W)
          store(panel + i, from_bf16((const uint16_t *)source + i));
        right = panel;
      }
      panel_strip(m, depth, a + n - n0, lda, right, c + k - k0, ldc, add || n > n0);
    }
  }
}

// ---- conversions

static void keep_all(void *kept, const float *x, long n, int bf16) {
  for (long i = 0; i < n; i += W) keep(kept, i, load(x + i), bf16);
}

static void recall_all(float *x, const void *kept, long n, int bf16) {
  for (long i = 0; i < n; i += W) store(x + i, recall(kept, i, bf16));
}

// bf16 in tiles of [16 rows][32], a tile's rows together and 16 rows hk_padded(depth) · 16 apart.
static void keep_tiles(long rows, long depth, const float *a, long lda, uint16_t *out) {
  long ld = hk_padded(depth), whole = depth & ~31L;
  for (long r = 0; r < rows; r++, a += lda) {
    uint16_t *row = out + r / 16 * 16 * ld + r % 16 * 32;
    for (long k = 0; k < whole; k += 32, row += 512)
      for (int i = 0; i < 32; i += W) to_bf16(row + i, load(a + k + i));
    if (whole < depth) {
      float rest[32] = {0};
      memcpy(rest, a + whole, sizeof(float) * (size_t)(depth - whole));
      for (int i = 0; i < 32; i += W) to_bf16(row + i, load(rest + i));
    }
  }
}

// ---- point-wise

static void norm_forward(
  long rows, long width, const float *x, const float *weight, float epsilon, float *y,
  void *kept, int bf16, float *rstd
) {
  long ld = hk_padded(width);
  for (long r = 0; r < rows; r++, x += ld, y += ld) {
    vf squares = 0;
    for (long i = 0; i < ld; i += W) squares += load(x + i) * load(x + i);
    float scale = 1 / sqrtf(sum(squares) / (float)width + epsilon);
    if (rstd) rstd[r] = scale;
    for (long i = 0; i < ld; i += W) {
      vf unit = load(x + i) * scale;
      if (kept) keep(kept, r * ld + i, unit, bf16);
      store(y + i, unit * load(weight + i));
    }
  }
}

static void norm_again(
  long rows, long width, const void *kept, int bf16, const float *weight, float *y
) {
  long ld = hk_padded(width);
  for (long r = 0; r < rows; r++)
    for (long i = 0; i < ld; i += W)
      store(y + r * ld + i, recall(kept, r * ld + i, bf16) * load(weight + i));
}

static void norm_backward(
  long rows, long width, const float *dy, const float *weight, const void *kept, int bf16,
  const float *rstd, float *dx
) {
  long ld = hk_padded(width);
  for (long r = 0; r < rows; r++, dy += ld, dx += ld) {
    vf along = 0;
    for (long i = 0; i < ld; i += W)
      along += load(dy + i) * load(weight + i) * recall(kept, r * ld + i, bf16);
    float mean = sum(along) / (float)width;
    for (long i = 0; i < ld; i += W) {
      vf across = load(dy + i) * load(weight + i) - recall(kept, r * ld + i, bf16) * mean;
      store(dx + i, load(dx + i) + rstd[r] * across);
    }
  }
}

static void rope(
  long rows, long first, long length, long heads, long dimension, float *x, long ldx,
  const float *turns, int inverse
) {
  long half = dimension / 2;
  float sign = inverse ? -1 : 1;
  for (long r = 0; r < rows; r++) {
    const float *cosines = turns + (first + r) % length * dimension;
    const float *sines = cosines + half;
    for (long h = 0; h < heads; h++) {
      float *a = x + r * ldx + h * dimension, *b = a + half;
      long i = 0;
      for (; i + W <= half; i += W) {
        vf c = load(cosines + i), s = sign * load(sines + i), p = load(a + i), q = load(b + i);
        store(a + i, p * c - q * s);
        store(b + i, q * c + p * s);
      }
      for (; i < half; i++) {
        float c = cosines[i], s = sign * sines[i], p = a[i], q = b[i];
        a[i] = p * c - q * s;
        b[i] = q * c + p * s;
      }
    }
  }
}

static void swiglu_forward(long n, const float *gate, const float *up, float *act) {
  for (long i = 0; i < n; i += W) {
    vf g = load(gate + i);
    store(act + i, g / (1 + exponential(-g)) * load(up + i));
  }
}

static void swiglu_backward(long n, float *gate, float *up, float *dact) {
  for (long i = 0; i < n; i += W) {
    vf g = load(gate + i), u = load(up + i), d = load(dact + i);
    vf sigmoid = 1 / (1 + exponential(-g));
    vf silu = g * sigmoid;
    store(dact + i, silu * u);
    store(up + i, d * silu);
    store(gate + i, d * u * (sigmoid + silu * (1 - sigmoid)));
  }
}

// ---- loss

// A vector with what lies past n replaced.
INLINE vf masked(const float *x, long i, long n, vf other) {
  vf v = load(x + i);
  return n - i >= W ? v : choose(lanes_from_zero() < (vi)(int)(n - i), v, other);
}

static void partition_fold(hk_partition *partition, const float *logits, long n) {
  vf top = -INFINITY;
  for (long i = 0; i < n; i += W) top = larger(top, masked(logits, i, n, (vf)-INFINITY));
  float highest = maximum(top);
  if (highest > partition->maximum) {
    partition->sum *= expf(partition->maximum - highest);
    partition->maximum = highest;
  }
  vf total = 0;
  vf shift = partition->maximum;
  for (long i = 0; i < n; i += W) {
    vf e = exponential(load(logits + i) - shift);
    total += n - i >= W ? e : choose(lanes_from_zero() < (vi)(int)(n - i), e, (vf)0);
  }
  partition->sum += sum(total);
}

static float partition_exponentials(hk_partition *partition, float *logits, long n) {
  vf top = -INFINITY;
  for (long i = 0; i < n; i += W) top = larger(top, masked(logits, i, n, (vf)-INFINITY));
  float highest = maximum(top), fade = 1;
  if (highest > partition->maximum) {
    fade = expf(partition->maximum - highest);
    partition->sum *= fade;
    partition->maximum = highest;
  }
  vf total = 0;
  vf shift = partition->maximum;
  for (long i = 0; i < hk_padded(n); i += W) {
    vf e = exponential(load(logits + i) - shift);
    if (n - i < W) e = choose(lanes_from_zero() < (vi)(int)(n - i), e, (vf)0);
    store(logits + i, e);
    total += e;
  }
  partition->sum += sum(total);
  return fade;
}

static void blend(long n, float *y, float a, const float *x, float b) {
  for (long i = 0; i < n; i += W)
    store(y + i, x ? load(y + i) * a + load(x + i) * b : load(y + i) * a);
}

#include "attention.h"
#include "family.h"

// ---- optimiser

static void adamw(
  const hk_adamw_step *step, long n, float *values, const float *gradient, float *m, float *v
) {
  float rate = step->learning_rate / step->correction1;
  float shrink = 1 - step->learning_rate * step->weight_decay;
  float root = 1 / sqrtf(step->correction2);
  long i = 0;
  for (; i + W <= n; i += W) {
    vf g = load(gradient + i) * step->gradient_scale;
    vf first = step->beta1 * load(m + i) + (1 - step->beta1) * g;
    vf second = step->beta2 * load(v + i) + (1 - step->beta2) * g * g;
    store(m + i, first);
    store(v + i, second);
    vf size = __builtin_elementwise_sqrt(second) * root + step->epsilon;
    store(values + i, load(values + i) * shrink - rate * first / size);
  }
  for (; i < n; i++) {
    float g = gradient[i] * step->gradient_scale;
    m[i] = step->beta1 * m[i] + (1 - step->beta1) * g;
    v[i] = step->beta2 * v[i] + (1 - step->beta2) * g * g;
    values[i] = values[i] * shrink - rate * m[i] / (sqrtf(v[i]) * root + step->epsilon);
  }
}

static double sum_of_squares(const float *x, long n) {
  double lanes[16] = {0};
  long i = 0;
  for (; i + 16 <= n; i += 16)
    for (int q = 0; q < 16; q++) lanes[q] += (double)x[i + q] * x[i + q];
  for (; i < n; i++) lanes[0] += (double)x[i] * x[i];
  double total = 0;
  for (int q = 0; q < 16; q++) total += lanes[q];
  return total;
}

const struct hk_kernels NAME = {
  .multiply = multiply,
  .transpose = transpose,
  .frozen_forward = frozen_forward,
  .frozen_backward = frozen_backward,
  .keep = keep_all,
  .recall = recall_all,
  .keep_tiles = keep_tiles,
  .norm_forward = norm_forward,
  .norm_again = norm_again,
  .norm_backward = norm_backward,
  .rope = rope,
  .swiglu_forward = swiglu_forward,
  .swiglu_backward = swiglu_backward,
  .head_norm_forward = head_norm_forward,
  .head_norm_backward = head_norm_backward,
  .xielu_forward = xielu_forward,
  .xielu_backward = xielu_backward,
  .partition_fold = partition_fold,
  .partition_exponentials = partition_exponentials,
  .blend = blend,
  .attention_forward = attention_forward,
  .attention_backward = attention_backward,
  .attention_step = attention_step,
  .adamw = adamw,
  .sum_of_squares = sum_of_squares,
};
