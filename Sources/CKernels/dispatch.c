// Which instruction set runs, the public functions in front of its table, and packing.
#include "dispatch.h"
#include "products_amx.h"
#include "products_dot.h"
#include "products_f16.h"
#include "quantised.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t chosen = PTHREAD_ONCE_INIT;
static int everybody;
static _Thread_local int mine = -1;

int hk_isa_best(void) {
#if defined(__x86_64__)
  if (hk_amx_available()) return hk_isa_amx;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return hk_f16_available()   ? hk_isa_avx512_fp16
           : hk_dot_available() ? hk_isa_avx512_bf16
                                : hk_isa_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return hk_isa_avx2;
#endif
  return hk_isa_portable;
}

// In the order of their numbers.
static const char *const names[] = {
  "portable", "avx2", "avx512", "avx512_bf16", "avx512_fp16", "amx"};

const char *hk_isa_name(int isa) {
  return isa >= 0 && isa < (int)(sizeof names / sizeof *names) ? names[isa] : NULL;
}

int hk_isa_named(const char *name) {
  for (int isa = 0; hk_isa_name(isa); isa++)
    if (strcmp(name, names[isa]) == 0) return isa;
  return -1;
}

// A name that is none is refused by the programs before they come here.
static void choose_isa(void) {
  const char *text = getenv("HANSE_MAX_ISA");
  int best = hk_isa_best(), wanted = text ? hk_isa_named(text) : -1;
  everybody = wanted >= 0 && wanted < best ? wanted : best;
}

int hk_isa(void) {
  if (mine >= 0) return mine;
  pthread_once(&chosen, choose_isa);
  return everybody;
}

int hk_isa_use(int isa) {
  int best = hk_isa_best();
  mine = isa > best ? best : isa;
  return hk_isa();
}

static const struct hk_kernels *kernels(void) {
#if defined(__x86_64__)
  switch (hk_isa()) {
    case hk_isa_amx:
    case hk_isa_avx512_fp16:
    case hk_isa_avx512_bf16:
    case hk_isa_avx512: return &hk_kernels_avx512;
    case hk_isa_avx2: return &hk_kernels_avx2;
    default: break;
  }
#endif
  return &hk_kernels_portable;
}

// Whether half-precision products are to be had and hold these numbers.
static int fits_halves(const float *w, long count) {
  if (hk_isa() < hk_isa_avx512_fp16 || !hk_f16_available()) return 0;
  for (long i = 0; i < count; i++)
    if (!(fabsf(w[i]) < 64)) return 0;  // a NaN too
  return 1;
}

// Whether weights are multiplied in pairs of bf16. Where halves are to be had they are not, since
// weights of one layer share an operand.
static int has_pairs(void) { return hk_isa() == hk_isa_avx512_bf16; }

int hk_pack_type(const float *w, long count, int bf16) {
  if (!bf16) return hk_f32;
  if (hk_isa() == hk_isa_amx) return hk_amx;
  if (fits_halves(w, count)) return hk_f16;
  return has_pairs() ? hk_dot : hk_bf16;
}

int hk_work_type(const float *w, long count, int bf16) {
  if (!bf16) return hk_f32;
  if (fits_halves(w, count)) return hk_f16;
  return has_pairs() ? hk_dot : hk_f32;
}

size_t hk_packed_bytes(long rows, long columns, int type) {
  if (type == hk_q8 || type == hk_q4)
    return (size_t)hk_padded(rows) * (size_t)hk_padded(columns) / 32 * hk_block_bytes(type);
  size_t element = type == hk_f32 || type == hk_amx ? 4 : 2;
  return (size_t)hk_padded(rows) * (size_t)hk_padded(columns) * element;
}

