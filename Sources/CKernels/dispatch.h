// The table of kernels of one instruction set.
#ifndef HANSE_DISPATCH_H
#define HANSE_DISPATCH_H
#include "CKernels.h"

/// Not zero while somebody measures; see meter.c.
extern int hk_metering;

static inline int hk_is_metering(void) {
  return __atomic_load_n(&hk_metering, __ATOMIC_RELAXED);
}

/// Adds to a part from outside enter and leave.
void hk_meter_add(int part, unsigned long nanoseconds);

/// Runs a call, counted towards a part, with its multiplications and additions.
#define METERED(part, operations, call) \
  do {                                  \
    if (hk_is_metering()) {             \
      hk_meter_enter(part);             \
      call;                             \
      hk_meter_leave(operations);       \
    } else {                            \
      call;                             \
    }                                   \
  } while (0)

struct hk_kernels {
  void (*multiply)(
    long, long, long, const float *, long, long, const float *, long, float *, long, int);
  void (*transpose)(long, long, const float *, long, float *, long);
  void (*frozen_forward)(
    const hk_matrix *, long, long, long, long, long, const float *, long, float *, long, int,
    float *);
  void (*frozen_backward)(
    const hk_matrix *, long, long, long, long, long, const float *, long, float *, long, int,
    float *);
  void (*keep)(void *, const float *, long, int);
  void (*recall)(float *, const void *, long, int);
  void (*keep_tiles)(long, long, const float *, long, uint16_t *);
  void (*norm_forward)(
    long, long, const float *, const float *, float, float *, void *, int, float *);
  void (*norm_again)(long, long, const void *, int, const float *, float *);
  void (*norm_backward)(
    long, long, const float *, const float *, const void *, int, const float *, float *);
  void (*rope)(long, long, long, long, long, float *, long, const float *, int);
  void (*swiglu_forward)(long, const float *, const float *, float *);
  void (*swiglu_backward)(long, float *, float *, float *);
  void (*head_norm_forward)(
    long, long, long, float *, long, const float *, float, void *, int, float *);
  void (*head_norm_backward)(
    long, long, long, float *, long, const float *, const void *, int, const float *);
  void (*xielu_forward)(long, const hk_xielu *, const float *, float *);
  void (*xielu_backward)(long, const hk_xielu *, float *, float *);
  void (*partition_fold)(hk_partition *, const float *, long);
  float (*partition_exponentials)(hk_partition *, float *, long);
  void (*blend)(long, float *, float, const float *, float);
  void (*attention_forward)(const hk_attention *, long, float *);
  void (*attention_backward)(const hk_attention *, long, float *);
  void (*attention_step)(
    long, long, long, long, const float *, const float *, const float *, long, float *, float *);
  void (*adamw)(const hk_adamw_step *, long, float *, const float *, float *, float *);
  double (*sum_of_squares)(const float *, long);
};

extern const struct hk_kernels hk_kernels_portable;
#if defined(__x86_64__)
extern const struct hk_kernels hk_kernels_avx2;
extern const struct hk_kernels hk_kernels_avx512;
#endif
#endif
