// Frozen products by dot products of bf16 pairs (AVX512-BF16: Zen 4 and later, Cooper Lake), for
// processors without matrix tiles and half precision: twice the multiplications of float32.
//
// How it stays accurate. Weights are bf16 as they are. Activations are rounded to bf16, to nearest
// even, where they become an operand; sums are float32 throughout. The instruction takes numbers
// below 2^-126 for zeros.
//
// How it stays fast. A weight lies in tiles [32 rows][32 columns] once. What is multiplied is a
// panel of 32 outputs whose words hold two neighbours along the sum: a tile's words transposed on
// the way forward, two of its rows interleaved on the way back. A panel serves some hundred rows.
#include "products_dot.h"

#include "quantised.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define SET "avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,evex512"
#pragma clang attribute push(__attribute__((target(SET))), apply_to = function)

#include "tiles.h"

// rows × 32 sums. Three rows share a pointer, so the addresses are not one long chain; the empty
// assembly keeps the compiler from making them one.
INLINE void block(
  const int rows, long pairs, const uint32_t *a, long a_row, long a_step, const uint32_t *b,
  float *c, long ldc, int add, hk_ahead *ahead
) {
  fetch(ahead, ahead->burst);
  const uint32_t *left[(hk_dot_rows + 2) / 3];
  for (int i = 0; i < (rows + 2) / 3; i++) {
    left[i] = a + 3 * i * a_row;
    __asm__("" : "+r"(left[i]));
  }
  __m512 total[hk_dot_rows][2];
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < 2; v++) total[i][v] = _mm512_setzero_ps();
  for (long q = 0; q < pairs; q++) {
    __m512bh right0 = (__m512bh)_mm512_loadu_si512(b);
    __m512bh right1 = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma unroll
    for (int i = 0; i < rows; i++) {
      __m512bh x = (__m512bh)_mm512_set1_epi32((int)left[i / 3][i % 3 * a_row]);
      total[i][0] = _mm512_dpbf16_ps(total[i][0], x, right0);
      total[i][1] = _mm512_dpbf16_ps(total[i][1], x, right1);
    }
    for (int i = 0; i < (rows + 2) / 3; i++) left[i] += a_step;
    b += 32;
  }
  for (int i = 0; i < rows; i++)
    for (int v = 0; v < 2; v++) {
      float *p = c + i * ldc + v * 16;
      _mm512_storeu_ps(p, add ? _mm512_add_ps(_mm512_loadu_ps(p), total[i][v]) : total[i][v]);
    }
}

typedef void (*block_function)(
  long, const uint32_t *, long, long, const uint32_t *, float *, long, int, hk_ahead *);

#define BLOCK(n)                                                                               \
  __attribute__((noinline)) static void rows##n(                                               \
    long pairs, const uint32_t *a, long a_row, long a_step, const uint32_t *b, float *c,       \
    long ldc, int add, hk_ahead *ahead                                                         \
  ) {                                                                                          \
    block(n, pairs, a, a_row, a_step, b, c, ldc, add, ahead);                                  \
  }
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7)
BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static const block_function blocks[15] = {
  0, rows1, rows2, rows3, rows4, rows5, rows6, rows7, rows8, rows9, rows10, rows11, rows12,
  rows13, rows14,
};

// Few rows alone leave the multipliers waiting for their own sums, so the last two blocks share.
INLINE long rows_of_block(long left) {
  if (left <= hk_dot_rows) return left;
  return left < hk_dot_rows + 6 ? (left + 1) / 2 : hk_dot_rows;
}

void hk_dot_strip(
  long m, long pairs, const uint32_t *a, long a_row, long a_step, const uint32_t *b, float *c,
  long ldc, int add, const hk_ahead *next
) {
  hk_ahead ahead = next ? *next : (hk_ahead){0};
  // Evenly over all blocks of rows.
  long bursts = (m + hk_dot_rows - 1) / hk_dot_rows;
  ahead.burst = bursts ? (ahead.lines + bursts - 1) / bursts : 0;
  ahead.left = ahead.run;
  for (long i = 0, rows; i < m; i += rows) {
    rows = rows_of_block(m - i);
    blocks[rows](pairs, a + i * a_row, a_row, a_step, b, c + i * ldc, ldc, add, &ahead);
  }
}

void hk_dot_turn(const uint16_t *rows, long ld, uint32_t *panel) {
  __m512i r[16];
  for (int half = 0; half < 32; half += 16) {
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(rows + (half + i) * ld);
    transpose16(r);
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(panel + i * 32 + half, r[i]);
  }
}

// What interleaves the numbers of two vectors of 32: columns 0…15, or 16…31.
INLINE __m512i interleaving(int from) {
  uint16_t places[32];
  for (int i = 0; i < 16; i++) {
    places[2 * i] = (uint16_t)(from + i);
    places[2 * i + 1] = (uint16_t)(from + i + 32);
  }
  return _mm512_loadu_si512(places);
}