void hk_pack(void *tiles, const float *w, long ldw, long rows, long columns, int type) {
  if (type == hk_amx) {
    hk_amx_pack(tiles, w, ldw, rows, columns);
    return;
  }
  if (type == hk_q8 || type == hk_q4) {
    hk_blocks_pack(tiles, w, ldw, rows, columns, type);
    return;
  }
  long tall = hk_padded(rows), wide = hk_padded(columns);
  char *out = tiles;
  for (long column = 0; column < wide; column += 32)
    for (long row = 0; row < tall; row++) {
      float values[32] = {0};
      long width = columns - column < 32 ? columns - column : 32;
      if (row < rows) memcpy(values, w + row * ldw + column, sizeof(float) * (size_t)width);
#if defined(__x86_64__)
      if (type == hk_f16) hk_f16_from_floats((_Float16 *)out, values, 32);
#endif
      if (type != hk_f16) hk_keep(out, values, 32, type == hk_bf16 || type == hk_dot);
      out += type == hk_f32 ? 128 : 64;
    }
}

void hk_unpack_row(const hk_matrix *w, long row, float *out) {
  if (w->type == hk_amx) {
    hk_amx_unpack_row(w, row, out);
    return;
  }
  if (w->type == hk_q8 || w->type == hk_q4) {
    hk_blocks_unpack(w, row, 1, 0, w->columns, out);
    return;
  }
  long tall = hk_padded(w->rows);
  for (long column = 0; column < w->columns; column += 32) {
    const char *from =
      (const char *)w->tiles + (column * tall + row * 32) * (w->type == hk_f32 ? 4 : 2);
#if defined(__x86_64__)
    if (w->type == hk_f16) hk_f16_to_floats(out + column, (const _Float16 *)from, 32);
#endif
    if (w->type != hk_f16)
      hk_recall(out + column, from, 32, w->type == hk_bf16 || w->type == hk_dot);
  }
}

hk_operand hk_prepare(
  int type, long rows, long depth, const float *a, long lda, float *scratch
) {
  hk_meter_enter(hk_meter_operands);
  hk_operand operand = {.values = a, .ld = lda};
  if (type == hk_amx) {
    operand.rounded = (uint16_t *)scratch;
    operand.block_stride = 16 * hk_padded(depth);
    kernels()->keep_tiles(rows, depth, a, lda, (uint16_t *)scratch);
  }
#if defined(__x86_64__)
  if (type == hk_f16) {
    operand.words_ld = hk_padded(depth);
    operand.words = (uint32_t *)scratch;
    operand.restore = scratch + rows * operand.words_ld;
    hk_f16_prepare(
      rows, depth, a, lda, (uint32_t *)scratch, operand.words_ld,
      scratch + rows * operand.words_ld);
  }
  if (type == hk_dot) {
    operand.words_ld = hk_padded(depth) / 2;
    operand.words = (uint32_t *)scratch;
    hk_dot_prepare(rows, depth, a, lda, (uint32_t *)scratch, operand.words_ld);
  }
#endif
  hk_meter_leave(0);
  return operand;
}

void hk_multiply(
  long m, long n, long k, const float *a, long a_row, long a_step, const float *b, long ldb,
  float *c, long ldc, int add
) {
  METERED(
    hk_meter_low_rank, 2.0 * (double)(m * n * k),
    kernels()->multiply(m, n, k, a, a_row, a_step, b, ldb, c, ldc, add));
}

static void blocks_forward(
  const hk_matrix *, long, long, long, long, long, const hk_operand *, float *, long, int, float *);
static void blocks_backward(
  const hk_matrix *, long, long, long, long, long, const hk_operand *, float *, long, int, float *);

static void frozen_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  if (w->type == hk_q8 || w->type == hk_q4) {
    blocks_forward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel);
    return;
  }
  if (w->type == hk_amx) {
    if (hk_amx_available()) hk_amx_forward(w, m, n0, n1, k0, k1, a, c, ldc, add);
    else hk_amx_emulated_forward(w, m, n0, n1, k0, k1, a, c, ldc, add);
    return;
  }
#if defined(__x86_64__)
  if (w->type == hk_f16) {
    hk_f16_forward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel);
    return;
  }
  if (w->type == hk_dot) {
    hk_dot_forward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel);
    return;
  }
