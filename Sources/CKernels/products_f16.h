// Frozen products by half-precision multiply-add; see products_f16.c.
#ifndef HANSE_PRODUCTS_F16_H
#define HANSE_PRODUCTS_F16_H
#include "CKernels.h"

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
void hk_f16_from_floats(_Float16 *out, const float *x, long n);
void hk_f16_to_floats(float *out, const _Float16 *x, long n);
#endif
#endif
