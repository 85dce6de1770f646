// Frozen products by pairs of bf16; see products_dot.c.
#ifndef HANSE_PRODUCTS_DOT_H
#define HANSE_PRODUCTS_DOT_H
#include "CKernels.h"
#include "ahead.h"

/// Whether the processor has the instructions.
int hk_dot_available(void);

#if defined(__x86_64__)
void hk_dot_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch);
void hk_dot_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add, float *scratch);
/// Rows of floats rounded to bf16, two to a word; padded with zeros to 2 · ld numbers.
void hk_dot_prepare(long rows, long depth, const float *a, long lda, uint32_t *words, long ld);

/// Rows of sums that stay in registers.
enum { hk_dot_rows = 14 };

/// c[m, 32] = or += Σ over pairs q of a's word times b's, number by number. a's word for row i and
/// pair q is a[i * a_row + q * a_step]; b is [pairs][32] words. Meanwhile `next` is fetched, if it
/// is not null.
void hk_dot_strip(
  long m, long pairs, const uint32_t *a, long a_row, long a_step, const uint32_t *b, float *c,
  long ldc, int add, const hk_ahead *next);

/// panel[16][32] words from 32 rows of 32 numbers, rows `ld` numbers apart: words of two neighbours
/// along a row, transposed. Sums run along the rows.
void hk_dot_turn(const uint16_t *rows, long ld, uint32_t *panel);

/// panel[count / 2][32] words from `count` rows of 32 numbers, rows `ld` numbers apart: words of
/// two neighbours in a column. Sums run over the rows. An odd last row meets zeros.
void hk_dot_pair(const uint16_t *rows, long ld, long count, uint32_t *panel);

/// Attention over bf16 rows; see attention_dot.c.
long hk_dot_attention_floats(long length, long dimension);
void hk_dot_attention_forward(const hk_attention *at, long task, float *scratch);
void hk_dot_attention_backward(const hk_attention *at, long task, float *scratch);
#endif
#endif
