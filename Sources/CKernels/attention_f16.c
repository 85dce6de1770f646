// Causal attention over bf16 rows by half-precision multiply-add; the mathematics is that of
// attention.h, and blocks of 14 queries skip the keys that none of them sees.
//
// How it stays accurate. Each head's keys and values, each block's queries and gradients, are
// scaled by a power of two that brings the largest magnitude to 8…16, which loses nothing of bf16's
// 8 bits but for numbers 2^-18 times smaller than the largest. Scores, whose error the exponential
// would magnify, are float32 products, and so is softmax. Probabilities are rounded to 11 bits
// where bf16 has 8. The other sums run in half precision over at most 64 products, which cannot
// overflow (16 · 16 · 64 < 65,504), and from there on in float32.
#include "dispatch.h"
#include "products_f16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define SET "avx512fp16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,evex512"
#pragma clang attribute push(__attribute__((target(SET))), apply_to = function)

#define W 16
#include "vectors.h"

// Queries of a block: eight times the rows that stay in registers.
enum { block_rows = 8 * hk_f16_rows, chain = 64 };

typedef _Float16 half;

// Where everything of a task lies.
struct room {
  long length, ld, tall;
  half *keys, *values, *turned_values, *queries, *douts;
  uint32_t *dout_words;
  float *turned_keys, *plain_queries, *dkeys, *dvalues, *outs, *scores, *dscores;
};

static long tall_of(long length) { return (length + 63) & ~63L; }

long hk_f16_attention_floats(long length, long dimension) {
  long tall = tall_of(length), ld = hk_padded(dimension);
  return 5 * tall * ld + block_rows * (4 * ld + 2 * tall);
}

static struct room furnish(const hk_attention *at, float *scratch) {
  struct room room = {
    .length = at->length, .ld = hk_padded(at->dimension), .tall = tall_of(at->length)};
  long head = room.tall * room.ld, block = block_rows * room.ld;
  room.dkeys = scratch;
  room.dvalues = room.dkeys + head;
  room.turned_keys = room.dvalues + head;
  room.keys = (half *)(room.turned_keys + head);
  room.values = room.keys + head;
  room.turned_values = room.values + head;
  room.plain_queries = (float *)(room.turned_values + head);
  room.dout_words = (uint32_t *)(room.plain_queries + block);
  room.outs = (float *)(room.dout_words + block);
  room.queries = (half *)(room.outs + block);
  room.douts = room.queries + block;
  room.scores = (float *)(room.douts + block);
  room.dscores = room.scores + block_rows * room.tall;
  return room;
}

// The power of two that brings `largest` to 8…16; zeros, and beyond 2^±120, stay as they are.
static float scale_of(float largest) {
  uint32_t bits;
  memcpy(&bits, &largest, sizeof bits);
  int exponent = (int)(bits >> 23 & 0xff) - 127;
  int shift = exponent > -120 && exponent < 120 ? 3 - exponent : 0;
  return ldexpf(1, shift);
}

INLINE __mmask16 lanes_of(long left) {
  return left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1u << left) - 1);
}

// 16 numbers of a row, from bf16 or floats; zeros past the mask.
INLINE __m512 numbers(const void *x, long i, int bf16, __mmask16 lanes) {
  if (!bf16) return _mm512_maskz_loadu_ps(lanes, (const float *)x + i);
  __m256i bits = _mm256_maskz_loadu_epi16(lanes, (const uint16_t *)x + i);
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
}

INLINE __m512i words_of(__m256i halves) {
  __m512i low = _mm512_cvtepu16_epi32(halves);
  return _mm512_or_si512(low, _mm512_slli_epi32(low, 16));
}

// Rows of one head, scaled together, to halves [rows][ld] and, if wanted, to words. Returns what
// takes the scale back.
INLINE float gather(
  const void *x, int bf16, long rows, long ldx, long dimension, half *out, uint32_t *words
) {
  long ld = hk_padded(dimension);
  __m512 top = _mm512_setzero_ps();
  for (long r = 0; r < rows; r++)
    for (long i = 0; i < dimension; i += 16) {
      __m512 v = numbers(x, r * ldx + i, bf16, lanes_of(dimension - i));
      top = _mm512_max_ps(top, _mm512_abs_ps(v));
    }
  float scale = scale_of(_mm512_reduce_max_ps(top));
  for (long r = 0; r < rows; r++)
    for (long i = 0; i < ld; i += 16) {
      __m512 v = numbers(x, r * ldx + i, bf16, lanes_of(dimension - i));
      __m256i halves = (__m256i)_mm512_cvtxps_ph(_mm512_mul_ps(v, _mm512_set1_ps(scale)));
      _mm256_storeu_si256((__m256i *)(out + r * ld + i), halves);
      if (words) _mm512_storeu_si512(words + r * ld + i, words_of(halves));
    }
  return 1 / scale;
}

