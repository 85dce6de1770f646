// Frozen products by half-precision multiply-add, for processors with AVX512-FP16: twice the lanes
// of float32, and what makes the bf16 compute type fast where there is no AMX.
//
// How it stays accurate. bf16 weights fit into half precision exactly (but for magnitudes below
// 2^-14, which lose at most 2^-25). Activations are scaled row by row, by a power of two that
// brings the row's largest magnitude to 4…8, and rounded to 11 bits where bf16 has 8. Sums run in
// half precision over chains of at most 96 products, which cannot overflow (8 · 64 · 96 < 65,504),
// and from there on in float32. Measured on normally distributed numbers (depth 1,536) the error
// is 1.45e-3 of the result's size; rounding an input to bf16 alone costs 1.63e-3.
//
// How it stays fast. A weight comes from far away and is used for some hundred rows only, so while
// one strip of it is multiplied the next one is fetched: without that the products wait for a fifth
// of their time.
#include "products_f16.h"

#include "quantised.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define SET "avx512fp16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,evex512"
#pragma clang attribute push(__attribute__((target(SET))), apply_to = function)

enum { chain_of_weights = 96 };

#include "tiles.h"

// rows × (32 · vectors) sums. Three rows share a pointer, so the addresses are not one long chain;
// the empty assembly keeps the compiler from making them one.
INLINE void block(
  const int rows, const int vectors, long k, long chain, const uint32_t *a, long a_row,
  long a_step, const _Float16 *b0, const _Float16 *b1, long ldb, const float *restore, float *c,
  long ldc, int add, hk_ahead *ahead
) {
  _Float16 turned[hk_f16_rows * 64] __attribute__((aligned(64)));
  const uint32_t *left[(hk_f16_rows + 2) / 3];
  for (int i = 0; i < (rows + 2) / 3; i++) {
    left[i] = a + 3 * i * a_row;
    __asm__("" : "+r"(left[i]));
  }
  long links = (k + chain - 1) / chain;
  for (long link = 0; link < links; link++) {
    long length = (link + 1) * k / links - link * k / links;
    fetch(ahead, ahead->burst);
    __m512h total[hk_f16_rows][2];
    for (int i = 0; i < rows; i++)
      for (int v = 0; v < vectors; v++) total[i][v] = _mm512_setzero_ph();
    for (long q = 0; q < length; q++) {
      __m512h right0 = _mm512_loadu_ph(b0), right1;
      if (vectors == 2) right1 = _mm512_loadu_ph(b1);
#pragma unroll
      for (int i = 0; i < rows; i++) {
        __m512h x = (__m512h)_mm512_set1_epi32((int)left[i / 3][i % 3 * a_row]);
        total[i][0] = _mm512_fmadd_ph(x, right0, total[i][0]);
        if (vectors == 2) total[i][1] = _mm512_fmadd_ph(x, right1, total[i][1]);
      }
      for (int i = 0; i < (rows + 2) / 3; i++) left[i] += a_step;
      b0 += ldb;
      b1 += ldb;
    }
    // Through memory: converting from there needs no shuffles.
#pragma unroll
    for (int i = 0; i < rows; i++)
      for (int v = 0; v < vectors; v++) _mm512_store_ph(turned + i * 64 + v * 32, total[i][v]);
    int adding = add || link > 0;
    for (int i = 0; i < rows; i++) {
      __m512 scale = _mm512_set1_ps(restore[i]);
      for (int v = 0; v < 2 * vectors; v++) {
        __m512 sum = _mm512_cvtxph_ps(_mm256_load_ph(turned + i * 64 + v * 16));
        float *p = c + i * ldc + v * 16;
        sum = adding ? _mm512_fmadd_ps(sum, scale, _mm512_loadu_ps(p)) : _mm512_mul_ps(sum, scale);
        _mm512_storeu_ps(p, sum);
      }
    }
  }
}

typedef void (*block_function)(
  long, long, const uint32_t *, long, long, const _Float16 *, const _Float16 *, long,
  const float *, float *, long, int, hk_ahead *);

