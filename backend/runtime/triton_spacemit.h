// Kernels compiled ahead of time: what a launch is told, and what it says.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)  // what the runtime's library has besides is its own

// What a function of a bundle returns.
enum {
  TS_OK = 0,
  TS_FAILED = 1,      // an assertion failed, or threads waited for each other in vain
  TS_NO_MEMORY = 2,
  TS_WRONG_CHIP = 3,  // the library is for another processor than this one
  TS_BAD_GRID = 4,    // an extent is negative or above 2^31 - 1, or there are too many programs
  TS_FAULTED = 5,     // after ts_guard: the kernel accessed memory that there is not, or ran an illegal instruction
  TS_TIMED_OUT = 6,   // after ts_guard: it took too long
};

// How to run a kernel; NULL stands for all defaults. `{0}` initialises it.
typedef struct ts_launch {
  int32_t threads;        // that the grid is spread over; 0: as many as this process has cores
  int32_t program_id[3];  // after TS_FAILED, TS_FAULTED and TS_TIMED_OUT: the program, -1 where it is not known
  char message[4000];     // after a result other than TS_OK: why
} ts_launch;

// From now on a fault in a kernel's code ends its launch with TS_FAULTED instead of the process, and a launch that takes longer than `seconds`
// (0: any time) ends with TS_TIMED_OUT; the next one works. What a kernel has written by then is written. Call it once, before launches, where
// kernels are not trusted to be right. It takes the signals SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGURG, and passes on those that are not for it
// to the handlers that were there before; a thread looks after launches that last.
void ts_guard(double seconds);

// For functions of bundles:

typedef struct ts_kernel {
  void (*code)(const uint64_t *slots, void *context);
  uint64_t scratch_bytes;
  const void *text;     // the code that it consists of
  uint64_t text_bytes;
} ts_kernel;

// The number of programs of a grid; -1 where that is no grid.
int64_t ts_count(int64_t x, int64_t y, int64_t z);
// Runs `count` programs of a grid from number `first` on, on the calling thread.
int ts_run_part(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z, int64_t first, int64_t count);
// Runs a kernel on a grid. Launches of several threads run at the same time, each on threads of its own.
int ts_run(ts_launch *how, const ts_kernel *kernel, const uint64_t *slots, int64_t x, int64_t y, int64_t z);
// Notes why a launch was not begun, and returns `result`.
int ts_refuse(ts_launch *how, int result, const char *message);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
