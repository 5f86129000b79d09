// What a kernel asks of its runtime while it runs: ending with a message, printing.
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool.h"

static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

// A fork while another thread prints must leave the child a free lock.
static void free_lock(void) { pthread_mutex_init(&printing, NULL); }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, free_lock); }

static double half(uint16_t bits) {
  _Float16 value;
  memcpy(&value, &bits, sizeof value);
  return (double)value;
}

static double bfloat(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

static int format(char *out, size_t room, int32_t kind, int32_t bits, int32_t hex, const char *data) {
  uint64_t word = 0;
  memcpy(&word, data, bits < 8 ? 1 : (size_t)bits / 8);
  if (bits < 8) word &= (1u << bits) - 1;
  if ((hex && kind < 2) || kind == 4) return snprintf(out, room, "0x%0*llx", bits < 8 ? 1 : bits / 4, (unsigned long long)word);
  if (kind == 1 || bits == 1) return snprintf(out, room, "%llu", (unsigned long long)word);
  if (kind == 0) return snprintf(out, room, "%lld", (long long)(word << (64 - bits)) >> (64 - bits));
  double value;
  float single;
  if (kind == 3)
    value = bfloat((uint16_t)word);
  else if (bits == 16)
    value = half((uint16_t)word);
  else if (bits == 32)
    memcpy(&single, &word, sizeof single), value = single;
  else
    memcpy(&value, &word, sizeof value);
  return snprintf(out, room, hex ? "%a" : "%f", value);
}

// One line an element, as Triton prints on a GPU: `pid (0, 0, 0) idx ( 7, 31) prefix: value`.
static void print_operand(Context *context, const char *prefix, int32_t type, int32_t hex, int32_t rank, const int64_t *shape, const void *data) {
  enum { ROOM = PIPE_BUF };  // what a pipe that takes anything takes whole
  Pool *pool = ((Worker *)context)->pool;
  int32_t kind = type >> 8, bits = type & 255;
  const int32_t *id = context->program_id;
  size_t longest = strlen(prefix) + 512 + 24 * (size_t)rank, size = 0, capacity = longest > ROOM ? longest : ROOM;
  char *text = malloc(capacity);
  if (!text) fail_program(context, "no memory to print");
  int64_t count = 1;
  for (int32_t d = 0; d < rank; d++) count *= shape[d];
  for (int64_t i = 0; i < count; i++) {
    size += (size_t)sprintf(text + size, "pid (%d, %d, %d)", id[0], id[1], id[2]);
    if (data) {
      size += (size_t)sprintf(text + size, " idx (");
      int64_t inner = count;
      for (int32_t d = 0; d < rank; d++) {
        inner /= shape[d];
        int width = snprintf(NULL, 0, "%lld", (long long)shape[d] - 1);
        size += (size_t)sprintf(text + size, "%s%*lld", d ? ", " : "", width, (long long)(i / inner % shape[d]));
      }
      size += (size_t)sprintf(text + size, ")");
    }
    size += (size_t)sprintf(text + size, "%s", prefix);
    if (data) size += (size_t)format(text + size, 400, kind, bits, hex, (const char *)data + i * (bits < 8 ? 1 : bits / 8));
    text[size++] = '\n';
    if (size + longest > capacity || i + 1 == count) {
      while (!output_is_ready() && !has_failed(pool)) poll_caller(pool);
      if (has_failed(pool)) break;
      pthread_mutex_lock(&printing);
      write_output(text, size);
      pthread_mutex_unlock(&printing);
      size = 0;
    }
  }
  free(text);
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void out_of_bounds(Context *context, const char *what, const char *where, int64_t index, int64_t lower, int64_t upper) {
  char message[FAILURE_BYTES], has[100] = "no storage";
  if (lower < upper) snprintf(has, sizeof has, "a storage of elements %lld to %lld", (long long)lower, (long long)upper - 1);
  snprintf(message, sizeof message, "%s out of bounds: element %lld, and there is %s%s%s", what, (long long)index, has, *where ? ", at " : "", where);
  fail_program(context, message);
}

// What takes locks or memory for a kernel is done between `enter_runtime` and `leave_runtime`.
#define SERVICE(name, function, parameters, arguments, ...) \
  static void name parameters { \
    __VA_ARGS__; \
    enter_runtime(context); \
    function arguments; \
    leave_runtime(context); \
  }
SERVICE(print, print_operand,
        (Context * context, const char *prefix, int32_t type, int32_t hex, int32_t rank, const int64_t *shape, const void *data),
        (context, prefix, type, hex, rank, shape, data))
SERVICE(parallel, run_parallel,
        (Context * context, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes),
        (context, body, environment, begin, end, step, scratch_bytes))
// A wild barrier is the kernel's fault, and must be found before the runtime takes a lock.
static void touch(Context *context, Barrier *barrier) {
  Worker *worker = (Worker *)context;
  int32_t none = -1;
  worker->touching = 1;
  atomic_compare_exchange_strong(&barrier->phase, &none, none);  // as good as a store
  worker->touching = 0;
}
SERVICE(arrive, arrive_at, (Context * context, Barrier *barrier), (context, barrier), touch(context, barrier))
SERVICE(wait, wait_at, (Context * context, Barrier *barrier, int32_t flag, const char *where), (context, barrier, flag, where), touch(context, barrier))
SERVICE(expect, expect_at, (Context * context, Barrier *barrier, int32_t expected), (context, barrier, expected), touch(context, barrier))
SERVICE(barrier_of_launch, global_barrier, (Context * context, int32_t id, int64_t *handle), (context, id, handle))

const Services services = {
    .assert_failed = fail_program,
    .print = print,
    .nanoseconds = nanoseconds,
    .parallel = parallel,
    .init_barriers = init_barriers,
    .arrive = arrive,
    .wait = wait,
    .expect = expect,
    .global_barrier = barrier_of_launch,
    .out_of_bounds = out_of_bounds,
};
