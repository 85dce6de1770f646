// The tiles of amx.h by the processor's instructions; packing for them; and whether they work.
#define _GNU_SOURCE
#include "products_amx.h"

#include "dispatch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint16_t round_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Where w[row, column] lies if rows are outputs and columns are summed over.
static long place(long row, long column, long columns) {
  long square = row / 32 * (hk_padded(columns) / 32) + column / 32;
  return square * 1024 + row % 32 / 16 * 512 + column % 32 / 2 * 32 + row % 16 * 2 + column % 2;
}

void hk_amx_pack(uint16_t *squares, const float *w, long ldw, long rows, long columns) {
  long count = hk_padded(rows) * hk_padded(columns);
  memset(squares, 0, sizeof(uint16_t) * (size_t)(2 * count));
  for (long row = 0; row < rows; row++)
    for (long column = 0; column < columns; column++) {
      uint16_t value = round_bf16(w[row * ldw + column]);
      squares[place(row, column, columns)] = value;
      squares[count + place(column, row, rows)] = value;
    }
}

void hk_amx_unpack_row(const hk_matrix *w, long row, float *out) {
  const uint16_t *squares = w->tiles;
  for (long column = 0; column < hk_padded(w->columns); column++) {
    uint32_t bits = (uint32_t)squares[place(row, column, w->columns)] << 16;
    memcpy(out + column, &bits, 4);
  }
}

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Eight tiles of 16 rows by 64 bytes.
static const struct {
  uint8_t palette, start, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} shape __attribute__((aligned(64))) = {
  .palette = 1,
  .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
  .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

#define PREFIX(name) hk_amx_##name
#define CONFIGURE _tile_loadconfig(&shape)
#define RELEASE _tile_release()
#define ZERO(t) _tile_zero(t)
#define LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
#define STORE(t, p, stride) _tile_stored(t, p, stride)
#define FETCH(p) \
  for (int line = 0; line < 16; line++) _mm_prefetch((const char *)((p) + 32 * line), _MM_HINT_T0)

#pragma clang attribute push(                                                               \
  __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,evex512"))), \
  apply_to = function)
#include "amx.h"
#pragma clang attribute pop

// Both products of a small weight, set and added, against the emulation, which is tested
// everywhere.
static int multiplies_rightly(void) {
  enum { rows = 96, columns = 64, m = 40 };
  float w[rows * columns], a[m * rows], found[m * rows], wanted[m * rows];
  uint16_t *squares = malloc(sizeof(uint16_t) * 2 * rows * columns);
  uint16_t *rounded = malloc(sizeof(uint16_t) * 64 * rows);
  int right = squares && rounded;
  uint32_t state = 1;
  for (int i = 0; i < rows * columns; i++)
    w[i] = (float)((state = state * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
  for (int i = 0; i < m * rows; i++)
    a[i] = (float)((state = state * 1664525 + 1013904223) >> 8) * 0x1p-23f - 1;
  hk_matrix matrix = {squares, rows, columns, hk_amx};
  if (right) hk_amx_pack(squares, w, columns, rows, columns);
  for (int turn = 0; right && turn < 4; turn++) {
    int backward = turn / 2, add = turn % 2;
    long depth = backward ? rows : columns, width = backward ? columns : rows;
    // The table of kernels has not been chosen yet: that waits for this very answer.
    hk_kernels_portable.keep_tiles(m, depth, a, depth, rounded);
    hk_operand operand = {.rounded = rounded, .block_stride = 16 * depth};
    (backward ? hk_amx_backward : hk_amx_forward)(
      &matrix, m, 0, rows, 0, columns, &operand, found, width, add);
    (backward ? hk_amx_emulated_backward : hk_amx_emulated_forward)(
      &matrix, m, 0, rows, 0, columns, &operand, wanted, width, add);
    for (int i = 0; i < m * width; i++) {
      float gap = found[i] - wanted[i];
      if (!(gap < 1e-3f && gap > -1e-3f)) right = 0;
    }
  }
  free(squares);
  free(rounded);
  return right;
}

static pthread_once_t asked = PTHREAD_ONCE_INIT;
static int available;

// The system lends a process the tiles' state, for all its threads, only if it asks: arch_prctl
// with ARCH_REQ_XCOMP_PERM for component 18. It refuses a thread whose alternative signal stack is
// too small, and old or restricted systems refuse altogether: then the next best set is used.
static void ask(void) {
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16")) return;
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq")) return;
  if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) return;
  available = multiplies_rightly();
}

int hk_amx_available(void) {
  pthread_once(&asked, ask);
  return available;
}
#else
int hk_amx_available(void) { return 0; }
#endif
