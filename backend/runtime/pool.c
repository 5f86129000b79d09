// A persistent pool of threads that spreads the programs of a grid.
//
// The calling thread is thread 0 and works too. Programs are handed out in chunks by one atomic counter. A launch wakes one thread, and every
// thread that finds work wakes the next, so that a small grid costs its caller one system call, and a single program none. A thread
// that comes too late finds the launch closed and sleeps again; the caller waits only for threads that have joined.
// Threads own nothing of a launch but their place in `state`, so more of them can be started while a program waits for another.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool.h"

enum { STACK_BYTES = 8 << 20 };
static const uint32_t OPEN = 1u << 31;  // in `state`: threads may still join; the lower bits count those that have

static struct {
  pthread_mutex_t lock;  // held by a launch: one at a time
  Worker *workers[MAX_THREADS];
  int32_t num_workers;  // that exist, thread 0 included
  const Program *program;
  const uint64_t *arguments;
  Failure *failure;
  int64_t programs, chunk;
  int32_t grid[3], threads;  // `threads` may run at a time
  _Atomic int out_of_memory;
  _Atomic int32_t limit __attribute__((aligned(LINE)));  // threads with this number or more end
  _Atomic uint32_t bell;                                 // rung to wake sleeping threads
  _Atomic uint32_t state __attribute__((aligned(LINE)));
  _Atomic int64_t next __attribute__((aligned(LINE)));
  _Atomic int failed __attribute__((aligned(LINE)));
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

void (*on_thread_start)(void);
static _Thread_local Worker *running;
static _Thread_local Failure failure;  // of the last launch from this thread that failed

static void futex_wait(_Atomic uint32_t *word, uint32_t value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(_Atomic uint32_t *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

Worker *new_worker(int32_t thread) {
  Worker *worker = aligned_alloc(LINE, sizeof(Worker));
  if (worker) {
    memset(worker, 0, sizeof *worker);
    worker->context.thread = thread;
    worker->context.services = &services;
  }
  return worker;
}

int grow_scratch(Worker *worker, uint64_t bytes) {
  if (bytes <= worker->scratch_bytes) return 1;
  free(worker->scratch);
  bytes = (bytes + LINE - 1) / LINE * LINE;
  worker->scratch = aligned_alloc(LINE, bytes);
  worker->scratch_bytes = worker->scratch ? bytes : 0;
  return worker->scratch != NULL;
}

// The next programs that nobody has begun, if there are any; their first one's number goes into the context.
static int take_programs(Worker *worker) {
  if (worker->next >= worker->end && !(any_given() && take_given(&worker->next, &worker->end))) {
    worker->next = atomic_fetch_add_explicit(&pool.next, pool.chunk, memory_order_relaxed);
    if (worker->next >= pool.programs) return worker->end = worker->next, 0;
    worker->end = worker->next + pool.chunk < pool.programs ? worker->next + pool.chunk : pool.programs;
  }
  int64_t row = worker->next / pool.grid[0];
  int32_t *id = worker->context.program_id;
  id[0] = (int32_t)(worker->next % pool.grid[0]);
  id[1] = (int32_t)(row % pool.grid[1]);
  id[2] = (int32_t)(row / pool.grid[1]);
  return 1;
}

void run_programs(Worker *worker) {
  if (!grow_scratch(worker, pool.program->scratch_bytes)) {
    pool.out_of_memory = 1;
    pool.next = pool.programs;
    return;
  }
  Context *context = &worker->context;
  memcpy(context->num_programs, pool.grid, sizeof pool.grid);
  context->num_threads = pool.threads;
  context->scratch = worker->scratch;
  worker->next = worker->end = 0;
  worker->outer = NULL;
  running = worker;
  worker->busy = 1;
  if (!_setjmp(worker->stop)) {
    while (!has_failed() && take_programs(worker)) {
      while (worker->next < worker->end && !has_failed()) {
        worker->next++;
        pool.program->kernel(pool.arguments, context);
        if (++context->program_id[0] == pool.grid[0]) {
          context->program_id[0] = 0;
          if (++context->program_id[1] == pool.grid[1]) {
            context->program_id[1] = 0;
            context->program_id[2]++;
          }
        }
      }
    }
  }
#ifdef __x86_64__
  __builtin_ia32_sfence();  // stores past the caches are seen before the launch is over
#endif
  worker->busy = 0;
  running = NULL;
}

int programs_left(void) { return atomic_load(&pool.next) < pool.programs; }

int32_t thread_limit(void) { return pool.threads; }

int has_failed(void) { return atomic_load_explicit(&pool.failed, memory_order_relaxed); }

void record_failure(const Context *context, const char *message) {
  if (atomic_exchange(&pool.failed, 1)) return;
  if (context) memcpy(pool.failure->program_id, context->program_id, sizeof context->program_id);
  strncpy(pool.failure->message, message, FAILURE_BYTES - 1);
  pool.failure->message[FAILURE_BYTES - 1] = 0;
  pool.next = pool.programs;
}

void fail_program(Context *context, const char *message) {
  record_failure(context, message);
  wake_blocked();
  _longjmp(((Worker *)context)->stop, 1);
}

const Failure *last_failure(void) { return &failure; }

Worker *set_running(Worker *worker) {
  Worker *before = running;
  running = worker;
  return before;
}

Context *current_context(void) { return running ? &running->context : NULL; }

void signal_busy_thread(int signal) {
  for (int32_t i = 0; i < pool.num_workers; i++)
    if (pool.workers[i]->busy) {
      pthread_kill(pool.workers[i]->thread, signal);
      return;
    }
}

static int join(void) {
  uint32_t state = atomic_load(&pool.state);
  while (state & OPEN)
    if (atomic_compare_exchange_weak(&pool.state, &state, state + 1)) return 1;
  return 0;
}

static void *work(void *argument) {
  Worker *worker = argument;
  if (on_thread_start) on_thread_start();
  uint32_t seen = 0;
  for (;;) {
    uint32_t bell = atomic_load(&pool.bell);
    if (worker->context.thread >= atomic_load(&pool.limit)) break;
    if (bell == seen) {
      futex_wait(&pool.bell, seen);
      continue;
    }
    seen = bell;
    if (!join()) continue;
    if (programs_left()) futex_wake(&pool.bell, 1);
    enter_program();
    run_programs(worker);
    leave_program();
    if (atomic_fetch_sub(&pool.state, 1) == 1) futex_wake(&pool.state, 1);
  }
  return NULL;
}

int start_thread(pthread_t *thread, void *(*work)(void *), void *argument, size_t stack_bytes) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  // Signals are for the threads of the process that the pool lives in, except those that a kernel's own fault raises.
  sigset_t all, old;
  sigfillset(&all);
  sigdelset(&all, SIGSEGV), sigdelset(&all, SIGBUS), sigdelset(&all, SIGILL), sigdelset(&all, SIGFPE), sigdelset(&all, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  int started = !pthread_create(thread, &attributes, work, argument);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

// Start or end threads until `threads` exist; fewer where the system gives no more.
static void resize(int32_t threads) {
  if (threads < pool.num_workers) {
    pool.limit = threads;
    atomic_fetch_add(&pool.bell, 1);
    futex_wake(&pool.bell, MAX_THREADS);
    while (pool.num_workers > threads) {
      Worker *worker = pool.workers[--pool.num_workers];
      pthread_join(worker->thread, NULL);
      free(worker->scratch);
      free(worker);
    }
  }
  pool.limit = threads;
  while (pool.num_workers < threads) {
    Worker *worker = new_worker(pool.num_workers);
    if (!worker || !start_thread(&worker->thread, work, worker, STACK_BYTES)) {
      free(worker);
      break;
    }
    pool.workers[pool.num_workers++] = worker;
  }
}

// The child of a fork has none of its parent's threads; what they owned is left to it as garbage.
static void forget_threads(void) {
  pthread_mutex_init(&pool.lock, NULL);
  pool.num_workers = 0;
  pool.state = 0;
  running = NULL;
  forget_team();
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_threads); }

int run_grid(const Program *program, const uint64_t *arguments, int32_t x, int32_t y, int32_t z, int32_t threads) {
  pthread_mutex_lock(&pool.lock);
  if (!pool.num_workers) {
    if (!(pool.workers[0] = new_worker(0))) {
      pthread_mutex_unlock(&pool.lock);
      return NO_MEMORY;
    }
    pool.num_workers = 1;
  }
  pool.workers[0]->thread = pthread_self();
  pool.programs = (int64_t)x * y * z;
  threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
  // A single program leaves the pool as it is.
  if (pool.programs > 1 && threads != pool.num_workers) resize(threads);
  pool.threads = pool.programs > 1 ? pool.num_workers : threads;
  pool.chunk = pool.programs / (pool.threads * 16);
  pool.chunk = pool.chunk < 1 ? 1 : pool.chunk > 256 ? 256 : pool.chunk;
  pool.program = program, pool.arguments = arguments, pool.failure = &failure;
  pool.grid[0] = x, pool.grid[1] = y, pool.grid[2] = z;
  pool.failed = pool.out_of_memory = 0;
  pool.next = 0;
  begin_launch();
  enter_program();
  if (pool.programs > 1 && pool.threads > 1) {
    atomic_store(&pool.state, OPEN);
    atomic_fetch_add(&pool.bell, 1);
    futex_wake(&pool.bell, 1);
    run_programs(pool.workers[0]);
    leave_program();
    uint32_t joined = atomic_fetch_and(&pool.state, ~OPEN) & ~OPEN;
    for (; joined; joined = atomic_load(&pool.state)) futex_wait(&pool.state, joined);
  } else {
    run_programs(pool.workers[0]);
    leave_program();
  }
  end_launch();
  int result = pool.out_of_memory ? NO_MEMORY : pool.failed ? FAILED : OK;
  pthread_mutex_unlock(&pool.lock);
  return result;
}

int run_one(const Program *program, const uint64_t *arguments) { return run_grid(program, arguments, 1, 1, 1, 1); }
