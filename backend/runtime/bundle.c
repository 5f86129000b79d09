// The runtime as a library for kernels that were compiled ahead of time: one a process, however many bundles there are.
#define _GNU_SOURCE
#include "triton_spacemit.h"

#include <sched.h>
#include <string.h>

#include "pool.h"

_Static_assert(TS_OK == OK && TS_FAILED == FAILED && TS_NO_MEMORY == NO_MEMORY, "results");

// Signals are the program's own affair.
void launch_begins(Pool *pool) {}
void launch_ends(Pool *pool) {}
int must_poll(void) { return 0; }
void poll_caller(Pool *pool) {}

static int32_t cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

int ts_refuse(ts_launch *how, int result, const char *message) {
  if (how) {
    strncpy(how->message, message, sizeof how->message - 1);
    how->message[sizeof how->message - 1] = 0;
  }
  return result;
}

int ts_run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z) {
  int64_t programs;
  if (x < 0 || y < 0 || z < 0 || x > INT32_MAX || y > INT32_MAX || z > INT32_MAX || __builtin_mul_overflow(x * y, z, &programs))
    return ts_refuse(how, TS_BAD_GRID, "an extent of the grid is negative or above 2^31 - 1, or there are more than 2^63 - 1 programs");
  if (!programs) return TS_OK;
  int32_t threads = how && how->threads > 0 ? how->threads : programs > 1 ? cores() : 1;
  const Program program = {.kernel = (Kernel)kernel->code, .scratch_bytes = kernel->scratch_bytes};
  int result = run_grid(&program, slots, (int32_t)x, (int32_t)y, (int32_t)z, threads);
  if (result == TS_FAILED && how) {
    const Failure *failure = last_failure();
    memcpy(how->program_id, failure->program_id, sizeof how->program_id);
    return ts_refuse(how, result, failure->message);
  }
  return result == TS_NO_MEMORY ? ts_refuse(how, result, "no memory for threads or for what the kernel keeps besides its arguments") : result;
}
