#ifndef HANSE_BLAKE2_H
#define HANSE_BLAKE2_H

#include <stddef.h>
#include <stdint.h>

#define HANSE_BLAKE2_BLOCK_BYTES 128
#define HANSE_BLAKE2_DIGEST_BYTES 32
#define HANSE_BLAKE2_PERSONAL_BYTES 16

/// A BLAKE2b-256 hash under way (RFC 7693): no key, no salt, personalised.
struct hanse_blake2 {
  uint64_t chain[8];
  uint64_t hashed_bytes;
  uint8_t waiting[HANSE_BLAKE2_BLOCK_BYTES];
  size_t waiting_bytes;
};

/// Begins a hash.
void hanse_blake2_begin(
    struct hanse_blake2 *hash, const uint8_t personal[HANSE_BLAKE2_PERSONAL_BYTES]);

/// Adds bytes; none may be given as null.
void hanse_blake2_add(struct hanse_blake2 *hash, const uint8_t *bytes, size_t count);

/// Gives the digest of all that was added; the hash is of no use after that.
void hanse_blake2_finish(struct hanse_blake2 *hash, uint8_t digest[HANSE_BLAKE2_DIGEST_BYTES]);

#endif
