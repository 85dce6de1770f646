// Causal attention over bf16 rows by dot products of bf16 pairs; the mathematics is that of
// attention.h, and groups of 14 queries skip the keys that none of them sees.
//
// How it stays accurate. Queries, keys and values are bf16 as they are and their products are
// summed in float32, so scores are what float32 products would give. Softmax is float32.
// Probabilities, their gradients and the gradient of the output are rounded to bf16 before they are
// multiplied on; all sums are float32.
#include "dispatch.h"
#include "products_dot.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define SET "avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,evex512"
#pragma clang attribute push(__attribute__((target(SET))), apply_to = function)

#define W 16
#include "vectors.h"

// Queries of a block: eight times the rows that stay in registers, and so an even number.
enum { block_rows = 8 * hk_dot_rows };

// Where everything of a task lies. Panels hold 32 outputs each: see hk_dot_turn and hk_dot_pair.
struct room {
  long length, dimension, ld, tall;
  /// Rows [tall][ld] on their way into panels.
  uint16_t *rows;
  /// Panels for sums over the dimension, and over keys.
  uint32_t *turned_keys, *turned_values, *paired;
  /// A block's queries and gradients [block_rows][ld], and their panels for sums over queries.
  uint16_t *queries, *douts;
  uint32_t *paired_queries, *paired_douts;
  float *dkeys, *dvalues, *outs, *scores, *dscores;
  /// Probabilities or their gradients: rows [block_rows][tall], and pairs of rows [.. / 2][tall].
  uint16_t *weights;
  uint32_t *paired_weights;
};

long hk_dot_attention_floats(long length, long dimension) {
  long tall = hk_padded(length), ld = hk_padded(dimension);
  return 4 * tall * ld + block_rows * 3 * (ld + tall);
}

static struct room furnish(const hk_attention *at, float *scratch) {
  struct room room = {
    .length = at->length, .dimension = at->dimension, .ld = hk_padded(at->dimension),
    .tall = hk_padded(at->length)};
  long head = room.tall * room.ld, block = block_rows * room.ld, square = block_rows * room.tall;
  room.dkeys = scratch;
  room.dvalues = room.dkeys + head;
  room.turned_keys = (uint32_t *)(room.dvalues + head);
  room.turned_values = room.turned_keys + head / 2;
  room.paired = room.turned_values + head / 2;
  room.rows = (uint16_t *)(room.paired + head / 2);
  room.outs = (float *)(room.rows + head);
  room.queries = (uint16_t *)(room.outs + block);
  room.douts = room.queries + block;
  room.paired_queries = (uint32_t *)(room.douts + block);
  room.paired_douts = room.paired_queries + block / 2;
  room.scores = (float *)(room.paired_douts + block / 2);
  room.dscores = room.scores + square;
  room.weights = (uint16_t *)(room.dscores + square);
  room.paired_weights = (uint32_t *)(room.weights + square);
  return room;
}

static long smallest(long a, long b) { return a < b ? a : b; }
static long largest(long a, long b) { return a > b ? a : b; }

// Rows of one head, [tall][ld], zeros around them; `tall` is the rows that are wanted.
static void gather(
  const struct room *room, const uint16_t *x, long rows, long tall, long ldx, uint16_t *out
) {
  size_t bytes = sizeof(uint16_t) * (size_t)room->dimension;
  for (long r = 0; r < rows; r++, x += ldx, out += room->ld) {
    memcpy(out, x, bytes);
    memset(out + room->dimension, 0, sizeof(uint16_t) * (size_t)(room->ld - room->dimension));
  }
  memset(out, 0, sizeof(uint16_t) * (size_t)((tall - rows) * room->ld));
}

// The panels for sums over the dimension: [ld / 2][32] for each 32 rows.
static void turn(const struct room *room, uint32_t *panels) {
  for (long row = 0; row < room->tall; row += 32)
    for (long d = 0; d < room->ld; d += 32)
      hk_dot_turn(
        room->rows + row * room->ld + d, room->ld, panels + row * room->ld / 2 + d / 2 * 32);
}

