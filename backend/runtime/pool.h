// What the pool and the threads of parallel loops share: who runs, what is left to run.
#pragma once
#include <pthread.h>
#include <setjmp.h>

#include "runtime.h"

enum { LINE = 128 };
_Static_assert(LINE % SCRATCH_ALIGNMENT == 0, "scratch memory is aligned to LINE");

// One thread's state while it runs a program, or an iteration of a parallel loop.
typedef struct Worker {
  Context context;  // first: a service finds its worker from the kernel's context
  jmp_buf stop;
  void *scratch;
  uint64_t scratch_bytes;
  int64_t next, end;  // programs that it has taken and not begun
  pthread_t thread;
  _Atomic int busy;
  struct Worker *outer;  // whose iteration this one runs, on the same thread
  struct Worker *link;   // in a list of free ones
} __attribute__((aligned(LINE))) Worker;

// pool.c
Worker *new_worker(int32_t thread);
int grow_scratch(Worker *worker, uint64_t bytes);
Worker *set_running(Worker *worker);          // of this thread; gives the one before
void run_programs(Worker *worker);            // until none is left
int programs_left(void);
int32_t thread_limit(void);                   // of threads that run at a time
int has_failed(void);
void record_failure(const Context *context, const char *message);  // the launch's, unless it has one
int start_thread(pthread_t *thread, void *(*work)(void *), void *argument, size_t stack_bytes);

// team.c
void enter_program(void);  // around every thread's programs: it counts among those that run
void leave_program(void);
void begin_launch(void);   // under the pool's lock
void end_launch(void);     // waits for threads of the team that run programs
void forget_team(void);    // in the child of a fork
int take_given(int64_t *next, int64_t *end);  // programs that a blocked thread had taken
int any_given(void);
void wake_blocked(void);   // the launch has failed: nobody waits any longer
