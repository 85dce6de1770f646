// Frozen weights in few bits: the blocks of GGUF's Q8_0 and Q4_1 (ggml-quants.c of llama.cpp), so
// that what a file holds in one of them is held in memory bit by bit the same.
//
//   Q8_0  scale (f16), 32 signed bytes:           number = scale · q
//   Q4_1  scale, least (f16), 16 bytes of 2 · 4 bits: number = scale · q + least; the low halves of
//         the bytes are numbers 0…15 of the block, the high halves 16…31
//
// Blocks lie like tiles: for each 32 columns, the blocks of all (padded) rows. Padding is blocks of
// zero bytes, which are zeros in both forms.
#include "quantised.h"

#include <math.h>
#include <string.h>

static uint16_t half_of(float x) {
  _Float16 half = (_Float16)x;
  uint16_t bits;
  memcpy(&bits, &half, sizeof bits);
  return bits;
}

static float float_of(const uint8_t *bits) {
  _Float16 half;
  memcpy(&half, bits, sizeof half);
  return (float)half;
}

static void put_half(uint8_t *out, float x) {
  uint16_t bits = half_of(x);
  memcpy(out, &bits, sizeof bits);
}

static void pack_q8(uint8_t *out, const float *x) {
  float largest = 0;
  for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
  float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
  put_half(out, scale);
  for (int i = 0; i < 32; i++) out[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

static uint8_t four_bits(float x) {
  float rounded = x + 0.5f;
  return rounded >= 15 ? 15 : rounded > 0 ? (uint8_t)rounded : 0;
}

static void pack_q4(uint8_t *out, const float *x) {
  float least = x[0], most = x[0];
  for (int i = 1; i < 32; i++) {
    least = fminf(least, x[i]);
    most = fmaxf(most, x[i]);
  }
  float scale = (most - least) / 15, inverse = scale > 0 ? 1 / scale : 0;
  put_half(out, scale);
  put_half(out + 2, least);
  for (int i = 0; i < 16; i++)
    out[4 + i] = (uint8_t)(
      four_bits((x[i] - least) * inverse) | four_bits((x[i + 16] - least) * inverse) << 4);
}

void hk_blocks_pack(void *tiles, const float *w, long ldw, long rows, long columns, int type) {
  uint8_t *out = tiles;
  size_t bytes = hk_block_bytes(type);
  for (long column = 0; column < columns; column += 32)
    for (long row = 0; row < hk_padded(rows); row++, out += bytes) {
      const float *x = w + row * ldw + column;
      if (row >= rows) memset(out, 0, bytes);
      else if (type == hk_q8) pack_q8(out, x);
      else pack_q4(out, x);
    }
}

static void unpack(const uint8_t *block, int type, float *out) {
  float scale = float_of(block);
  if (type == hk_q8) {
    for (int i = 0; i < 32; i++) out[i] = scale * (float)(int8_t)block[2 + i];
    return;
  }
  float least = float_of(block + 2);
  for (int i = 0; i < 16; i++) {
    out[i] = scale * (float)(block[4 + i] & 15) + least;
    out[i + 16] = scale * (float)(block[4 + i] >> 4) + least;
  }
}

void hk_blocks_unpack(
  const hk_matrix *w, long row, long rows, long column, long columns, float *out
) {
  size_t bytes = hk_block_bytes(w->type);
  // A piece ends inside the weight's padded rows, because it begins at a multiple of 32.
  long tall = hk_padded(w->rows), count = rows == 1 ? 1 : hk_padded(rows);
  for (long c = column; c < column + columns; c += 32) {
    const uint8_t *block = (const uint8_t *)w->tiles + (size_t)(c / 32 * tall + row) * bytes;
    for (long r = 0; r < count; r++, block += bytes, out += 32) unpack(block, w->type, out);
  }
}
