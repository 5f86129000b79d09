// The runtime's own view of the kernel ABI (docs/architecture.md), and what its parts offer each other. One source for host and guest.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct Services Services;

typedef struct Context {
  int32_t program_id[3];
  int32_t num_programs[3];
  int32_t thread;
  int32_t num_threads;
  void *scratch;
  const Services *services;
} Context;

// One iteration of a parallel loop; `scratch` is its thread's own.
typedef void (*Body)(void *environment, int64_t index, Context *context, void *scratch);

// A phase barrier, in the memory of the program.
typedef struct Barrier {
  _Atomic int32_t phase;
  int32_t arrived, expected;
} __attribute__((aligned(64))) Barrier;

struct Services {
  void (*assert_failed)(Context *, const char *message);
  void (*print)(Context *, const char *prefix, int32_t type, int32_t hex, int32_t rank, const int64_t *shape, const void *data);
  int64_t (*nanoseconds)(void);
  void (*parallel)(Context *, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes);
  void (*init_barriers)(Context *, Barrier *, int32_t count, int32_t flag, int32_t arrived, int32_t expected);
  void (*arrive)(Context *, Barrier *);
  void (*wait)(Context *, Barrier *, int32_t flag, const char *where);
  void (*expect)(Context *, Barrier *, int32_t expected);
  void (*global_barrier)(Context *, int32_t id, int64_t *handle);
};

typedef void (*Kernel)(const uint64_t *arguments, Context *context);

// What the host and the guest know of a kernel between launches.
typedef struct Program {
  Kernel kernel;
  uint64_t scratch_bytes;
} Program;

// Why a launch failed: a message of at most FAILURE_BYTES, with its end, and the program that gave it.
enum { FAILURE_BYTES = 4000 };
typedef struct Failure {
  int32_t program_id[3];
  char message[FAILURE_BYTES];
} Failure;

// pool.c
enum { OK = 0, FAILED = 1, NO_MEMORY = 2 };
int run_grid(const Program *program, const uint64_t *arguments, int32_t x, int32_t y, int32_t z, int32_t threads);
int run_one(const Program *program, const uint64_t *arguments);  // a grid of one without parallel loops, with few arguments to convert
const Failure *last_failure(void);  // of the calling thread, after FAILED
void fail_program(Context *context, const char *message) __attribute__((noreturn));
Context *current_context(void);        // of the program that the calling thread runs, or null; safe in a signal handler
void signal_busy_thread(int signal);   // sends it to one thread that runs a program, if any
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

// externals.c: what kernels may call
typedef struct External {
  const char *name;
  void *address;
} External;
extern const External externals[];