// Rows of one head as floats [rows][ld], times scale.
static void gather_plain(
  const uint16_t *x, long rows, long ldx, long dimension, float scale, float *out
) {
  long ld = hk_padded(dimension);
  for (long r = 0; r < rows; r++)
    for (long i = 0; i < ld; i += 16) {
      __m512 v = numbers(x, r * ldx + i, 1, lanes_of(dimension - i));
      _mm512_storeu_ps(out + r * ld + i, _mm512_mul_ps(v, _mm512_set1_ps(scale)));
    }
}

// The panels [ld][64] of 64 rows each.
static void turn(const struct room *room, const half *x, half *turned) {
  for (long row = 0; row < room->tall; row += 32)
    for (long d = 0; d < room->ld; d += 32)
      hk_f16_turn_tile(
        x + row * room->ld + d, room->ld,
        turned + row / 64 * 64 * room->ld + d * 64 + row % 64);
}

static void fill(float *out, float value, long n) {
  for (long i = 0; i < n; i++) out[i] = value;
}

static long smallest(long a, long b) { return a < b ? a : b; }

// The keys as floats [ld][tall]; the gradients' room serves on the way.
static void turn_keys(const struct room *room, const uint16_t *keys, long ldk, long dimension) {
  gather_plain(keys, room->length, ldk, dimension, 1, room->dkeys);
  memset(
    room->dkeys + room->length * room->ld, 0,
    sizeof(float) * (size_t)((room->tall - room->length) * room->ld));
  hk_kernels_avx512.transpose(
    room->tall, room->ld, room->dkeys, room->ld, room->turned_keys, room->tall);
}

// scores[rows][tall] = queries · keysᵀ in float32, 14 rows at a time over the keys before their
// last; the first row is at position `first`.
static void score(const struct room *room, long first, long rows, long dimension) {
  for (long r = 0; r < rows; r += hk_f16_rows) {
    long count = smallest(rows - r, hk_f16_rows), columns = (first + r + count + 15) & ~15L;
    hk_kernels_avx512.multiply(
      count, columns, dimension, room->plain_queries + r * room->ld, room->ld, 1,
      room->turned_keys, room->tall, room->scores + r * room->tall, room->tall, 0);
  }
}

// dscores[rows][tall] = factor · douts · valuesᵀ over the same.
static void score_gradient(
  const struct room *room, long first, long rows, long dimension, float factor
) {
  float factors[hk_f16_rows];
  fill(factors, factor, hk_f16_rows);
  for (long r = 0; r < rows; r += hk_f16_rows) {
    long count = smallest(rows - r, hk_f16_rows), seen = first + r + count;
    for (long j = 0; j < seen; j += 64) {
      const half *panel = room->turned_values + j * room->ld;
      hk_f16_strip(
        seen - j > 32, count, dimension, chain, room->dout_words + r * room->ld, room->ld, 1,
        panel, panel + 32, 64, factors, room->dscores + r * room->tall + j, room->tall, 0,
        0);
    }
  }
}

// out[rows][ld] = restore · words · x with words [rows][tall] over the keys before a row's block's
// last.
static void mix(
  const struct room *room, long first, long rows, const uint32_t *words, const half *x,
  const float *restore, float *out
) {
  for (long r = 0; r < rows; r += hk_f16_rows) {
    long count = smallest(rows - r, hk_f16_rows);
    for (long d = 0; d < room->ld; d += 64)
      hk_f16_strip(
        room->ld - d > 32, count, first + r + count, chain, words + r * room->tall, room->tall, 1,
        x + d, x + d + 32, room->ld, restore + r, out + r * room->ld + d, room->ld, 0, 0);
  }
}