#endif
  kernels()->frozen_forward(w, m, n0, n1, k0, k1, a->values, a->ld, c, ldc, add, panel);
}

void hk_frozen_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  METERED(
    w->low_rank ? hk_meter_low_rank : hk_meter_frozen_forward,
    2.0 * (double)(m * (n1 - n0) * (k1 - k0)),
    frozen_forward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel));
}

static void frozen_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  if (w->type == hk_q8 || w->type == hk_q4) {
    blocks_backward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel);
    return;
  }
  if (w->type == hk_amx) {
    if (hk_amx_available()) hk_amx_backward(w, m, n0, n1, k0, k1, a, c, ldc, add);
    else hk_amx_emulated_backward(w, m, n0, n1, k0, k1, a, c, ldc, add);
    return;
  }
#if defined(__x86_64__)
  if (w->type == hk_f16) {
    hk_f16_backward(w, m, n0, n1, k0, k1, a, c, ldc, add);
    return;
  }
  if (w->type == hk_dot) {
    hk_dot_backward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel);
    return;
  }
#endif
  kernels()->frozen_backward(w, m, n0, n1, k0, k1, a->values, a->ld, c, ldc, add, panel);
}

void hk_frozen_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  METERED(
    w->low_rank ? hk_meter_low_rank : hk_meter_frozen_backward,
    2.0 * (double)(m * (n1 - n0) * (k1 - k0)),
    frozen_backward(w, m, n0, n1, k0, k1, a, c, ldc, add, panel));
}

// Products of a weight in blocks: a piece of it at a time is unpacked into the upper part of the
// panel and multiplied from there.

enum { piece_depth = 768, piece_width = 64, piece_start = 768 * 32 };

static hk_matrix unpacked(
  const hk_matrix *w, long row, long rows, long column, long columns, float *panel
) {
  hk_matrix piece = {
    panel + piece_start, rows, columns, w->work, w->work, w->low_rank};
#if defined(__x86_64__)
  if (w->work == hk_f16) {
    hk_f16_blocks_unpack(w, row, rows, column, columns, (_Float16 *)(panel + piece_start));
    return piece;
  }
  if (w->work == hk_dot) {
    hk_dot_blocks_unpack(w, row, rows, column, columns, (uint16_t *)(panel + piece_start));
    return piece;
  }
#endif
  hk_blocks_unpack(w, row, rows, column, columns, panel + piece_start);
  return piece;
}

// The operand from a column on.
static hk_operand from(const hk_operand *a, long column) {
  hk_operand later = *a;
  later.values += column;
  if (later.words) later.words += later.restore ? column : column / 2;
  return later;
}

static long least(long a, long b) { return a < b ? a : b; }

static void blocks_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  for (long n = n0; n < n1; n += piece_width)
    for (long k = k0; k < k1; k += piece_depth) {
      long rows = least(n1 - n, piece_width), columns = least(k1 - k, piece_depth);
      hk_matrix piece = unpacked(w, n, rows, k, columns, panel);
      hk_operand later = from(a, k - k0);
      frozen_forward(
        &piece, m, 0, rows, 0, columns, &later, c + n - n0, ldc, add || k > k0, panel);
    }
}

static void blocks_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel
) {
  for (long n = n0; n < n1; n += piece_depth)
    for (long k = k0; k < k1; k += piece_width) {
      long rows = least(n1 - n, piece_depth), columns = least(k1 - k, piece_width);
      hk_matrix piece = unpacked(w, n, rows, k, columns, panel);
      hk_operand later = from(a, n - n0);
      frozen_backward(
        &piece, m, 0, rows, 0, columns, &later, c + k - k0, ldc, add || n > n0, panel);
    }
}

void hk_keep(void *kept, const float *x, long n, int bf16) {
  METERED(hk_meter_operands, 0, kernels()->keep(kept, x, n, bf16));
}

