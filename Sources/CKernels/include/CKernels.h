// The float loops that need wide vectors, in plain C with run-time dispatch.
//
// Conventions. Matrices are row-major float32 with a leading dimension `ld…` in elements. "Kept"
// arrays hold float32, or bfloat16 where `bf16` is set. Widths are padded to 32 columns
// (hk_padded) and the padding is zero, always: so no kernel has a ragged edge, and sums over the
// padding add nothing. Sums are float32 in a fixed order: the same inputs give the same bits
// whatever the number of threads. Nothing here allocates, except the pool's threads.
#ifndef HANSE_CKERNELS_H
#define HANSE_CKERNELS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// ---- threads (pool.c)

/// Threads that work on a region: HANSE_THREADS, or the cores this process may use.
int hk_threads(void);

/// Runs body(context, task, worker) for every task in 0..<tasks and returns when all are done.
/// `worker` is in 0..<hk_threads() and no two bodies run with the same one at once. A region inside
/// a region, or while another thread has one open, runs on the calling thread as worker 0 … so a
/// body's scratch must belong to its region, not to the process.
void hk_parallel(
  long tasks, void *_Nullable context,
  void (*body)(void *_Nullable context, long task, int worker));

// ---- where the time goes (meter.c)

/// Parts of the work that time is counted towards, all threads' time added.
enum {
  /// Products with frozen weights, forward and backward, without the vocabulary head's.
  hk_meter_frozen_forward = 0,
  hk_meter_frozen_backward,
  /// Products with the LoRA factors and their gradients.
  hk_meter_low_rank,
  hk_meter_attention_forward,
  hk_meter_attention_backward,
  /// Norms, rotations, gates.
  hk_meter_pointwise,
  /// Rounding of activations, for products and for keeping.
  hk_meter_operands,
  /// The vocabulary head with its products, the loss and its gradient.
  hk_meter_head,
  /// LoRA factors laid out for products, and partial gradients gathered.
  hk_meter_factors,
  hk_meter_optimiser,
  /// Threads without a task, while others in the same region had one.
  hk_meter_waiting,
  hk_meter_parts,
};

/// Sets everything to zero and measures from now on. One measurement at a time.
void hk_meter_start(void);

/// Ends the measurement: for each part the seconds, and the multiplications and additions of
/// products.
void hk_meter_stop(double *seconds, double *operations);

/// Nanoseconds of a clock that never jumps.
unsigned long hk_meter_nanoseconds(void);

/// From here to the leave the thread works on a part, if somebody measures; what is entered within
/// belongs to the outermost.
void hk_meter_enter(int part);
void hk_meter_leave(double operations);

// ---- instruction sets (dispatch.c)

enum {
  hk_isa_portable = 0,
  hk_isa_avx2 = 1,
  hk_isa_avx512 = 2,
  /// With dot products of bf16 pairs.
  hk_isa_avx512_bf16 = 3,
  hk_isa_avx512_fp16 = 4,
  hk_isa_amx = 5,
};

/// The widest set this processor has.
int hk_isa_best(void);

/// A set's name in HANSE_MAX_ISA (portable, avx2, avx512, avx512_bf16, avx512_fp16, amx); NULL for
/// no set.
const char *_Nullable hk_isa_name(int isa);

/// The set of that name; -1 for none.
int hk_isa_named(const char *name);

/// The set in use; hk_isa_best() at first, or what HANSE_MAX_ISA caps it at. A weight stays with
/// the set it was packed for.
int hk_isa(void);

/// Lets the calling thread, and only it, use another set from now on, for tests; no wider than
/// hk_isa_best(); -1 goes back to everybody's. Returns the one in use.
int hk_isa_use(int isa);

// ---- sizes

/// The next multiple of 32.
static inline long hk_padded(long n) { return (n + 31) & ~31L; }

/// Floats of scratch that a frozen product needs.
enum { hk_panel_floats = 768 * 32 + 768 * 64 };

