// Weights in blocks of few bits; see quantised.c.
#ifndef HANSE_QUANTISED_H
#define HANSE_QUANTISED_H
#include "CKernels.h"

/// Bytes of a block of 32 numbers.
static inline size_t hk_block_bytes(int type) { return type == hk_q8 ? 34 : 20; }

/// Packs w [rows, columns], rows ldw apart; columns are a multiple of 32.
void hk_blocks_pack(void *tiles, const float *w, long ldw, long rows, long columns, int type);

/// Rows from `row` and columns from `column`, a multiple of 32, as tiles of floats: for each 32
/// columns, all rows (padded, if there are more than one) of 32.
void hk_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, float *out);

#if defined(__x86_64__)
/// The same as halves, with the processor's half-precision instructions.
void hk_f16_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, _Float16 *out);

/// The same as bf16, with the processor's bf16 instructions.
void hk_dot_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, uint16_t *out);
#endif
#endif
