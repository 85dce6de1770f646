// Dropout whose choice follows from an element's place alone, so that the way back, another number
// of threads and a resumed run meet the same zeros.
#include "CKernels.h"

// Two rounds of multiplying and shifting; the constants are those of Wellons' search for the least
// biased mixers of 32 bits (hash-prospector).
static inline uint32_t mixed(uint32_t x) {
  x ^= x >> 16;
  x *= 0x21f0aaadu;
  x ^= x >> 15;
  x *= 0x735a2d97u;
  x ^= x >> 15;
  return x;
}

// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
static inline uint64_t row_key(uint64_t key, uint64_t row) {
  uint64_t z = key + (row + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void hk_dropout(
  const hk_dropout_rule *rule, long rows, long columns, long first_row, long first_column,
  const float *x, long ldx, float *out, long ldo, int add
) {
  for (long r = 0; r < rows; r++) {
    uint64_t key = row_key(rule->key, (uint64_t)(first_row + r));
    uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);
    const float *from = x + r * ldx;
    float *to = out + r * ldo;
    for (long i = 0; i < columns; i++) {
      uint32_t bits = mixed(mixed((uint32_t)(first_column + i) ^ low) + high);
      float kept = bits >= rule->threshold ? from[i] * rule->scale : 0;
      to[i] = add ? to[i] + kept : kept;
    }
  }
}
