// What the pool, the threads of parallel loops and the guard share: who runs, what is left to run, why it ends.
#pragma once
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include "runtime.h"

enum { LINE = 128, GLOBAL_BARRIERS = 64 };
enum { KNOCK = SIGURG };  // which nobody uses, and which does nothing without a handler
_Static_assert(LINE % SCRATCH_ALIGNMENT == 0, "scratch memory is aligned to LINE");

typedef struct Pool Pool;

// What a kernel did, for whoever reports it.
typedef struct Fault {
  int signal, code;
  uintptr_t address, place;
} Fault;

// One thread's state while it runs a program, or an iteration of a parallel loop.
typedef struct Worker {
  Context context;  // first: a service finds its worker from the kernel's context
  jmp_buf stop;
  Pool *pool;
  void *scratch;
  uint64_t scratch_bytes;
  uint64_t next, end;  // programs that it has taken and not begun
  pthread_t handle;    // of a thread of the pool
  _Atomic(pthread_t) thread;  // that runs it while it is `busy`
  _Atomic int busy;
  // Of the thread itself and of the signal handlers that interrupt it:
  volatile sig_atomic_t inside;   // the runtime works for the kernel, and may hold locks
  volatile sig_atomic_t knocked;  // a signal came meanwhile
  volatile sig_atomic_t touching; // memory that the kernel has named
  Fault fault;
  volatile uintptr_t stack;       // where the stack ends below which kernel code runs
  struct Worker *outer;           // whose iteration this one runs, on the same thread
  struct Worker *link;            // in a list of free ones
  struct Worker *crew;            // in the list of all of a team
} __attribute__((aligned(LINE))) Worker;

// What the thread that watches over launches knows of one (watch.c).
typedef struct Watch {
  _Atomic uint32_t launches;  // begun and ended: odd while one is under way
  _Atomic int looking;        // at the threads of the launch
  pthread_mutex_t lock;       // held meanwhile
  uint32_t seen, counted;     // of `launches`, at the last look
  int64_t since, deadline;    // nanoseconds
} Watch;

typedef struct Team {
  pthread_mutex_t lock;
  pthread_cond_t work, idle_again;
  struct Loop *loops;
  struct Waiter *waiters;
  _Atomic(struct Given *) given;
  Worker *free;
  _Atomic(Worker *) crew;            // every worker of the team; they are never freed
  _Atomic int has_threads;           // that were started for it at any time; they stay
  int open;                          // a launch is under way
  int32_t idle, summoned, visitors;  // threads that sleep, that were woken and have not looked yet, that run programs
  int barriers_used;                 // by this launch
  Barrier barriers[GLOBAL_BARRIERS];
  _Atomic int32_t running, blocked;  // threads that run a program or an iteration, that wait at a barrier
} Team;

// The threads of one launch at a time. Launches that overlap have a pool each.
struct Pool {
  _Atomic int taken;
  Worker *workers[MAX_THREADS];
  int32_t num_workers;  // that exist, thread 0 included
  const Program *program;
  const uint64_t *arguments;
  uint64_t programs, chunk;
  int32_t grid[3];
  _Atomic int32_t threads;  // may run at a time
  Failure failure;          // valid where `status` is not OK
  _Atomic int32_t limit __attribute__((aligned(LINE)));  // threads with this number or more end
  _Atomic uint32_t bell;                                 // rung for threads that wait, of which so many sleep:
  _Atomic uint32_t sleeping;
  _Atomic int spins;  // each thread may have a processor of its own, on which it may wait awake
  _Atomic uint32_t state __attribute__((aligned(LINE)));
  _Atomic int awaited;  // the caller sleeps until the last thread has left
  _Atomic uint64_t next __attribute__((aligned(LINE)));
  _Atomic int status __attribute__((aligned(LINE)));  // of the launch, as `run_grid` returns it
  _Atomic int told;    // where a launch was that took too long
  _Atomic int polled;  // its caller looks after signals of the process
  Watch watch;
  Team team;
  Pool *link;
};

static inline int has_failed(Pool *pool) { return atomic_load_explicit(&pool->status, memory_order_relaxed) != OK; }

// pool.c
extern _Atomic(Pool *) pools;  // all; none is ever freed
Worker *new_worker(Pool *pool, int32_t thread);
int grow_scratch(Worker *worker, uint64_t bytes);
Worker *begin_work(Worker *worker);   // on this thread, until end_work with what it gives
void end_work(Worker *worker, Worker *before);
Worker *get_running(void);            // safe in a signal handler
void run_programs(Worker *worker, uint64_t first, uint64_t end);  // those, which it has already, and others until none is left
int programs_left(Pool *pool);
int record_failure(Pool *pool, int status, const Context *context, const char *message);  // unless there is one; whether this was the first
int start_thread(pthread_t *thread, void *(*work)(void *), void *argument, size_t stack_bytes);
void for_each_busy(Pool *pool, void (*visit)(Worker *worker, int argument), int argument);  // while a launch is under way

// team.c
void enter_program(Pool *pool);  // around every thread's programs: it counts among those that run
void leave_program(Pool *pool);
void enter_launch(Pool *pool, int together);  // around those of the launch's caller, who may be alone: not `together` with the pool's threads
void leave_launch(Pool *pool, int together);
void make_team(Pool *pool);
void begin_launch(Pool *pool);
void end_launch(Pool *pool);     // waits for threads of the team that run programs
int take_given(Pool *pool, uint64_t *next, uint64_t *end);  // programs that a blocked thread had taken
int any_given(Pool *pool);
void wake_blocked(Pool *pool);   // the launch has failed: nobody waits any longer

// watch.c and guard.c on the host; guest.c has its own
uint32_t launch_begins(Pool *pool);  // its number, which `launch_ends` takes
void launch_ends(Pool *pool, uint32_t number);
int must_poll(void);           // whether this thread has to call `poll_caller` now and then while it waits
void poll_caller(Pool *pool);  // may end the launch; called without locks

// Around everything that the runtime does for a kernel on the kernel's thread: such code is not stopped in the middle, and a fault in it is ours.
static inline void enter_runtime(Context *context) {
  ((Worker *)context)->inside = 1;
  atomic_signal_fence(memory_order_seq_cst);
}
void leave_runtime(Context *context);  // does not return where the launch has failed

// Kernel code is called below this point of the stack, and left by a jump to `worker->stop`.
__attribute__((always_inline)) static inline void note_stack(Worker *worker) {
  uintptr_t stack;
#ifdef __x86_64__
  __asm__ volatile("mov %%rsp, %0" : "=r"(stack));
#else
  __asm__ volatile("mv %0, sp" : "=r"(stack));
#endif
  worker->stack = stack;
  worker->inside = worker->knocked = worker->touching = 0;
}
