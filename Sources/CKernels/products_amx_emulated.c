// The tiles of amx.h in plain loops: what the tests compare, and never fast.
#include <stdint.h>

#define PREFIX(name) hk_amx_emulated_##name
#define ZERO(t) emulated_zero(t)
#define LOAD(t, p, stride) emulated_load(t, p, stride)
#define MULTIPLY(c, a, b) emulated_multiply(c, a, b)
#define STORE(t, p, stride) emulated_store(t, p, stride)
#define FETCH(p) (void)(p)
#define CONFIGURE (void)0
#define RELEASE (void)0

#include <string.h>

static _Thread_local uint8_t tile[8][16][64];

static void emulated_zero(int t) { memset(tile[t], 0, sizeof tile[t]); }

static void emulated_load(int t, const void *p, long stride) {
  for (int i = 0; i < 16; i++) memcpy(tile[t][i], (const char *)p + i * stride, 64);
}

static void emulated_store(int t, void *p, long stride) {
  for (int i = 0; i < 16; i++) memcpy((char *)p + i * stride, tile[t][i], 64);
}

static float element(const uint8_t *row, int index) {
  uint16_t half;
  memcpy(&half, row + 2 * index, 2);
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static void emulated_multiply(int c, int a, int b) {
  for (int i = 0; i < 16; i++) {
    float sums[16];
    memcpy(sums, tile[c][i], 64);
    for (int q = 0; q < 16; q++)
      for (int j = 0; j < 16; j++)
        for (int e = 0; e < 2; e++)
          sums[j] += element(tile[a][i], 2 * q + e) * element(tile[b][q], 2 * j + e);
    memcpy(tile[c][i], sums, 64);
  }
}

#include "amx.h"
