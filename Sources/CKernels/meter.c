// Where the time goes: each kernel's call is counted towards a part of the work while somebody
// measures. When nobody does, a call costs one load and one branch.
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "dispatch.h"

int hk_metering = 0;

static struct {
  atomic_ulong nanoseconds;
  atomic_ulong operations;
} parts[hk_meter_parts];

// What the thread is in the middle of; calls within count towards the outermost.
static _Thread_local struct {
  int depth, part;
  unsigned long start, operations;
} current;

unsigned long hk_meter_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (unsigned long)time.tv_sec * 1000000000 + (unsigned long)time.tv_nsec;
}

void hk_meter_add(int part, unsigned long nanoseconds) {
  atomic_fetch_add_explicit(&parts[part].nanoseconds, nanoseconds, memory_order_relaxed);
}

void hk_meter_start(void) {
  for (int part = 0; part < hk_meter_parts; part++) {
    atomic_store(&parts[part].nanoseconds, 0);
    atomic_store(&parts[part].operations, 0);
  }
  __atomic_store_n(&hk_metering, 1, __ATOMIC_RELAXED);
}

void hk_meter_stop(double *seconds, double *operations) {
  __atomic_store_n(&hk_metering, 0, __ATOMIC_RELAXED);
  for (int part = 0; part < hk_meter_parts; part++) {
    seconds[part] = (double)atomic_load(&parts[part].nanoseconds) * 1e-9;
    operations[part] = (double)atomic_load(&parts[part].operations);
  }
}

void hk_meter_enter(int part) {
  if (!hk_is_metering()) return;
  if (current.depth++ > 0) return;
  current.part = part;
  current.operations = 0;
  current.start = hk_meter_nanoseconds();
}

void hk_meter_leave(double operations) {
  if (current.depth == 0) return;
  current.operations += (unsigned long)operations;
  if (--current.depth > 0) return;
  hk_meter_add(current.part, hk_meter_nanoseconds() - current.start);
  atomic_fetch_add_explicit(
    &parts[current.part].operations, current.operations, memory_order_relaxed);
}
