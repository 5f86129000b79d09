// The runtime as a library for kernels that were compiled ahead of time: one a process, however many bundles there are.
#include "triton_spacemit.h"

#include <string.h>

#include "pool.h"
#include "unguarded.h"

_Static_assert(TS_OK == OK && TS_FAILED == FAILED && TS_NO_MEMORY == NO_MEMORY, "results");

int ts_refuse(ts_launch *how, int result, const char *message) {
  if (how) {
    strncpy(how->message, message, sizeof how->message - 1);
    how->message[sizeof how->message - 1] = 0;
  }
  return result;
}

int64_t ts_count(int64_t x, int64_t y, int64_t z) {
  int64_t programs;
  int bad = x < 0 || y < 0 || z < 0 || x > INT32_MAX || y > INT32_MAX || z > INT32_MAX || __builtin_mul_overflow(x * y, z, &programs);
  return bad ? -1 : programs;
}

// Run programs `first` to `end` of a grid.
static int run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z, int64_t first, int64_t end,
               int32_t threads) {
  if (first >= end) return TS_OK;
  const Program program = {.kernel = (Kernel)kernel->code, .scratch_bytes = kernel->scratch_bytes};
  const int32_t grid[3] = {(int32_t)x, (int32_t)y, (int32_t)z};
  int result = run_range(&program, slots, grid, (uint64_t)first, (uint64_t)end, threads);
  if (result == TS_FAILED && how) {
    const Failure *failure = last_failure();
    memcpy(how->program_id, failure->program_id, sizeof how->program_id);
    return ts_refuse(how, result, failure->message);
  }
  return result == TS_NO_MEMORY ? ts_refuse(how, result, "no memory for threads or for what the kernel keeps besides its arguments") : result;
}

int ts_run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z) {
  int64_t programs = ts_count(x, y, z);
  if (programs < 0)
    return ts_refuse(how, TS_BAD_GRID, "an extent of the grid is negative or above 2^31 - 1, or there are more than 2^63 - 1 programs");
  return run(how, kernel, slots, x, y, z, 0, programs, how && how->threads > 0 ? how->threads : programs > 1 ? count_cores() : 1);
}

int ts_run_part(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z, int64_t first, int64_t count) {
  int64_t programs = ts_count(x, y, z);
  if (first < 0 || count < 0 || first > programs || count > programs - first)
    return ts_refuse(how, TS_BAD_GRID, "these are no programs of the grid");
  return run(how, kernel, slots, x, y, z, first, first + count, 1);
}