// The panels for sums over rows: [tall / 2][32] for each 32 columns.
static void pair(const struct room *room, const uint16_t *rows, long tall, uint32_t *panels) {
  for (long d = 0; d < room->ld; d += 32)
    hk_dot_pair(rows + d, room->ld, tall, panels + d * tall / 2);
}

// The first column that any query from a row on sees, in whole panels.
static long first_column(const int32_t *starts) { return starts ? *starts & ~31L : 0; }

// scores[rows][tall] = x · panelsᵀ, 14 rows at a time over the keys from `begin` to their last.
static void score(
  const struct room *room, long first, long rows, long begin, const uint16_t *x,
  const uint32_t *panels, float *scores
) {
  for (long r = 0; r < rows; r += hk_dot_rows) {
    long count = smallest(rows - r, hk_dot_rows), seen = first + r + count;
    for (long j = begin; j < seen; j += 32)
      hk_dot_strip(
        count, room->ld / 2, (const uint32_t *)(x + r * room->ld), room->ld / 2, 1,
        panels + j * room->ld / 2, scores + r * room->tall + j, room->tall, 0, 0);
  }
}

// out[rows][ld] = weights · paired, 14 rows at a time over the keys from `begin` to their last.
static void mix(const struct room *room, long first, long rows, long begin) {
  for (long r = 0; r < rows; r += hk_dot_rows) {
    long count = smallest(rows - r, hk_dot_rows), seen = first + r + count;
    for (long d = 0; d < room->ld; d += 32)
      hk_dot_strip(
        count, (seen - begin + 1) / 2,
        (const uint32_t *)(room->weights + r * room->tall + begin), room->tall / 2, 1,
        room->paired + d * room->tall / 2 + begin / 2 * 32, room->outs + r * room->ld + d,
        room->ld, 0, 0);
  }
}

// out[keys][ld] += weightsᵀ · panels, 14 keys at a time over the queries that may see them.
static void spread(
  const struct room *room, long first, long rows, long begin, const uint32_t *panels, float *out
) {
  long pairs = (rows + 1) / 2;
  for (long j = begin; j < first + rows; j += hk_dot_rows) {
    long count = smallest(first + rows - j, hk_dot_rows), q = largest(j - first, 0) / 2;
    for (long d = 0; d < room->ld; d += 32)
      hk_dot_strip(
        count, pairs - q, room->paired_weights + q * room->tall + j, 1, room->tall,
        panels + d * block_rows / 2 + q * 32, out + j * room->ld + d, room->ld, 1, 0);
  }
}

// Where a row's own group of 14 stops reading it, and where the keys' groups do: those begin
// anywhere, and reach up to 13 keys past the first that a query sees.
INLINE long end_of_group(const struct room *room, long first, long r, long rows) {
  long group = r / hk_dot_rows * hk_dot_rows + hk_dot_rows;
  return smallest((first + smallest(group, rows) + 31) & ~31L, room->tall);
}

INLINE long end_of_row(const struct room *room, long first, long r) {
  return smallest((first + r + 2 * hk_dot_rows + 31) & ~31L, room->tall);
}