// ---- products (kernels.h)

/// c[m, n] = a·b, or c += a·b. a[i, q] is at a[i * a_row + q * a_step], so a may be transposed; b
/// is [k, n]. Columns of b and c up to the next multiple of 16 are read and written.
void hk_multiply(
  long m, long n, long k, const float *a, long a_row, long a_step, const float *b, long ldb,
  float *c, long ldc, int add);

/// How a frozen weight is stored: hk_dot is bf16 as hk_bf16 is, but multiplied in pairs, see
/// products_dot.c; hk_amx is bf16 in squares for matrix tiles, see amx.h; hk_q8 and hk_q4 are
/// GGUF's Q8_0 and Q4_1, a block of 32 columns in 34 and 20 bytes, see quantised.c.
enum { hk_f32 = 0, hk_bf16 = 1, hk_f16 = 2, hk_dot = 3, hk_amx = 4, hk_q8 = 5, hk_q4 = 6 };

/// A frozen weight [rows, columns] in tiles of all (padded) rows by 32 columns; see hk_pack.
typedef struct {
  const void *tiles;
  long rows;
  long columns;
  int type;
  /// The type in whose form its products read operands: its own, or what its blocks become.
  int work;
  /// Whether it is a factor of an adapter, for the meter.
  int low_rank;
} hk_matrix;

/// The type a weight is stored as: f32 as it is; for bf16 the fastest that the processor has:
/// matrix tiles, or f16 if every magnitude is below 64 (bf16 values between 2^-14 and 64 are exact
/// in f16), or bf16 in pairs, or bf16 that is widened before it is multiplied.
int hk_pack_type(const float *w, long count, int bf16);

/// The type that blocks of `type` become for their products, where bf16 would do: f16 where that is
/// fast, if every magnitude is below 64 (a NaN is not), or bf16 in pairs; else f32.
int hk_work_type(const float *w, long count, int bf16);

/// Bytes of the tiles of a weight.
size_t hk_packed_bytes(long rows, long columns, int type);

/// Packs w [rows, columns], its rows ldw apart, into tiles: for each 32 columns, all rows of 32
/// elements.
void hk_pack(void *tiles, const float *w, long ldw, long rows, long columns, int type);

/// One row of a packed weight as floats, with zero padding: out[hk_padded(columns)].
void hk_unpack_row(const hk_matrix *w, long row, float *out);

/// Rows of activations in the forms that products read.
typedef struct {
  /// Floats [rows][ld], for f32 and bf16.
  const float *values;
  long ld;
  /// For f16: words of two equal halves, [rows][words_ld], and what gives each row its size back.
  /// For dot: words of two neighbours.
  const uint32_t *_Nullable words;
  long words_ld;
  const float *_Nullable restore;
  /// For matrix tiles: bf16 in tiles of [16 rows][32], and how far 16 rows are apart.
  const uint16_t *_Nullable rounded;
  long block_stride;
} hk_operand;

/// Floats of scratch for an operand.
static inline long hk_operand_floats(long rows, long depth) {
  return hk_padded(rows) * (hk_padded(depth) + 1);
}

/// Prepares a[rows, depth] for products with weights of `type`; `a` must stay as it is meanwhile.
hk_operand hk_prepare(
  int type, long rows, long depth, const float *a, long lda, float *scratch);

/// c[m, n0..<n1] = or += a[m, k0..<k1] · w[n0..<n1, k0..<k1]ᵀ. a begins at column k0, c points at
/// its column n0. n0 and k0 are multiples of 32. Columns of c up to the next multiple of 32 are
/// written.
void hk_frozen_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel);

/// c[m, k0..<k1] = or += a[m, n0..<n1] · w[n0..<n1, k0..<k1]. a begins at column n0, c points at
/// its column k0. n0 and k0 are multiples of 32. Columns of c up to the next multiple of 32 are
/// written.
void hk_frozen_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *panel);

