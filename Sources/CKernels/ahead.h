// What a product reads next, to be fetched while it multiplies; see products_f16.c.
#ifndef HANSE_AHEAD_H
#define HANSE_AHEAD_H

/// What will be read next: `lines` cache lines from `at` on, in runs of `run` with `jump` bytes
/// between them. `left` and `burst` are the reader's own.
typedef struct {
  const char *at;
  long run, jump, lines, left, burst;
} hk_ahead;
#endif