// out[keys][ld] += factor · wordsᵀ · x, 14 keys at a time over the queries that see the first.
static void spread(
  const struct room *room, long first, long rows, const uint32_t *words, const half *x,
  float factor, float *out
) {
  float factors[hk_f16_rows];
  fill(factors, factor, hk_f16_rows);
  for (long j = 0; j < first + rows; j += hk_f16_rows) {
    long count = smallest(first + rows - j, hk_f16_rows), q = j > first ? j - first : 0;
    for (long d = 0; d < room->ld; d += 64)
      hk_f16_strip(
        room->ld - d > 32, count, rows - q, chain, words + q * room->tall + j, 1, room->tall,
        x + q * room->ld + d, x + q * room->ld + d + 32, room->ld, factors,
        out + j * room->ld + d, room->ld, 1, 0);
  }
}

// Where a row of a block ends that its whole group of 14 may be read to.
INLINE long end_of(long first, long r, long rows) {
  long group = r / hk_f16_rows * hk_f16_rows;
  return (first + smallest(group + hk_f16_rows, rows) + 15) & ~15L;
}

// Probabilities are at most one: as halves, eight times as much.
INLINE void keep_word(uint32_t *words, __m512 x) {
  _mm512_storeu_si512(words, words_of((__m256i)_mm512_cvtxps_ph(x)));
}

// Scores become words of 8 · exp(score − largest), zero past the query's position.
static void soften(
  const struct room *room, long first, long rows, float back, float *lse, float *restore
) {
  vi lanes = lanes_from_zero();
  for (long r = 0; r < rows; r++) {
    float *row = room->scores + r * room->tall;
    long seen = first + r + 1;
    vf top = -INFINITY;
    for (long i = 0; i < seen; i += W)
      top = larger(
        top, seen - i >= W ? load(row + i)
                           : choose(lanes < (vi)(int)(seen - i), load(row + i), (vf)-INFINITY));
    float highest = maximum(top);
    vf total = 0;
    for (long i = 0; i < end_of(first, r, rows); i += W) {
      vf e = exponential(load(row + i) - highest);
      if (seen - i < W) e = choose(lanes < (vi)(int)(seen - i), e, (vf)0);
      total += e;
      keep_word((uint32_t *)row + i, (__m512)(e * 8));
    }
    float whole = sum(total);
    lse[r] = highest + logf(whole);
    restore[r] = back / (8 * whole);
  }
}

void hk_f16_attention_forward(const hk_attention *at, long task, float *scratch) {
  struct room room = furnish(at, scratch);
  long dimension = at->dimension, head = task % at->heads, first = task / at->heads * at->length;
  long shared = first * at->ldk + head / (at->heads / at->kv_heads) * dimension;
  float restore[block_rows];
  turn_keys(&room, (const uint16_t *)at->k + shared, at->ldk, dimension);
  float values = gather(
    (const uint16_t *)at->v + shared, 1, room.length, at->ldk, dimension, room.values, NULL);
  for (long i = 0; i < room.length; i += block_rows) {
    long rows = smallest(room.length - i, block_rows);
    long at_row = (first + i) * at->ldq + head * dimension;
    gather_plain(
      (const uint16_t *)at->q + at_row, rows, at->ldq, dimension, 1 / sqrtf((float)dimension),
      room.plain_queries);
    score(&room, i, rows, dimension);
    soften(&room, i, rows, values, at->lse + task * at->length + i, restore);
    mix(&room, i, rows, (const uint32_t *)room.scores, room.values, restore, room.outs);
    for (long r = 0; r < rows; r++)
      for (long d = 0; d < dimension; d += 16) {
        uint16_t kept[16];
        to_bf16(kept, load(room.outs + r * room.ld + d));
        memcpy(
          (uint16_t *)at->out + at_row + r * at->ldq + d, kept,
          sizeof(uint16_t) * (size_t)smallest(dimension - d, 16));
      }
  }
}

// Σ out ⊙ dout of a row of a head.
static float dot(const uint16_t *out, const float *dout, long dimension) {
  __m512 along = _mm512_setzero_ps();
  for (long d = 0; d < dimension; d += 16) {
    __mmask16 lanes = lanes_of(dimension - d);
    along = _mm512_fmadd_ps(numbers(out, d, 1, lanes), numbers(dout, d, 0, lanes), along);
  }
  return sum((vf)along);
}

