// A pool of threads that sleep when there is nothing to do.
//
// Several processes may share the cores (a federation on one machine), so nobody spins: a thread
// without a task waits on a condition. Regions are large (tens of milliseconds), so waking costs
// nothing that can be measured.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dispatch.h"

enum { most_threads = 256 };

static struct {
  pthread_mutex_t open;  // held while a region runs
  pthread_mutex_t lock;  // guards what follows
  pthread_cond_t begun, finished;
  int started;
  unsigned long region;
  long tasks;
  void *context;
  void (*body)(void *, long, int);
  int busy;
  atomic_long next;
  atomic_ulong worked;  // nanoseconds of all threads on tasks of the region, when measured
} pool = {
  .open = PTHREAD_MUTEX_INITIALIZER,
  .lock = PTHREAD_MUTEX_INITIALIZER,
  .begun = PTHREAD_COND_INITIALIZER,
  .finished = PTHREAD_COND_INITIALIZER,
};

static pthread_once_t counted = PTHREAD_ONCE_INIT;
static int threads = 1;
static _Thread_local int inside;

// Processors' worth of time that the control group grants, rounded up; no limit found is a large
// number. A container on a large machine has few of its cores and yet sees them all.
static long granted_processors(void) {
  FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
  if (!file) return most_threads;
  long quota, period, found = most_threads;
  if (fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
    found = (quota + period - 1) / period;
  fclose(file);
  return found;
}

static void count_threads(void) {
  const char *text = getenv("HANSE_THREADS");
  long wanted = text ? strtol(text, NULL, 10) : 0;
  if (wanted < 1) {
    cpu_set_t set;
    wanted = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                         : sysconf(_SC_NPROCESSORS_ONLN);
    long granted = granted_processors();
    if (wanted > granted) wanted = granted;
  }
  threads = wanted < 1 ? 1 : wanted > most_threads ? most_threads : (int)wanted;
}

int hk_threads(void) {
  pthread_once(&counted, count_threads);
  return threads;
}

// Numbers below 2^-126 stall the processor and mean nothing here: as zeros they cost nothing.
static unsigned flush_small_numbers(void) {
#if defined(__x86_64__)
  unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 0x8040);
  return before;
#else
  return 0;
#endif
}

static void restore_rounding(unsigned before) {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(before);
#else
  (void)before;
#endif
}

static void take_tasks(long tasks, void *context, void (*body)(void *, long, int), int worker) {
  inside = 1;
  unsigned before = flush_small_numbers();
  unsigned long start = hk_is_metering() ? hk_meter_nanoseconds() : 0;
  for (;;) {
    long task = atomic_fetch_add(&pool.next, 1);
    if (task >= tasks) break;
    body(context, task, worker);
  }
  if (start) atomic_fetch_add(&pool.worked, hk_meter_nanoseconds() - start);
  restore_rounding(before);
  inside = 0;
}

static void *work(void *number) {
  int worker = (int)(long)number;
  unsigned long seen = 0;
  pthread_mutex_lock(&pool.lock);
  for (;;) {
    while (pool.region == seen) pthread_cond_wait(&pool.begun, &pool.lock);
    seen = pool.region;
    long tasks = pool.tasks;
    void *context = pool.context;
    void (*body)(void *, long, int) = pool.body;
    pthread_mutex_unlock(&pool.lock);
    take_tasks(tasks, context, body, worker);
    pthread_mutex_lock(&pool.lock);
    if (--pool.busy == 0) pthread_cond_signal(&pool.finished);
  }
  return NULL;
}

// Called with `open` held. A thread that cannot be had is done without: `started` counts those that
// run, and the region's owner takes whatever tasks they leave.
static void start_threads(void) {
  while (pool.started < hk_threads() - 1) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    int failed = pthread_create(&thread, &attributes, work, (void *)(long)(pool.started + 1));
    pthread_attr_destroy(&attributes);
    if (failed) break;
    pool.started++;
  }
}

void hk_parallel(long tasks, void *context, void (*body)(void *, long, int)) {
  int alone = inside || tasks < 2 || hk_threads() < 2;
  if (alone || pthread_mutex_trylock(&pool.open) != 0) {
    unsigned before = flush_small_numbers();
    for (long task = 0; task < tasks; task++) body(context, task, 0);
    restore_rounding(before);
    return;
  }
  pthread_mutex_lock(&pool.lock);
  start_threads();
  pool.tasks = tasks;
  pool.context = context;
  pool.body = body;
  pool.busy = pool.started;
  atomic_store(&pool.next, 0);
  atomic_store(&pool.worked, 0);
  unsigned long start = hk_is_metering() ? hk_meter_nanoseconds() : 0;
  pool.region++;
  pthread_cond_broadcast(&pool.begun);
  pthread_mutex_unlock(&pool.lock);
  take_tasks(tasks, context, body, 0);
  pthread_mutex_lock(&pool.lock);
  while (pool.busy != 0) pthread_cond_wait(&pool.finished, &pool.lock);
  if (start) {
    unsigned long all = (unsigned long)(pool.started + 1) * (hk_meter_nanoseconds() - start);
    unsigned long worked = atomic_load(&pool.worked);
    if (all > worked) hk_meter_add(hk_meter_waiting, all - worked);
  }
  pthread_mutex_unlock(&pool.lock);
  pthread_mutex_unlock(&pool.open);
}