void hk_dot_pair(const uint16_t *rows, long ld, long count, uint32_t *panel) {
  __m512i low = interleaving(0), high = interleaving(16);
  for (long i = 0; i < count; i += 2, panel += 32) {
    __m512i first = _mm512_loadu_si512(rows + i * ld);
    __m512i second =
      i + 1 < count ? _mm512_loadu_si512(rows + (i + 1) * ld) : _mm512_setzero_si512();
    _mm512_storeu_si512(panel, _mm512_permutex2var_epi16(first, low, second));
    _mm512_storeu_si512(panel + 16, _mm512_permutex2var_epi16(first, high, second));
  }
}

// A part of a weight is followed by its neighbour: the next rows if the call had a part of them,
// else the next columns.
void hk_dot_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch
) {
  uint32_t *panel = (uint32_t *)scratch;
  long chunk = chunk_of(k1 - k0);
  for (long n = n0; n < n1; n += 32)
    for (long k = k0; k < k1; k += chunk) {
      long depth = k1 - k < chunk ? k1 - k : chunk;
      for (long q = 0; q < depth; q += 32) hk_dot_turn(tile(w, n, k + q), 32, panel + q * 16);
      hk_ahead ahead;
      if (k + chunk < k1) ahead = lines_of(w, n, 32, k + chunk, k + 2 * chunk);
      else if (n + 32 < hk_padded(w->rows)) ahead = lines_of(w, n + 32, 32, k0, k0 + chunk);
      else ahead = lines_of(w, 0, 32, k1, k1 + chunk);
      hk_dot_strip(
        m, (depth + 1) / 2, a->words + (k - k0) / 2, a->words_ld, 1, panel, c + n - n0, ldc,
        add || k > k0, &ahead);
    }
}

void hk_dot_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch
) {
  uint32_t *panel = (uint32_t *)scratch;
  long chunk = chunk_of(n1 - n0);
  for (long n = n0; n < n1; n += chunk) {
    long depth = n1 - n < chunk ? n1 - n : chunk;
    for (long k = k0; k < k1; k += 32) {
      hk_dot_pair(tile(w, n, k), 32, depth, panel);
      hk_ahead ahead;
      if (k + 32 >= k1 && n + chunk < n1) ahead = lines_of(w, n + chunk, chunk, k0, k0 + 32);
      else if (k + 32 < hk_padded(w->columns)) ahead = lines_of(w, n, depth, k + 32, k + 64);
      else ahead = lines_of(w, n1, chunk, 0, 32);
      hk_dot_strip(
        m, (depth + 1) / 2, a->words + (n - n0) / 2, a->words_ld, 1, panel, c + k - k0, ldc,
        add || n > n0, &ahead);
    }
  }
}

void hk_dot_prepare(long rows, long depth, const float *a, long lda, uint32_t *words, long ld) {
  for (long r = 0; r < rows; r++, a += lda, words += ld)
    for (long i = 0; i < 2 * ld; i += 32) {
      __m512 half[2];
      for (int v = 0; v < 2; v++) {
        long left = depth - i - 16 * v;
        __mmask16 lanes = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
        half[v] = _mm512_maskz_loadu_ps(lanes, a + i + 16 * v);
      }
      _mm512_storeu_si512(words + i / 2, (__m512i)_mm512_cvtne2ps_pbh(half[1], half[0]));
    }
}

// 16 numbers of a block from 16 bytes or halves of bytes.
INLINE __m512 numbers(__m128i q, int is_signed, __m512 scale, __m512 least) {
  __m512i whole = is_signed ? _mm512_cvtepi8_epi32(q) : _mm512_cvtepu8_epi32(q);
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, least);
}

INLINE __m512 half_at(const uint8_t *bytes) {
  uint16_t bits;
  memcpy(&bits, bytes, sizeof bits);
  return _mm512_cvtph_ps(_mm256_set1_epi16((short)bits));
}

void hk_dot_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, uint16_t *out
) {
  long tall = hk_padded(w->rows), count = hk_padded(rows), bytes = (long)hk_block_bytes(w->type);
  __m128i low = _mm_set1_epi8(15);
  for (long c = column; c < column + columns; c += 32) {
    const uint8_t *block = (const uint8_t *)w->tiles + (c / 32 * tall + row) * bytes;
    for (long r = 0; r < count; r++, block += bytes, out += 32) {
      __m512 scale = half_at(block), first, second;
      if (w->type == hk_q8) {
        const __m128i *q = (const __m128i *)(block + 2);
        first = numbers(_mm_loadu_si128(q), 1, scale, _mm512_setzero_ps());
        second = numbers(_mm_loadu_si128(q + 1), 1, scale, _mm512_setzero_ps());
      } else {
        __m512 least = half_at(block + 2);
        __m128i q = _mm_loadu_si128((const __m128i *)(block + 4));
        first = numbers(_mm_and_si128(q, low), 0, scale, least);
        second = numbers(_mm_and_si128(_mm_srli_epi16(q, 4), low), 0, scale, least);
      }
      _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
  }
}

#pragma clang attribute pop

int hk_dot_available(void) { return __builtin_cpu_supports("avx512bf16"); }
#else
int hk_dot_available(void) { return 0; }
#endif