void hk_recall(float *x, const void *kept, long n, int bf16) {
  METERED(hk_meter_operands, 0, kernels()->recall(x, kept, n, bf16));
}

void hk_turn(
  long rows, long columns, const float *x, long ldx, float *out, long ldo, float scale
) {
  // Blocks of 16 × 16, so that both sides stay in whole cache lines.
  for (long i0 = 0; i0 < rows; i0 += 16)
    for (long j0 = 0; j0 < columns; j0 += 16)
      for (long i = i0; i < i0 + 16 && i < rows; i++)
        for (long j = j0; j < j0 + 16 && j < columns; j++)
          out[j * ldo + i] = scale * x[i * ldx + j];
}

void hk_gather_gradient(
  long rows, long columns, long blocks, long stride, const float *partial, long ld, float scale,
  float *out, long out_row, long out_column
) {
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) {
      float total = 0;
      for (long block = 0; block < blocks; block++) total += partial[block * stride + i * ld + j];
      out[i * out_row + j * out_column] += scale * total;
    }
}

void hk_norm_forward(
  long rows, long width, const float *x, const float *weight, float epsilon, float *y, void *kept,
  int bf16, float *rstd
) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->norm_forward(rows, width, x, weight, epsilon, y, kept, bf16, rstd));
}

void hk_norm_again(
  long rows, long width, const void *kept, int bf16, const float *weight, float *y
) {
  METERED(hk_meter_pointwise, 0, kernels()->norm_again(rows, width, kept, bf16, weight, y));
}

void hk_norm_backward(
  long rows, long width, const float *dy, const float *weight, const void *kept, int bf16,
  const float *rstd, float *dx
) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->norm_backward(rows, width, dy, weight, kept, bf16, rstd, dx));
}

void hk_rope(
  long rows, long first, long length, long heads, long dimension, float *x, long ldx,
  const float *turns, int inverse
) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->rope(rows, first, length, heads, dimension, x, ldx, turns, inverse));
}

void hk_swiglu_forward(long n, const float *gate, const float *up, float *act) {
  METERED(hk_meter_pointwise, 0, kernels()->swiglu_forward(n, gate, up, act));
}

void hk_swiglu_backward(long n, float *gate, float *up, float *dact) {
  METERED(hk_meter_pointwise, 0, kernels()->swiglu_backward(n, gate, up, dact));
}

void hk_head_norm_forward(
  long rows, long heads, long dimension, float *x, long ldx, const float *weight, float epsilon,
  void *kept, int bf16, float *rstd
) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->head_norm_forward(
      rows, heads, dimension, x, ldx, weight, epsilon, kept, bf16, rstd));
}

void hk_head_norm_backward(
  long rows, long heads, long dimension, float *dx, long ldx, const float *weight,
  const void *kept, int bf16, const float *rstd
) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->head_norm_backward(rows, heads, dimension, dx, ldx, weight, kept, bf16, rstd));
}

void hk_xielu_forward(long n, const hk_xielu *curve, const float *up, float *act) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->xielu_forward(n, curve, up, act));
}

void hk_xielu_backward(long n, const hk_xielu *curve, float *up, float *dact) {
  METERED(
    hk_meter_pointwise, 0,
    kernels()->xielu_backward(n, curve, up, dact));
}

void hk_add(long n, float *x, const float *y) {
  for (long i = 0; i < n; i++) x[i] += y[i];
}

void hk_add_row(long rows, long width, const float *row, float *x, long ldx) {
  for (long r = 0; r < rows; r++, x += ldx)
    for (long i = 0; i < width; i++) x[i] += row[i];
}

