// Weights of two bytes a number in tiles [all rows][32 columns], and how products walk over them: a
// part of products_f16.c and products_dot.c, inside their `#pragma clang attribute`.
#include <immintrin.h>

#include "CKernels.h"
#include "ahead.h"
#include "transpose.h"

#define INLINE static inline __attribute__((always_inline))

INLINE const void *tile(const hk_matrix *w, long row, long column) {
  return (const uint16_t *)w->tiles + column / 32 * hk_padded(w->rows) * 32 + row * 32;
}

// As many steps of at most 768 as are needed, all about equal and multiples of 32.
INLINE long chunk_of(long length) {
  long chunks = (length + 767) / 768;
  return hk_padded((length + chunks - 1) / chunks);
}

// The lines of `rows` rows from n on, of the columns from k up to k1; none beyond the matrix.
INLINE hk_ahead lines_of(const hk_matrix *w, long n, long rows, long k, long k1) {
  long tall = hk_padded(w->rows), wide = hk_padded(w->columns);
  if (n >= tall || k >= wide) return (hk_ahead){0};
  if (rows > tall - n) rows = tall - n;
  long columns = (k1 < wide ? hk_padded(k1) : wide) - k;
  return (hk_ahead){
    .at = tile(w, n, k), .run = rows, .jump = (tall - rows) * 64,
    .lines = rows * columns / 32};
}

// Brings up to `lines` cache lines of what comes next into the second-level cache.
INLINE void fetch(hk_ahead *ahead, long lines) {
  if (lines > ahead->lines) lines = ahead->lines;
  ahead->lines -= lines;
  for (; lines > 0; lines--) {
    _mm_prefetch(ahead->at, _MM_HINT_T1);
    ahead->at += 64;
    if (--ahead->left == 0) {
      ahead->at += ahead->jump;
      ahead->left = ahead->run;
    }
  }
}