// ---- conversions

/// kept[0..<n] ← x, rounded to nearest even if bf16; n is a multiple of 16.
void hk_keep(void *kept, const float *x, long n, int bf16);

/// x[0..<n] ← kept; n is a multiple of 16.
void hk_recall(float *x, const void *kept, long n, int bf16);

/// out[columns][ldo] ← scale · x[rows][ldx], transposed.
void hk_turn(
  long rows, long columns, const float *x, long ldx, float *out, long ldo, float scale);

/// out[i * out_row + j * out_column] += scale · Σ over blocks, in order, of partial[i * ld + j];
/// the blocks lie `stride` floats apart.
void hk_gather_gradient(
  long rows, long columns, long blocks, long stride, const float *partial, long ld, float scale,
  float *out, long out_row, long out_column);

// ---- point-wise

/// y = x̂ ⊙ weight with x̂ = x · rstd, rstd = 1/√(mean x² + epsilon), row by row of `width`; x̂
/// goes to `kept` and rstd to `rstd`, where they are not null. All rows are hk_padded(width) apart.
void hk_norm_forward(
  long rows, long width, const float *x, const float *weight, float epsilon, float *y,
  void *_Nullable kept, int bf16, float *_Nullable rstd);

/// y = x̂ ⊙ weight from a kept x̂.
void hk_norm_again(
  long rows, long width, const void *kept, int bf16, const float *weight, float *y);

/// dx += rstd · (g − x̂ · mean(g ⊙ x̂)) with g = dy ⊙ weight.
void hk_norm_backward(
  long rows, long width, const float *dy, const float *weight, const void *kept, int bf16,
  const float *rstd, float *dx);

/// Turns each pair (x[i], x[i + half]) of each head by its position's angle, or back if `inverse`.
/// Row r is at position (first + r) mod length; turns: [length][2][half], cosines then sines.
void hk_rope(
  long rows, long first, long length, long heads, long dimension, float *x, long ldx,
  const float *turns, int inverse);

/// act = gate · sigmoid(gate) · up over n elements, a multiple of 16.
void hk_swiglu_forward(long n, const float *gate, const float *up, float *act);

/// From gate, up and the gradient of act: gate ← its gradient, up ← its gradient, dact ← act.
void hk_swiglu_backward(long n, float *gate, float *up, float *dact);

/// RMSNorm of every head by itself, in place: head h of a row is x[h * dimension ..<
/// (h + 1) * dimension], and all heads share weight[dimension]. One head as wide as the row makes
/// it a norm of the whole row. x̂ goes to `kept`, laid out like x, and rstd to rstd[rows][heads],
/// where they are not null. The row's padding is left alone.
void hk_head_norm_forward(
  long rows, long heads, long dimension, float *x, long ldx, const float *weight, float epsilon,
  void *_Nullable kept, int bf16, float *_Nullable rstd);

/// In place: the gradient of the norm's output becomes that of its input, as hk_norm_backward says.
void hk_head_norm_backward(
  long rows, long heads, long dimension, float *dx, long ldx, const float *weight,
  const void *kept, int bf16, const float *rstd);

/// The curve xIELU (Huang and Schlag, 2024, arXiv:2411.13010) as transformers computes it:
/// positive · x² + beta · x above zero, negative · (e^min(x, epsilon) − 1 − x) + beta · x below.
typedef struct {
  float positive, negative, beta, epsilon;
} hk_xielu;

/// act = xIELU(up) over n elements, a multiple of 16.
void hk_xielu_forward(long n, const hk_xielu *curve, const float *up, float *act);

/// From up and the gradient of act: up ← its gradient, dact ← act.
void hk_xielu_backward(long n, const hk_xielu *curve, float *up, float *dact);

/// x += y over n elements.
void hk_add(long n, float *x, const float *y);

