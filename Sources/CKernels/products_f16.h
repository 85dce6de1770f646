// Frozen products by half-precision multiply-add; see products_f16.c.
#ifndef HANSE_PRODUCTS_F16_H
#define HANSE_PRODUCTS_F16_H
#include "CKernels.h"
#include "ahead.h"

/// Whether the processor has the instructions.
int hk_f16_available(void);

#if defined(__x86_64__)
void hk_f16_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch);
void hk_f16_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add);
/// Words of two equal halves from rows of floats, scaled; restore takes each row's scale back.
void hk_f16_prepare(
  long rows, long depth, const float *a, long lda, uint32_t *words, long ld, float *restore);

/// Rows of sums that stay in registers.
enum { hk_f16_rows = 14 };

/// c[m, 32 or 64 if two] = or += restore · a·b. a[i, q] is the word at a[i * a_row + q * a_step], b
/// is b0[q * ldb] with 32 columns and b1 with 32 more. Sums run in half precision over at most
/// `chain` steps. Meanwhile `next` is fetched, if it is not null.
void hk_f16_strip(
  int two, long m, long k, long chain, const uint32_t *a, long a_row, long a_step,
  const _Float16 *b0, const _Float16 *b1, long ldb, const float *restore, float *c, long ldc,
  int add, const hk_ahead *next);

/// panel[k][64], columns 0…31 of it, from a tile [32 rows][32 k], rows `ld` apart.
void hk_f16_turn_tile(const _Float16 *tile, long ld, _Float16 *panel);

/// Attention over bf16 rows; see attention_f16.c.
long hk_f16_attention_floats(long length, long dimension);
void hk_f16_attention_forward(const hk_attention *at, long task, float *scratch);
void hk_f16_attention_backward(const hk_attention *at, long task, float *scratch);

void hk_f16_from_floats(_Float16 *out, const float *x, long n);
void hk_f16_to_floats(float *out, const _Float16 *x, long n);
#endif
#endif
