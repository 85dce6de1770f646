// Frozen products by matrix tiles of bf16; see amx.h.
#ifndef HANSE_PRODUCTS_AMX_H
#define HANSE_PRODUCTS_AMX_H
#include "CKernels.h"

/// Whether the processor has the tiles, the system lends them, and they multiply rightly.
int hk_amx_available(void);

void hk_amx_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add);
void hk_amx_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add);
void hk_amx_emulated_forward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add);
void hk_amx_emulated_backward(
  const hk_matrix *w, long m, long n0, long n1, long k0, long k1, const hk_operand *a, float *c,
  long ldc, int add);

/// Both orientations of w in squares.
void hk_amx_pack(uint16_t *squares, const float *w, long ldw, long rows, long columns);
/// One row of a packed weight.
void hk_amx_unpack_row(const hk_matrix *w, long row, float *out);
#endif
