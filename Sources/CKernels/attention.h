// Causal attention, a part of kernels.h: the scores exist for one block of queries at a time.
//
// Forward:  S = scale · Q·Kᵀ, P = softmax(S) over the keys up to the query, O = P·V.
// Backward: P again from S and the kept log Σ exp; with D = Σ dO ⊙ O of each query,
//           dV = Pᵀ·dO, dP = dO·Vᵀ, dS = scale · P ⊙ (dP − D), dQ = dS·K, dK = dSᵀ·Q
// (Dao, "FlashAttention-2", 2023, section 2). Only the keys that a block of queries can see enter
// its products.

// Queries in a block: four times the 14 rows that stay in registers.
enum { query_block = 56 };

// One head's rows as floats [length][ld], the padding zero; ld is hk_padded(dimension).
INLINE void gather_head(
  const void *kept, int bf16, long first, long length, long ld_kept, long column, long dimension,
  float *out
) {
  long ld = hk_padded(dimension);
  for (long r = 0; r < length; r++) {
    long from = (first + r) * ld_kept + column;
    float *row = out + r * ld;
    long i = 0;
    for (; i + W <= dimension; i += W) store(row + i, recall(kept, from + i, bf16));
    for (; i < dimension; i++) {
      uint32_t bits = bf16 ? (uint32_t)((const uint16_t *)kept)[from + i] << 16 : 0;
      if (bf16) memcpy(row + i, &bits, sizeof bits);
      else row[i] = ((const float *)kept)[from + i];
    }
    for (; i < ld; i++) row[i] = 0;
  }
}

// Rows of scratch are padded to this many, so that a head can be transposed in whole blocks.
INLINE long padded_rows(const hk_attention *at) { return hk_padded(at->length); }

INLINE void zero_rows(float *rows, long from, long to, long ld) {
  memset(rows + from * ld, 0, sizeof(float) * (size_t)((to - from) * ld));
}

// Of the columns from i on, those that a query sees: from `from` up to below `seen`.
INLINE vi visible(vi lanes, long i, long from, long seen) {
  return (lanes < (vi)(int)(seen - i)) & (lanes >= (vi)(int)(from - i));
}

// The first column that any of the queries from row `row` on sees, rounded down to whole vectors.
INLINE long first_column(const int32_t *starts, long row) {
  return starts ? starts[row] & ~15L : 0;
}

// Scores of `rows` queries from position `first` become exponentials (not yet divided by their
// sum); before each query's start and past its position they become zero, from `begin` up to
// `columns`.
INLINE void softmax_rows(
  float *scores, long ld, long rows, long first, long begin, long columns, const int32_t *starts,
  float scale, float *lse, float *inverse
) {
  vi lanes = lanes_from_zero();
  for (long r = 0; r < rows; r++, scores += ld) {
    long seen = first + r + 1, from = starts ? starts[r] : 0;
    vf top = -INFINITY;
    for (long i = begin; i < seen; i += W) {
      vf v = load(scores + i);
      int whole = i >= from && i + W <= seen;
      top = larger(top, whole ? v : choose(visible(lanes, i, from, seen), v, (vf)-INFINITY));
    }
    float highest = maximum(top);
    vf total = 0;
    for (long i = begin; i < columns; i += W) {
      vf e = choose(
        visible(lanes, i, from, seen), exponential((load(scores + i) - highest) * scale), (vf)0);
      total += e;
      store(scores + i, e);
    }
    float whole = sum(total);
    lse[r] = highest * scale + logf(whole);
    inverse[r] = 1 / whole;
  }
}

