// The runtime as a library for kernels that were compiled ahead of time: one a process, however many bundles there are.
#include "triton_spacemit.h"

#include <signal.h>
#include <stdio.h>
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

static const char *kind_of(int32_t signal) {
  switch (signal) {
    case SIGSEGV: return "invalid memory access (SIGSEGV)";
    case SIGBUS: return "memory access that the machine refuses (SIGBUS)";
    case SIGILL: return "illegal instruction (SIGILL)";
    default: return "arithmetic fault (SIGFPE)";
  }
}

// What the calling thread's last launch failed of.
static int report(ts_launch *how, const ts_kernel *kernel, int result) {
  const Failure *failure = last_failure();
  const char *message = failure->message;
  char text[256];
  if (how) memcpy(how->program_id, failure->program_id, sizeof how->program_id);
  if (result == FAULTED) {
    int size = snprintf(text, sizeof text, "%s at address 0x%llx", kind_of(failure->signal), (unsigned long long)failure->address);
    uint64_t place = failure->place - (uintptr_t)kernel->text;
    if (failure->stack_bytes)
      snprintf(text + size, sizeof text - (size_t)size, ": the kernel needs more stack than its thread has");
    else if (failure->place)
      snprintf(text + size, sizeof text - (size_t)size, ", at 0x%llx in the kernel's code", (unsigned long long)place);
    message = text;
  } else if (result == TIMED_OUT) {
    message = "it took longer than ts_guard allows, and was stopped";
  }
  return ts_refuse(how, result == FAILED ? TS_FAILED : result == FAULTED ? TS_FAULTED : TS_TIMED_OUT, message);
}

// Run programs `first` to `end` of a grid.
static int run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z, int64_t first, int64_t end,
               int32_t threads) {
  if (first >= end) return TS_OK;
  const Program program = {(Kernel)kernel->code, kernel->scratch_bytes, kernel->text, kernel->text_bytes};
  const int32_t grid[3] = {(int32_t)x, (int32_t)y, (int32_t)z};
  int result = run_range(&program, slots, grid, (uint64_t)first, (uint64_t)end, threads);
  if (result == FAILED || result == FAULTED || result == TIMED_OUT) return report(how, kernel, result);
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