#define BLOCK(n)                                                                               \
  __attribute__((noinline)) static void wide##n(                                               \
    long k, long chain, const uint32_t *a, long a_row, long a_step, const _Float16 *b0,        \
    const _Float16 *b1, long ldb, const float *restore, float *c, long ldc, int add,           \
    hk_ahead *ahead                                                                        \
  ) {                                                                                          \
    block(n, 2, k, chain, a, a_row, a_step, b0, b1, ldb, restore, c, ldc, add, ahead);         \
  }                                                                                            \
  __attribute__((noinline)) static void narrow##n(                                             \
    long k, long chain, const uint32_t *a, long a_row, long a_step, const _Float16 *b0,        \
    const _Float16 *b1, long ldb, const float *restore, float *c, long ldc, int add,           \
    hk_ahead *ahead                                                                        \
  ) {                                                                                          \
    block(n, 1, k, chain, a, a_row, a_step, b0, b1, ldb, restore, c, ldc, add, ahead);         \
  }
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7)
BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static const block_function blocks[2][15] = {
  {0, narrow1, narrow2, narrow3, narrow4, narrow5, narrow6, narrow7, narrow8, narrow9, narrow10,
   narrow11, narrow12, narrow13, narrow14},
  {0, wide1, wide2, wide3, wide4, wide5, wide6, wide7, wide8, wide9, wide10, wide11, wide12,
   wide13, wide14},
};

// Few rows alone leave the multipliers waiting for their own sums, so the last two blocks share.
INLINE long rows_of_block(long left) {
  if (left <= hk_f16_rows) return left;
  return left < hk_f16_rows + 6 ? (left + 1) / 2 : hk_f16_rows;
}

void hk_f16_strip(
  int two, long m, long k, long chain, const uint32_t *a, long a_row, long a_step,
  const _Float16 *b0, const _Float16 *b1, long ldb, const float *restore, float *c, long ldc,
  int add, const hk_ahead *next
) {
  hk_ahead ahead = next ? *next : (hk_ahead){0};
  // Evenly over all chains of all blocks of rows.
  long bursts = ((m + hk_f16_rows - 1) / hk_f16_rows) * ((k + chain - 1) / chain);
  ahead.burst = bursts ? (ahead.lines + bursts - 1) / bursts : 0;
  ahead.left = ahead.run;
  for (long i = 0, rows; i < m; i += rows) {
    rows = rows_of_block(m - i);
    blocks[two][rows](
      k, chain, a + i * a_row, a_row, a_step, b0, b1, ldb, restore + i, c + i * ldc, ldc, add,
      &ahead);
  }
}

INLINE void strip(
  int two, long m, long k, const hk_operand *a, long column, const _Float16 *b0,
  const _Float16 *b1, long ldb, float *c, long ldc, int add, const hk_ahead *ahead
) {
  hk_f16_strip(
    two, m, k, chain_of_weights, a->words + column, a->words_ld, 1, b0, b1, ldb, a->restore, c,
    ldc, add, ahead);
}

// panel[k][64], columns 0…31 of it, from a tile [32 rows][32 k], rows `ld` apart. A word holds two
// neighbours in k; even and odd rows are transposed apart and then meet again in one word, in their
// order.
void hk_f16_turn_tile(const _Float16 *tile, long ld, _Float16 *panel) {
  __m512i even[16], odd[16];
  for (int i = 0; i < 16; i++) {
    even[i] = _mm512_loadu_si512(tile + (2 * i) * ld);
    odd[i] = _mm512_loadu_si512(tile + (2 * i + 1) * ld);
  }
  transpose16(even);
  transpose16(odd);
  const __mmask32 upper = 0xaaaaaaaa;
  for (int i = 0; i < 16; i++) {
    __m512i first = _mm512_mask_mov_epi16(even[i], upper, _mm512_slli_epi32(odd[i], 16));
    __m512i second = _mm512_mask_mov_epi16(_mm512_srli_epi32(even[i], 16), upper, odd[i]);
    _mm512_storeu_si512(panel + (2 * i) * 64, first);
    _mm512_storeu_si512(panel + (2 * i + 1) * 64, second);
  }
}

// A part of a weight is followed by its neighbour: the next rows if the call had a part of them,
// else the next columns.
void hk_f16_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch
) {
  _Float16 *panel = (_Float16 *)scratch;
  long chunk = chunk_of(k1 - k0);
  for (long n = n0; n < n1; n += 64) {
    int two = n1 - n > 32;
    for (long k = k0; k < k1; k += chunk) {
      long depth = k1 - k < chunk ? k1 - k : chunk;
      for (long q = 0; q < depth; q += 32) {
        hk_f16_turn_tile(tile(w, n, k + q), 32, panel + q * 64);
        if (two) hk_f16_turn_tile(tile(w, n + 32, k + q), 32, panel + q * 64 + 32);
      }
      hk_ahead ahead;
      if (k + chunk < k1) ahead = lines_of(w, n, 64, k + chunk, k + 2 * chunk);
      else if (n + 64 < hk_padded(w->rows)) ahead = lines_of(w, n + 64, 64, k0, k0 + chunk);
      else ahead = lines_of(w, 0, 64, k1, k1 + chunk);
      strip(
        two, m, depth, a, k - k0, panel, panel + 32, 64, c + n - n0, ldc, add || k > k0, &ahead);
    }
  }
}