static void attention_forward(const hk_attention *at, long task, float *scratch) {
  long length = at->length, ld = hk_padded(at->dimension), tall = padded_rows(at);
  long head = task % at->heads, first = task / at->heads * length;
  long column = head * at->dimension;
  long shared = head / (at->heads / at->kv_heads) * at->dimension;
  float scale = 1 / sqrtf((float)at->dimension);
  float *keys = scratch, *values = keys + tall * ld, *turned = values + tall * ld;
  float *queries = turned + tall * ld, *scores = queries + query_block * ld;
  float *outs = scores + query_block * tall, *inverse = outs + query_block * ld;
  gather_head(at->k, at->bf16, first, length, at->ldk, shared, at->dimension, keys);
  zero_rows(keys, length, tall, ld);
  transpose(tall, ld, keys, ld, turned, tall);
  gather_head(at->v, at->bf16, first, length, at->ldk, shared, at->dimension, values);
  for (long i = 0; i < length; i += query_block) {
    long rows = length - i < query_block ? length - i : query_block, seen = i + rows;
    long columns = (seen + 15) & ~15L;
    long begin = first_column(at->starts, first + i);
    gather_head(at->q, at->bf16, first + i, rows, at->ldq, column, at->dimension, queries);
    multiply(
      rows, columns - begin, at->dimension, queries, ld, 1, turned + begin, tall, scores + begin,
      tall, 0);
    softmax_rows(
      scores, tall, rows, i, begin, columns, at->starts ? at->starts + first + i : 0, scale,
      at->lse + task * length + i, inverse);
    multiply(
      rows, ld, seen - begin, scores + begin, tall, 1, values + begin * ld, ld, outs, ld, 0);
    for (long r = 0; r < rows; r++) {
      for (long d = 0; d < ld; d += W)
        store(outs + r * ld + d, load(outs + r * ld + d) * inverse[r]);
      long to = (first + i + r) * at->ldq + column, d = 0;
      for (; d + W <= at->dimension; d += W)
        keep(at->out, to + d, load(outs + r * ld + d), at->bf16);
      if (d < at->dimension) {
        uint16_t half[W];
        if (at->bf16) to_bf16(half, load(outs + r * ld + d));
        for (long e = d; e < at->dimension; e++) {
          if (at->bf16) ((uint16_t *)at->out)[to + e] = half[e - d];
          else ((float *)at->out)[to + e] = outs[r * ld + e];
        }
      }
    }
  }
}

// P and dS of a block of queries, from scores and dP, in place.
INLINE void score_gradients(
  const hk_attention *at, long rows, long first, long begin, long columns, const int32_t *starts,
  float scale, const float *lse, const float *dots, float *scores, float *dscores
) {
  vi lanes = lanes_from_zero();
  long ld = padded_rows(at);
  for (long r = 0; r < rows; r++, scores += ld, dscores += ld) {
    long seen = first + r + 1, from = starts ? starts[r] : 0;
    for (long i = begin; i < columns; i += W) {
      vi mask = visible(lanes, i, from, seen);
      vf p = choose(mask, exponential(load(scores + i) * scale - lse[r]), (vf)0);
      store(scores + i, p);
      store(dscores + i, p * (load(dscores + i) - dots[r]) * scale);
    }
  }
}

// The head's columns of a row-major gradient from padded rows.
INLINE void scatter_head(
  const float *x, long ld, long rows, long dimension, float *out, long ldo
) {
  for (long r = 0; r < rows; r++)
    memcpy(out + r * ldo, x + r * ld, sizeof(float) * (size_t)dimension);
}

