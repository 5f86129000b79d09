// What the parts of the runtime offer each other. One source for host and guest.
#pragma once
#include <stdatomic.h>

#include "abi.h"

// A phase barrier, in the memory of the program.
struct Barrier {
  _Atomic int32_t phase;
  int32_t arrived, expected;
} __attribute__((aligned(BARRIER_BYTES)));
_Static_assert(sizeof(Barrier) == BARRIER_BYTES, "Barrier");

// pool.c
int run_grid(const Program *program, const uint64_t *arguments, int32_t x, int32_t y, int32_t z, int32_t threads);
int run_range(const Program *program, const uint64_t *arguments, const int32_t grid[3], uint64_t first, uint64_t end, int32_t threads);
int run_one(const Program *program, const uint64_t *arguments);  // a grid of one without parallel loops, with few arguments to convert
const Failure *last_failure(void);  // of the calling thread, after FAILED
void fail_program(Context *context, const char *message) __attribute__((noreturn));
Context *current_context(void);        // of the program that the calling thread runs, or null; safe in a signal handler
extern void (*on_thread_start)(void);  // called first on each new thread of the pool

// team.c
void run_parallel(Context *, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes);
void init_barriers(Context *, Barrier *barriers, int32_t count, int32_t flag, int32_t arrived, int32_t expected);
void arrive_at(Context *, Barrier *barrier);
void wait_at(Context *, Barrier *barrier, int32_t flag, const char *where);
void expect_at(Context *, Barrier *barrier, int32_t expected);
void global_barrier(Context *, int32_t id, int64_t *handle);

// services.c
extern const Services services;
void write_output(const char *text, size_t size);  // host.c and guest.c each have one; calls never overlap
int output_is_ready(void);                         // it waits for that a moment

// externals.c: what kernels may call
typedef struct External {
  const char *name;
  void *address;
} External;
extern const External externals[];
