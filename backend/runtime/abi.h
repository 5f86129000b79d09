// The kernel ABI, written by `make docs` from dialect/abi.py, which says how it may change.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { ABI_VERSION = 2, ABI_OLDEST = 1 };
enum { MAX_THREADS = 1024, SCRATCH_ALIGNMENT = 64 };
enum { BARRIER_BYTES = 64, FAILURE_BYTES = 4000 };
enum { OK = 0, FAILED = 1, NO_MEMORY = 2, FAULTED = 3, TIMED_OUT = 4, INTERRUPTED = 5 };  // of a launch

typedef struct Services Services;
typedef struct Barrier Barrier;

// What a program is told, constant while it runs. The runtime keeps more of its own behind it.
typedef struct Context {
  // The program's place in the grid.
  int32_t program_id[3];
  // The extents of the grid.
  int32_t num_programs[3];
  // The number of this thread in the pool.
  int32_t thread;
  // How many threads the launch may use.
  int32_t num_threads;
  // Memory of this program alone, as long as the kernel asks for, aligned to SCRATCH_ALIGNMENT.
  void *scratch;
  const Services *services;
} Context;
_Static_assert(offsetof(Context, program_id) == 0, "Context.program_id");
_Static_assert(offsetof(Context, num_programs) == 12, "Context.num_programs");
_Static_assert(offsetof(Context, thread) == 24, "Context.thread");
_Static_assert(offsetof(Context, num_threads) == 28, "Context.num_threads");
_Static_assert(offsetof(Context, scratch) == 32, "Context.scratch");
_Static_assert(offsetof(Context, services) == 40, "Context.services");
_Static_assert(sizeof(Context) == 48, "Context");

// One program of a kernel. Every argument has a slot of 8 bytes: a pointer, an integer (low bytes), or the bits of a float (low bytes).
typedef void (*Kernel)(const uint64_t *arguments, Context *context);

// One iteration of a parallel loop; `scratch` is its thread's own.
typedef void (*Body)(void *environment, int64_t index, Context *context, void *scratch);

// What a program asks its runtime for.
typedef struct Services {
  // Ends the program, and does not return: the launch fails with the message, which names condition, file and line.
  void (*assert_failed)(Context *, const char *message);
  // Prints one operand of a tl.device_print: the elements at `data`, of which `shape` has `rank` extents.
  // `type` is kind << 8 | bits, kind 0 signed, 1 unsigned, 2 IEEE float, 3 bfloat16, 4 pointer.
  void (*print)(Context *, const char *prefix, int32_t type, int32_t hex, int32_t rank, const int64_t *shape, const void *data);
  // A clock that only moves forward.
  int64_t (*nanoseconds)(void);
  // Calls `body` for every index from `begin` to `end`, on threads of the program, each with
  // `scratch_bytes` of memory of its own.
  void (*parallel)(Context *, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes);
  // Phase barriers, each BARRIER_BYTES long and aligned, in the program's memory.
  void (*init_barriers)(Context *, Barrier *, int32_t count, int32_t flag, int32_t arrived, int32_t expected);
  void (*arrive)(Context *, Barrier *);
  // `where` is for the report of a deadlock.
  void (*wait)(Context *, Barrier *, int32_t flag, const char *where);
  void (*expect)(Context *, Barrier *, int32_t expected);
  // The launch's own barrier number `id`, as an address.
  void (*global_barrier)(Context *, int32_t id, int64_t *handle);
  // Ends the program, as `assert_failed` does: element `index` was accessed where there are `lower` to `upper` - 1.
  // `what` is an access through a pointer, `where` its line.
  void (*out_of_bounds)(Context *, const char *what, const char *where, int64_t index, int64_t lower, int64_t upper);
} Services;
_Static_assert(offsetof(Services, assert_failed) == 0, "Services.assert_failed");
_Static_assert(offsetof(Services, print) == 8, "Services.print");
_Static_assert(offsetof(Services, nanoseconds) == 16, "Services.nanoseconds");
_Static_assert(offsetof(Services, parallel) == 24, "Services.parallel");
_Static_assert(offsetof(Services, init_barriers) == 32, "Services.init_barriers");
_Static_assert(offsetof(Services, arrive) == 40, "Services.arrive");
_Static_assert(offsetof(Services, wait) == 48, "Services.wait");
_Static_assert(offsetof(Services, expect) == 56, "Services.expect");
_Static_assert(offsetof(Services, global_barrier) == 64, "Services.global_barrier");
_Static_assert(offsetof(Services, out_of_bounds) == 72, "Services.out_of_bounds");
_Static_assert(sizeof(Services) == 80, "Services");

// A kernel that is ready to run.
typedef struct Program {
  Kernel kernel;
  // Of each thread that runs programs.
  uint64_t scratch_bytes;
  // Where its code lies.
  const void *code;
  uint64_t code_bytes;
} Program;
_Static_assert(offsetof(Program, kernel) == 0, "Program.kernel");
_Static_assert(offsetof(Program, scratch_bytes) == 8, "Program.scratch_bytes");
_Static_assert(offsetof(Program, code) == 16, "Program.code");
_Static_assert(offsetof(Program, code_bytes) == 24, "Program.code_bytes");
_Static_assert(sizeof(Program) == 32, "Program");

// Why a launch failed, and the program that said so.
typedef struct Failure {
  // All -1 where it is not known.
  int32_t program_id[3];
  // Of FAILED.
  char message[4000];
  // Of FAULTED, with the signal's code.
  int32_t signal;
  int32_t code;
  // That was accessed, of FAULTED.
  uint64_t address;
  // In the kernel's code, of FAULTED and TIMED_OUT; 0 where it is not known.
  uint64_t place;
  // What the thread's stack has, of a fault at its end; else 0.
  uint64_t stack_bytes;
  // Of INTERRUPTED: the exception that a handler of signals has raised, as PyErr_Fetch gives it.
  void *raised[3];
} Failure;
_Static_assert(offsetof(Failure, program_id) == 0, "Failure.program_id");
_Static_assert(offsetof(Failure, message) == 12, "Failure.message");
_Static_assert(offsetof(Failure, signal) == 4012, "Failure.signal");
_Static_assert(offsetof(Failure, code) == 4016, "Failure.code");
_Static_assert(offsetof(Failure, address) == 4024, "Failure.address");
_Static_assert(offsetof(Failure, place) == 4032, "Failure.place");
_Static_assert(offsetof(Failure, stack_bytes) == 4040, "Failure.stack_bytes");
_Static_assert(offsetof(Failure, raised) == 4048, "Failure.raised");
_Static_assert(sizeof(Failure) == 4072, "Failure");