static void attention_backward(const hk_attention *at, long task, float *scratch) {
  long length = at->length, ld = hk_padded(at->dimension), tall = padded_rows(at);
  long head = task % at->heads, first = task / at->heads * length;
  long column = head * at->dimension;
  long shared = head / (at->heads / at->kv_heads) * at->dimension;
  float scale = 1 / sqrtf((float)at->dimension);
  float *keys = scratch, *turned_keys = keys + tall * ld, *turned_values = turned_keys + tall * ld;
  float *dkeys = turned_values + tall * ld, *dvalues = dkeys + tall * ld;
  float *queries = dvalues + tall * ld, *douts = queries + query_block * ld;
  float *outs = douts + query_block * ld, *scores = outs + query_block * ld;
  float *dscores = scores + query_block * tall, *dots = dscores + query_block * tall;
  gather_head(at->v, at->bf16, first, length, at->ldk, shared, at->dimension, keys);
  zero_rows(keys, length, tall, ld);
  transpose(tall, ld, keys, ld, turned_values, tall);
  gather_head(at->k, at->bf16, first, length, at->ldk, shared, at->dimension, keys);
  transpose(tall, ld, keys, ld, turned_keys, tall);
  zero_rows(dkeys, 0, tall, ld);
  zero_rows(dvalues, 0, tall, ld);
  for (long i = 0; i < length; i += query_block) {
    long rows = length - i < query_block ? length - i : query_block, seen = i + rows;
    long columns = (seen + 15) & ~15L, at_row = (first + i) * at->ldq + column;
    gather_head(at->q, at->bf16, first + i, rows, at->ldq, column, at->dimension, queries);
    gather_head(at->out, at->bf16, first + i, rows, at->ldq, column, at->dimension, outs);
    gather_head(at->dout, 0, first + i, rows, at->ldq, column, at->dimension, douts);
    for (long r = 0; r < rows; r++) {
      vf along = 0;
      for (long d = 0; d < ld; d += W) along += load(outs + r * ld + d) * load(douts + r * ld + d);
      dots[r] = sum(along);
    }
    long begin = first_column(at->starts, first + i), width = columns - begin;
    multiply(
      rows, width, at->dimension, queries, ld, 1, turned_keys + begin, tall, scores + begin, tall,
      0);
    multiply(
      rows, width, at->dimension, douts, ld, 1, turned_values + begin, tall, dscores + begin,
      tall, 0);
    score_gradients(
      at, rows, i, begin, columns, at->starts ? at->starts + first + i : 0, scale,
      at->lse + task * length + i, dots, scores, dscores);
    seen -= begin;
    multiply(seen, ld, rows, scores + begin, 1, tall, douts, ld, dvalues + begin * ld, ld, 1);
    multiply(seen, ld, rows, dscores + begin, 1, tall, queries, ld, dkeys + begin * ld, ld, 1);
    multiply(rows, ld, seen, dscores + begin, tall, 1, keys + begin * ld, ld, outs, ld, 0);
    scatter_head(outs, ld, rows, at->dimension, at->dq + at_row, at->ldq);
  }
  long origin = first * at->ldq + column;
  scatter_head(dkeys, ld, length, at->dimension, at->dk + origin, at->ldq);
  scatter_head(dvalues, ld, length, at->dimension, at->dv + origin, at->ldq);
}

static void attention_step(
  long heads, long kv_heads, long dimension, long count, const float *q, const float *keys,
  const float *values, long ldk, float *out, float *scores
) {
  float scale = 1 / sqrtf((float)dimension);
  for (long h = 0; h < heads; h++) {
    long shared = h / (heads / kv_heads) * dimension;
    const float *query = q + h * dimension;
    float lse, inverse;
    for (long j = 0; j < count; j++) {
      const float *key = keys + j * ldk + shared;
      float lanes[16] = {0};
      long d = 0;
      for (; d + 16 <= dimension; d += 16)
        for (int w = 0; w < 16; w++) lanes[w] += query[d + w] * key[d + w];
      for (; d < dimension; d++) lanes[0] += query[d] * key[d];
      for (int width = 8; width; width /= 2)
        for (int w = 0; w < width; w++) lanes[w] += lanes[w + width];
      scores[j] = lanes[0];
    }
    for (long j = count; j < hk_padded(count); j++) scores[j] = 0;
    softmax_rows(
      scores, 0, 1, count - 1, 0, (count + 15) & ~15L, 0, scale, &lse, &inverse);
    for (long d = 0; d < dimension; d++) out[h * dimension + d] = 0;
    for (long j = 0; j < count; j++) {
      const float *value = values + j * ldk + shared;
      float p = scores[j] * inverse;
      for (long d = 0; d < dimension; d++) out[h * dimension + d] += p * value[d];
    }
  }
}