void hk_f16_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add
) {
  long chunk = chunk_of(n1 - n0);
  for (long n = n0; n < n1; n += chunk) {
    long depth = n1 - n < chunk ? n1 - n : chunk;
    for (long k = k0; k < k1; k += 64) {
      int two = k1 - k > 32;
      const _Float16 *b0 = tile(w, n, k), *b1 = two ? tile(w, n, k + 32) : b0;
      hk_ahead ahead;
      if (k + 64 >= k1 && n + chunk < n1) ahead = lines_of(w, n + chunk, chunk, k0, k0 + 64);
      else if (k + 64 < hk_padded(w->columns)) ahead = lines_of(w, n, depth, k + 64, k + 128);
      else ahead = lines_of(w, n1, chunk, 0, 64);
      strip(two, m, depth, a, n - n0, b0, b1, 32, c + k - k0, ldc, add || n > n0, &ahead);
    }
  }
}

void hk_f16_prepare(
  long rows, long depth, const float *a, long lda, uint32_t *words, long ld, float *restore
) {
  for (long r = 0; r < rows; r++, a += lda, words += ld) {
    __m512 top = _mm512_setzero_ps();
    long i = 0;
    for (; i + 16 <= depth; i += 16)
      top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_loadu_ps(a + i)));
    __mmask16 rest = (__mmask16)((1u << (depth - i)) - 1);
    if (rest) top = _mm512_max_ps(top, _mm512_abs_ps(_mm512_maskz_loadu_ps(rest, a + i)));
    float largest = _mm512_reduce_max_ps(top);
    // 2^(2 − exponent) by the exponent's bits; rows of zeros, and beyond 2^±120, stay as they are.
    uint32_t bits;
    memcpy(&bits, &largest, sizeof bits);
    int exponent = (int)(bits >> 23) - 127;
    int shift = exponent > -120 && exponent < 120 ? 2 - exponent : 0;
    uint32_t up = (uint32_t)(127 + shift) << 23, down = (uint32_t)(127 - shift) << 23;
    float scale;
    memcpy(&scale, &up, sizeof scale);
    memcpy(restore + r, &down, sizeof down);
    __m512 factor = _mm512_set1_ps(scale);
    for (i = 0; i < depth; i += 16) {
      __mmask16 lanes = depth - i >= 16 ? 0xffff : (__mmask16)((1u << (depth - i)) - 1);
      __m512 x = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, a + i), factor);
      __m512i half = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtxps_ph(x));
      _mm512_storeu_si512(words + i, _mm512_or_si512(half, _mm512_slli_epi32(half, 16)));
    }
  }
}

void hk_f16_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, _Float16 *out
) {
  long tall = hk_padded(w->rows), count = hk_padded(rows), bytes = (long)hk_block_bytes(w->type);
  for (long c = column; c < column + columns; c += 32) {
    const uint8_t *block = (const uint8_t *)w->tiles + (c / 32 * tall + row) * bytes;
    for (long r = 0; r < count; r++, block += bytes, out += 32) {
      uint16_t bits;
      memcpy(&bits, block, sizeof bits);
      __m512h scale = (__m512h)_mm512_set1_epi16((short)bits), numbers;
      if (w->type == hk_q8) {
        __m256i q = _mm256_loadu_si256((const __m256i *)(block + 2));
        numbers = _mm512_mul_ph(scale, _mm512_cvtepi16_ph(_mm512_cvtepi8_epi16(q)));
      } else {
        memcpy(&bits, block + 2, sizeof bits);
        __m512h least = (__m512h)_mm512_set1_epi16((short)bits);
        __m128i q = _mm_loadu_si128((const __m128i *)(block + 4)), low = _mm_set1_epi8(15);
        __m256i both = _mm256_set_m128i(
          _mm_and_si128(_mm_srli_epi16(q, 4), low), _mm_and_si128(q, low));
        numbers =
          _mm512_fmadd_ph(scale, _mm512_cvtepi16_ph(_mm512_cvtepu8_epi16(both)), least);
      }
      _mm512_storeu_ph(out, numbers);
    }
  }
}

void hk_f16_from_floats(_Float16 *out, const float *x, long n) {
  for (long i = 0; i < n; i++) out[i] = (_Float16)x[i];
}

void hk_f16_to_floats(float *out, const _Float16 *x, long n) {
  for (long i = 0; i < n; i++) out[i] = (float)x[i];
}

#pragma clang attribute pop

int hk_f16_available(void) { return __builtin_cpu_supports("avx512fp16"); }
#else
int hk_f16_available(void) { return 0; }
#endif
