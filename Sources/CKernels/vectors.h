// Vectors of W floats and what is done with them lane by lane; the includer defines W and stands
// inside a `#pragma clang attribute` that names an instruction set.
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((ext_vector_type(W)));
typedef float vf_loose __attribute__((ext_vector_type(W), aligned(4)));
typedef int32_t vi __attribute__((ext_vector_type(W)));
typedef uint32_t vu __attribute__((ext_vector_type(W)));
typedef uint16_t vh __attribute__((ext_vector_type(W)));
typedef uint16_t vh_loose __attribute__((ext_vector_type(W), aligned(2)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *p) { return *(const vf_loose *)p; }
INLINE void store(float *p, vf v) { *(vf_loose *)p = v; }

INLINE vf from_bf16(const uint16_t *p) {
  return (vf)(__builtin_convertvector(*(const vh_loose *)p, vu) << 16);
}

// Rounds to nearest, ties to even. A NaN stays a NaN as long as its upper payload is not all ones,
// which no arithmetic produces.
INLINE void to_bf16(uint16_t *p, vf v) {
  vu bits = (vu)v;
  bits += 0x7fff + ((bits >> 16) & 1);
  *(vh_loose *)p = __builtin_convertvector(bits >> 16, vh);
}

INLINE vf recall(const void *kept, long i, int bf16) {
  return bf16 ? from_bf16((const uint16_t *)kept + i) : load((const float *)kept + i);
}

INLINE void keep(void *kept, long i, vf v, int bf16) {
  if (bf16) to_bf16((uint16_t *)kept + i, v);
  else store((float *)kept + i, v);
}

INLINE vf larger(vf a, vf b) { return __builtin_elementwise_max(a, b); }
INLINE vf smaller(vf a, vf b) { return __builtin_elementwise_min(a, b); }

// A balanced tree, so the compiler can shuffle halves and the order is fixed.
INLINE float sum(vf v) {
  float lanes[W];
  memcpy(lanes, &v, sizeof lanes);
  for (int width = W / 2; width; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

INLINE float maximum(vf v) {
  float lanes[W];
  memcpy(lanes, &v, sizeof lanes);
  for (int width = W / 2; width; width /= 2)
    for (int i = 0; i < width; i++)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

INLINE vi lanes_from_zero(void) {
  vi lanes;
  for (int i = 0; i < W; i++) lanes[i] = i;
  return lanes;
}

INLINE vf choose(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }

// e^x to 2 units in the last place for -87.3 ≤ x ≤ 88.3, clamped outside: x = n·ln 2 + r with
// |r| ≤ ½ ln 2, e^r by the polynomial of Cephes' expf (Moshier), 2^n by the exponent's bits.
INLINE vf exponential(vf x) {
  x = smaller(larger(x, (vf)-87.3f), (vf)88.3f);
  vf shifted = x * 1.44269504f + 12582912.0f;  // 1.5 · 2^23: the integer part moves to the end
  vi n = (vi)shifted - 0x4b400000;
  vf whole = shifted - 12582912.0f;
  vf r = x - whole * 0.693359375f;
  r = r + whole * 2.12194440e-4f;
  vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return (vf)((vi)p + (n << 23));
}