INLINE void keep_rounded(uint16_t *out, vf x) {
  _mm256_storeu_si256((__m256i *)out, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}

INLINE void clear(uint16_t *row, long from, long to) {
  if (to > from) memset(row + from, 0, sizeof(uint16_t) * (size_t)(to - from));
}

INLINE vi visible(vi lanes, long i, long from, long seen) {
  return (lanes < (vi)(int)(seen - i)) & (lanes >= (vi)(int)(from - i));
}

// Weights become exp(score − largest), zero for keys that a query does not see; inverse is one over
// their sum.
static void soften(
  const struct room *room, long first, long rows, long begin, const int32_t *starts, float scale,
  float *lse, float *inverse
) {
  vi lanes = lanes_from_zero();
  for (long r = 0; r < rows; r++) {
    const float *row = room->scores + r * room->tall;
    uint16_t *out = room->weights + r * room->tall;
    long seen = first + r + 1, from = starts ? starts[r] : 0;
    long end = end_of_group(room, first, r, rows);
    vf top = -INFINITY;
    for (long i = begin; i < seen; i += W) {
      vf v = load(row + i);
      int whole = i >= from && i + W <= seen;
      top = larger(top, whole ? v : choose(visible(lanes, i, from, seen), v, (vf)-INFINITY));
    }
    float highest = maximum(top);
    vf total = 0;
    long i = begin;
    for (; i < seen; i += W) {
      vf e = exponential((load(row + i) - highest) * scale);
      if (i < from || i + W > seen) e = choose(visible(lanes, i, from, seen), e, (vf)0);
      total += e;
      keep_rounded(out + i, e);
    }
    clear(out, i, end);
    float whole = sum(total);
    lse[r] = highest * scale + logf(whole);
    inverse[r] = 1 / whole;
  }
}

void hk_dot_attention_forward(const hk_attention *at, long task, float *scratch) {
  struct room room = furnish(at, scratch);
  long dimension = at->dimension, head = task % at->heads, first = task / at->heads * at->length;
  long shared = first * at->ldk + head / (at->heads / at->kv_heads) * dimension;
  float inverse[block_rows], scale = 1 / sqrtf((float)dimension);
  gather(&room, (const uint16_t *)at->k + shared, room.length, room.tall, at->ldk, room.rows);
  turn(&room, room.turned_keys);
  gather(&room, (const uint16_t *)at->v + shared, room.length, room.tall, at->ldk, room.rows);
  pair(&room, room.rows, room.tall, room.paired);
  for (long i = 0; i < room.length; i += block_rows) {
    long rows = smallest(room.length - i, block_rows);
    long at_row = (first + i) * at->ldq + head * dimension;
    const int32_t *starts = at->starts ? at->starts + first + i : 0;
    long begin = first_column(starts);
    gather(&room, (const uint16_t *)at->q + at_row, rows, rows, at->ldq, room.queries);
    score(&room, i, rows, begin, room.queries, room.turned_keys, room.scores);
    soften(
      &room, i, rows, begin, starts, scale, at->lse + task * at->length + i, inverse);
    mix(&room, i, rows, begin);
    for (long r = 0; r < rows; r++)
      for (long d = 0; d < dimension; d += W) {
        uint16_t kept[W];
        keep_rounded(kept, load(room.outs + r * room.ld + d) * inverse[r]);
        memcpy(
          (uint16_t *)at->out + at_row + r * at->ldq + d, kept,
          sizeof(uint16_t) * (size_t)smallest(dimension - d, W));
      }
  }
}

// Σ out ⊙ dout of a row of a head.
static float dot(const uint16_t *out, const float *dout, long dimension) {
  vf along = 0;
  long d = 0;
  for (; d + W <= dimension; d += W) along += from_bf16(out + d) * load(dout + d);
  float total = sum(along);
  for (; d < dimension; d++) {
    uint32_t bits = (uint32_t)out[d] << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    total += number * dout[d];
  }
  return total;
}

// Weights become P, and dscores dS, zero for keys that a query does not see.
static void differentiate(
  const struct room *room, long first, long rows, long begin, const int32_t *starts, float scale,
  const float *lse, const float *dots
) {
  vi lanes = lanes_from_zero();
  for (long r = 0; r < rows; r++) {
    const float *row = room->scores + r * room->tall;
    float *drow = room->dscores + r * room->tall;
    uint16_t *out = room->weights + r * room->tall;
    long seen = first + r + 1, from = starts ? starts[r] : 0, i = begin;
    for (; i < seen; i += W) {
      vf p = exponential(load(row + i) * scale - lse[r]);
      vf d = p * (load(drow + i) - dots[r]) * scale;
      if (i < from || i + W > seen) {
        vi mask = visible(lanes, i, from, seen);
        p = choose(mask, p, (vf)0);
        d = choose(mask, d, (vf)0);
      }
      keep_rounded(out + i, p);
      store(drow + i, d);
    }
    clear(out, i, end_of_row(room, first, r));
  }
}

// Weights become the rounded dS.
static void take_gradients(const struct room *room, long first, long rows, long begin) {
  for (long r = 0; r < rows; r++) {
    const float *drow = room->dscores + r * room->tall;
    uint16_t *out = room->weights + r * room->tall;
    for (long i = begin; i < first + r + 1; i += W) keep_rounded(out + i, load(drow + i));
  }
}

// Two rows of weights in one of words: what sums over queries multiply by.
static void pair_weights(const struct room *room, long first, long rows, long begin) {
  static const uint16_t none[32];
  for (long r = 0; r < rows; r += 2) {
    uint16_t *upper = room->weights + r * room->tall;
    long end = end_of_row(room, first, r + 1);
    clear(upper, end_of_row(room, first, r), end);
    const uint16_t *lower = upper + room->tall;
    for (long i = begin; i < end; i += 32) {
      uint16_t both[2][32];
      memcpy(both[0], upper + i, sizeof none);
      memcpy(both[1], r + 1 < rows ? lower + i : none, sizeof none);
      hk_dot_pair(both[0], 32, 2, room->paired_weights + r / 2 * room->tall + i);
    }
  }
}

static void scatter(
  const float *x, long ld, long rows, long dimension, float *out, long ldo
) {
  for (long r = 0; r < rows; r++)
    memcpy(out + r * ldo, x + r * ld, sizeof(float) * (size_t)dimension);
}

void hk_dot_attention_backward(const hk_attention *at, long task, float *scratch) {
  struct room room = furnish(at, scratch);
  long dimension = at->dimension, head = task % at->heads, first = task / at->heads * at->length;
  long shared = first * at->ldk + head / (at->heads / at->kv_heads) * dimension;
  float scale = 1 / sqrtf((float)dimension), dots[block_rows];
  gather(&room, (const uint16_t *)at->v + shared, room.length, room.tall, at->ldk, room.rows);
  turn(&room, room.turned_values);
  gather(&room, (const uint16_t *)at->k + shared, room.length, room.tall, at->ldk, room.rows);
  turn(&room, room.turned_keys);
  pair(&room, room.rows, room.tall, room.paired);
  memset(room.dkeys, 0, sizeof(float) * (size_t)(2 * room.tall * room.ld));
  for (long i = 0; i < room.length; i += block_rows) {
    long rows = smallest(room.length - i, block_rows);
    long at_row = (first + i) * at->ldq + head * dimension;
    const float *dout = at->dout + at_row;
    const int32_t *starts = at->starts ? at->starts + first + i : 0;
    long begin = first_column(starts);
    gather(&room, (const uint16_t *)at->q + at_row, rows, block_rows, at->ldq, room.queries);
    pair(&room, room.queries, block_rows, room.paired_queries);
    hk_dot_prepare(rows, dimension, dout, at->ldq, (uint32_t *)room.douts, room.ld / 2);
    memset(
      room.douts + rows * room.ld, 0, sizeof(uint16_t) * (size_t)((block_rows - rows) * room.ld));
    pair(&room, room.douts, block_rows, room.paired_douts);
    for (long r = 0; r < rows; r++)
      dots[r] = dot(
        (const uint16_t *)at->out + at_row + r * at->ldq, dout + r * at->ldq, dimension);
    score(&room, i, rows, begin, room.queries, room.turned_keys, room.scores);
    score(&room, i, rows, begin, room.douts, room.turned_values, room.dscores);
    differentiate(
      &room, i, rows, begin, starts, scale, at->lse + task * at->length + i, dots);
    pair_weights(&room, i, rows, begin);
    spread(&room, i, rows, begin, room.paired_douts, room.dvalues);
    take_gradients(&room, i, rows, begin);
    pair_weights(&room, i, rows, begin);
    spread(&room, i, rows, begin, room.paired_queries, room.dkeys);
    mix(&room, i, rows, begin);
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