/// Adds row[width] to each of the rows.
void hk_add_row(long rows, long width, const float *row, float *x, long ldx);

/// out[kv head] = Σ of x over the query heads that share it; rows of heads of `dimension`.
void hk_sum_groups(
  long rows, long heads, long kv_heads, long dimension, const float *x, long ldx, float *out,
  long ldo);

// ---- dropout (dropout.c)

/// What is dropped: the elements whose bits, which follow from key, row and column, lie below the
/// threshold; the others are multiplied by scale.
typedef struct {
  uint64_t key;
  uint32_t threshold;
  float scale;
} hk_dropout_rule;

/// out = or += x with dropout; row r and column i count as first_row + r and first_column + i.
void hk_dropout(
  const hk_dropout_rule *rule, long rows, long columns, long first_row, long first_column,
  const float *x, long ldx, float *out, long ldo, int add);

// ---- loss

/// Running maximum and sum of exponentials of a row of logits: exact in any number of slices.
typedef struct {
  float maximum;
  float sum;
} hk_partition;

/// Folds n logits into a partition; start with {-INFINITY, 0}.
void hk_partition_fold(hk_partition *partition, const float *logits, long n);

/// log of the sum of exponentials.
double hk_partition_log(const hk_partition *partition);

/// Folds n logits in and replaces them by their exponentials over the largest logit so far, the
/// padding up to hk_padded(n) by zero. Returns what sums of earlier exponentials must be
/// multiplied by.
float hk_partition_exponentials(hk_partition *partition, float *logits, long n);

/// y[0..<n] ← a · y + b · x, or a · y without x; n is a multiple of 16.
void hk_blend(long n, float *y, float a, const float *_Nullable x, float b);

// ---- attention

/// Causal attention with grouped heads over windows of `length` positions.
///
/// q, k, v, out are kept arrays, [windows * length] rows; head h sits at column h * dimension, its
/// key and value at column (h / (heads / kv_heads)) * dimension.
typedef struct {
  long length, heads, kv_heads, dimension;
  int bf16;
  long ldq, ldk;
  const void *q, *k, *v;
  void *out;
  /// For each row, the first position of its window that it sees, at most its own and never falling
  /// within a window; null: all from 0. Sliding windows and documents side by side are made so.
  const int32_t *_Nullable starts;
  /// log Σ exp of each query's scores, [windows * heads][length].
  float *lse;
  /// Backward only: gradient of out, then those of q, k, v. Every query head has its own dk and dv,
  /// in q's layout.
  const float *_Nullable dout;
  float *_Nullable dq, *_Nullable dk, *_Nullable dv;
} hk_attention;

/// Floats of scratch for a task of hk_attention_forward or _backward.
long hk_attention_floats(long length, long dimension);

/// One window's head (task = window * heads + head): out and lse.
void hk_attention_forward(const hk_attention *attention, long task, float *scratch);

/// One window's head: dq, dk, dv from dout, with the scores computed again, block by block.
void hk_attention_backward(const hk_attention *attention, long task, float *scratch);

/// One query against `count` cached positions: out[heads * dimension]. keys and values are
/// [count][ldk] floats; scores is scratch of hk_padded(count) floats.
void hk_attention_step(
  long heads, long kv_heads, long dimension, long count, const float *q, const float *keys,
  const float *values, long ldk, float *out, float *scores);

// ---- optimiser

/// A step of AdamW with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).
typedef struct {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  /// 1 − beta1^t and 1 − beta2^t for step t = 1, 2, …
  float correction1, correction2;
  /// What the gradient is multiplied by first: clipping.
  float gradient_scale;
} hk_adamw_step;

/// Updates values and both moments; m and v begin as zeros.
void hk_adamw(
  const hk_adamw_step *step, long n, float *values, const float *gradient, float *m, float *v);

/// Σ x², in double.
double hk_sum_of_squares(const float *x, long n);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