// Scores become words of 8 · P, dscores those of dS scaled together. Returns what takes that scale
// back.
static float differentiate(
  const struct room *room, long first, long rows, float scale, const float *lse,
  const float *dots
) {
  vi lanes = lanes_from_zero();
  __m512 top = _mm512_setzero_ps();
  for (long r = 0; r < rows; r++) {
    float *row = room->scores + r * room->tall, *drow = room->dscores + r * room->tall;
    long seen = first + r + 1;
    for (long i = 0; i < end_of(first, r, rows); i += W) {
      vf p = exponential(load(row + i) - lse[r]);
      vf d = p * (load(drow + i) - dots[r]) * scale;
      if (seen - i < W) {
        vi mask = lanes < (vi)(int)(seen - i);
        p = choose(mask, p, (vf)0);
        d = choose(mask, d, (vf)0);
      }
      keep_word((uint32_t *)row + i, (__m512)(p * 8));
      store(drow + i, d);
      top = _mm512_max_ps(top, _mm512_abs_ps((__m512)d));
    }
  }
  float up = scale_of(_mm512_reduce_max_ps(top));
  for (long r = 0; r < rows; r++) {
    float *drow = room->dscores + r * room->tall;
    for (long i = 0; i < end_of(first, r, rows); i += W)
      keep_word((uint32_t *)drow + i, (__m512)(load(drow + i) * up));
  }
  return 1 / up;
}

static void scatter(
  const float *x, long ld, long rows, long dimension, float *out, long ldo
) {
  for (long r = 0; r < rows; r++)
    memcpy(out + r * ldo, x + r * ld, sizeof(float) * (size_t)dimension);
}

void hk_f16_attention_backward(const hk_attention *at, long task, float *scratch) {
  struct room room = furnish(at, scratch);
  long dimension = at->dimension, head = task % at->heads, first = task / at->heads * at->length;
  long shared = first * at->ldk + head / (at->heads / at->kv_heads) * dimension;
  float scale = 1 / sqrtf((float)dimension), dots[block_rows], restore[block_rows];
  float keys = gather(
    (const uint16_t *)at->k + shared, 1, room.length, at->ldk, dimension, room.keys, NULL);
  float values = gather(
    (const uint16_t *)at->v + shared, 1, room.length, at->ldk, dimension, room.values, NULL);
  size_t rest = sizeof(half) * (size_t)((room.tall - room.length) * room.ld);
  memset(room.values + room.length * room.ld, 0, rest);
  turn_keys(&room, (const uint16_t *)at->k + shared, at->ldk, dimension);
  turn(&room, room.values, room.turned_values);
  memset(room.dkeys, 0, sizeof(float) * (size_t)(2 * room.tall * room.ld));
  for (long i = 0; i < room.length; i += block_rows) {
    long rows = smallest(room.length - i, block_rows);
    long at_row = (first + i) * at->ldq + head * dimension;
    const float *dout = at->dout + at_row;
    gather_plain(
      (const uint16_t *)at->q + at_row, rows, at->ldq, dimension, scale, room.plain_queries);
    float queries = gather(
      (const uint16_t *)at->q + at_row, 1, rows, at->ldq, dimension, room.queries, NULL);
    float douts = gather(dout, 0, rows, at->ldq, dimension, room.douts, room.dout_words);
    for (long r = 0; r < rows; r++)
      dots[r] = dot(
        (const uint16_t *)at->out + at_row + r * at->ldq, dout + r * at->ldq, dimension);
    score(&room, i, rows, dimension);
    score_gradient(&room, i, rows, dimension, douts * values);
    float down = differentiate(&room, i, rows, scale, at->lse + task * at->length + i, dots);
    const uint32_t *p = (const uint32_t *)room.scores, *d = (const uint32_t *)room.dscores;
    spread(&room, i, rows, p, room.douts, douts / 8, room.dvalues);
    spread(&room, i, rows, d, room.queries, queries * down, room.dkeys);
    fill(restore, keys * down, rows);
    mix(&room, i, rows, d, room.keys, restore, room.outs);
    scatter(room.outs, room.ld, rows, dimension, at->dq + at_row, at->ldq);
  }
  long origin = first * at->ldq + head * dimension;
  scatter(room.dkeys, room.ld, room.length, dimension, at->dk + origin, at->ldq);
  scatter(room.dvalues, room.ld, room.length, dimension, at->dv + origin, at->ldq);
}

#pragma clang attribute pop
#else
typedef int not_for_this_processor;
#endif