void hk_sum_groups(
  long rows, long heads, long kv_heads, long dimension, const float *x, long ldx, float *out,
  long ldo
) {
  long group = heads / kv_heads;
  hk_meter_enter(hk_meter_pointwise);
  for (long r = 0; r < rows; r++)
    for (long h = 0; h < kv_heads; h++) {
      const float *from = x + r * ldx + h * group * dimension;
      float *to = out + r * ldo + h * dimension;
      memcpy(to, from, sizeof(float) * (size_t)dimension);
      for (long g = 1; g < group; g++)
        for (long d = 0; d < dimension; d++) to[d] += from[g * dimension + d];
    }
  hk_meter_leave(0);
}

void hk_partition_fold(hk_partition *partition, const float *logits, long n) {
  kernels()->partition_fold(partition, logits, n);
}

double hk_partition_log(const hk_partition *partition) {
  return (double)partition->maximum + log((double)partition->sum);
}

float hk_partition_exponentials(hk_partition *partition, float *logits, long n) {
  return kernels()->partition_exponentials(partition, logits, n);
}

void hk_blend(long n, float *y, float a, const float *x, float b) {
  kernels()->blend(n, y, a, x, b);
}

// Backward needs the most: five heads, two blocks of scores, three of queries, and the dots.
long hk_attention_floats(long length, long dimension) {
  long tall = hk_padded(length), ld = hk_padded(dimension);
  long floats = 5 * tall * ld + 64 * (2 * tall + 3 * ld) + 64;
#if defined(__x86_64__)
  long halves = hk_f16_attention_floats(length, dimension);
  if (halves > floats) floats = halves;
  long pairs = hk_dot_attention_floats(length, dimension);
  if (pairs > floats) floats = pairs;
#endif
  return floats;
}

// Whether attention is by half-precision products, which know of no rows that see less than all.
static int in_halves(const hk_attention *attention) {
  return attention->bf16 && !attention->starts && hk_isa() >= hk_isa_avx512_fp16 &&
    hk_f16_available();
}

// Whether it is by products of bf16 pairs, which are exact where halves are not, and see what they
// are told to.
static int in_pairs(const hk_attention *attention) {
  return attention->bf16 && hk_isa() >= hk_isa_avx512_bf16 && hk_dot_available();
}

// Multiplications and additions of one product over the causal half of a head's scores.
static double triangle(const hk_attention *at) {
  return (double)(at->length * (at->length + 1) * at->dimension);
}

static void attention_forward(const hk_attention *attention, long task, float *scratch) {
#if defined(__x86_64__)
  if (in_halves(attention)) {
    hk_f16_attention_forward(attention, task, scratch);
    return;
  }
  if (in_pairs(attention)) {
    hk_dot_attention_forward(attention, task, scratch);
    return;
  }
#endif
  kernels()->attention_forward(attention, task, scratch);
}

void hk_attention_forward(const hk_attention *attention, long task, float *scratch) {
  METERED(
    hk_meter_attention_forward, 2 * triangle(attention),
    attention_forward(attention, task, scratch));
}

static void attention_backward(const hk_attention *attention, long task, float *scratch) {
#if defined(__x86_64__)
  if (in_halves(attention)) {
    hk_f16_attention_backward(attention, task, scratch);
    return;
  }
  if (in_pairs(attention)) {
    hk_dot_attention_backward(attention, task, scratch);
    return;
  }
#endif
  kernels()->attention_backward(attention, task, scratch);
}

void hk_attention_backward(const hk_attention *attention, long task, float *scratch) {
  METERED(
    hk_meter_attention_backward, 5 * triangle(attention),
    attention_backward(attention, task, scratch));
}

void hk_attention_step(
  long heads, long kv_heads, long dimension, long count, const float *q, const float *keys,
  const float *values, long ldk, float *out, float *scores
) {
  kernels()->attention_step(
    heads, kv_heads, dimension, count, q, keys, values, ldk, out, scores);
}

void hk_adamw(
  const hk_adamw_step *step, long n, float *values, const float *gradient, float *m, float *v
) {
  METERED(hk_meter_optimiser, 0, kernels()->adamw(step, n, values, gradient, m, v));
}

double hk_sum_of_squares(const float *x, long n) { return kernels()->sum_of_squares(x, n); }
