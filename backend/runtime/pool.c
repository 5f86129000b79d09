// Persistent pools of threads that spread the programs of a grid.
//
// A launch takes a pool, or makes one where all are taken: launches of different threads do not wait for each other. The calling thread is
// thread 0 and works too. Programs are handed out in chunks by one atomic counter. A launch wakes one thread, and every
// thread that finds work wakes the next, so that a small grid costs its caller one system call, and a single program none. A thread
// that comes too late finds the launch closed and waits for the next one; the caller waits only for threads that have joined.
// To wake a thread that sleeps takes as long as a small launch. Where each thread has a processor of its own, one that waits looks for its
// work for a while before it sleeps, and nothing is woken where nothing sleeps.
// Threads own nothing of a launch but their place in `state`, so more of them can be started while a program waits for another.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "pool.h"

enum { STACK_BYTES = 8 << 20, POLL_NANOSECONDS = 100000000, SPIN_NANOSECONDS = 100000, LOOKS = 64 };
static const uint32_t OPEN = 1u << 31;  // in `state`: threads may still join; the lower bits count those that have

_Atomic(Pool *) pools;
void (*on_thread_start)(void);
// In the thread's own block, so that a signal handler may read it in a thread that never ran a kernel. There is little room there.
static _Thread_local Worker *running __attribute__((tls_model("initial-exec")));
static pthread_key_t failure;  // of the last launch from this thread that failed, in memory of its own

static void futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *longest) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, longest, NULL, 0);
}
static void futex_wake(_Atomic uint32_t *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec;
}

// Tells the processor that this thread only waits.
static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__riscv)
  __asm__ volatile(".word 0x0100000f");  // pause, of Zihintpause; a hint where it is not known
#endif
}

// Whether `word` is no longer `value`, after a look at it for a while where the pool's threads may do that.
static int has_changed(Pool *pool, _Atomic uint32_t *word, uint32_t value) {
  if (atomic_load(word) != value) return 1;
  if (!atomic_load_explicit(&pool->spins, memory_order_relaxed)) return 0;
  int64_t end = nanoseconds() + SPIN_NANOSECONDS;
  do {
    for (int i = 0; i < LOOKS; i++) {
      if (atomic_load_explicit(word, memory_order_acquire) != value) return 1;
      relax();
    }
  } while (nanoseconds() < end);
  return 0;
}

// Threads count themselves before they look at the bell for the last time, and the bell is rung before they are counted: none is missed.
static void sleep_until_rung(Pool *pool, uint32_t seen) {
  atomic_fetch_add(&pool->sleeping, 1);
  futex_wait(&pool->bell, seen, NULL);
  atomic_fetch_sub(&pool->sleeping, 1);
}
static void wake_one(Pool *pool) {
  if (atomic_load(&pool->sleeping)) futex_wake(&pool->bell, 1);
}

Worker *new_worker(Pool *pool, int32_t thread) {
  Worker *worker = aligned_alloc(LINE, sizeof(Worker));
  if (worker) {
    memset(worker, 0, sizeof *worker);
    worker->pool = pool;
    worker->context.thread = thread;
    worker->context.services = &services;
  }
  return worker;
}

int grow_scratch(Worker *worker, uint64_t bytes) {
  if (bytes <= worker->scratch_bytes) return 1;
  free(worker->scratch);
  worker->scratch = NULL, worker->scratch_bytes = 0;
  if (bytes > UINT64_MAX / 2 || !has_memory(bytes)) return 0;
  bytes = (bytes + LINE - 1) / LINE * LINE;
  worker->scratch = aligned_alloc(LINE, bytes);
  worker->scratch_bytes = worker->scratch ? bytes : 0;
  return worker->scratch != NULL;
}

// Programs that a thread which blocks has left to others.
static int take_back(Worker *worker) {
  enter_runtime(&worker->context);
  int taken = take_given(worker->pool, &worker->next, &worker->end);
  leave_runtime(&worker->context);
  return taken;
}

// The next programs that nobody has begun, if there are any; their first one's number goes into the context.
static int take_programs(Worker *worker) {
  Pool *pool = worker->pool;
  if (worker->next >= worker->end && !(any_given(pool) && take_back(worker))) {
    worker->next = atomic_load_explicit(&pool->next, memory_order_relaxed);  // the end is seen without taking the line from others
    if (worker->next < pool->programs) worker->next = atomic_fetch_add_explicit(&pool->next, pool->chunk, memory_order_relaxed);
    if (worker->next >= pool->programs) return worker->end = worker->next, 0;
    worker->end = pool->programs - worker->next > pool->chunk ? worker->next + pool->chunk : pool->programs;
  }
  int32_t *id = worker->context.program_id;
  uint64_t extent = (uint64_t)pool->grid[0];
  if (worker->next < extent) {  // without divisions, which take as long as the rest
    id[0] = (int32_t)worker->next, id[1] = id[2] = 0;
    return 1;
  }
  uint64_t row = worker->next / extent;
  id[0] = (int32_t)(worker->next % extent);
  id[1] = (int32_t)(row % (uint64_t)pool->grid[1]);
  id[2] = (int32_t)(row / (uint64_t)pool->grid[1]);
  return 1;
}

void run_programs(Worker *worker, uint64_t first, uint64_t end) {
  Pool *pool = worker->pool;
  const Program *program = pool->program;
  if (!grow_scratch(worker, program->scratch_bytes)) {
    record_failure(pool, NO_MEMORY, NULL, "");
    return;
  }
  Context *context = &worker->context;
  memcpy(context->num_programs, pool->grid, sizeof pool->grid);
  context->num_threads = atomic_load_explicit(&pool->threads, memory_order_relaxed);
  context->scratch = worker->scratch;
  worker->next = first, worker->end = end;
  worker->outer = NULL;
  Worker *before = begin_work(worker);
  if (!_setjmp(worker->stop)) {
    note_stack(worker);
    while (!has_failed(pool) && take_programs(worker)) {
      while (worker->next < worker->end && !has_failed(pool)) {
        worker->next++;
        program->kernel(pool->arguments, context);
        if (++context->program_id[0] == pool->grid[0]) {
          context->program_id[0] = 0;
          if (++context->program_id[1] == pool->grid[1]) {
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
  end_work(worker, before);
}

int programs_left(Pool *pool) { return atomic_load(&pool->next) < pool->programs; }

int record_failure(Pool *pool, int status, const Context *context, const char *message) {
  int none = OK;
  if (!atomic_compare_exchange_strong(&pool->status, &none, status)) return 0;
  Failure *failure = &pool->failure;
  failure->signal = failure->code = 0;
  failure->address = failure->place = failure->stack_bytes = 0;
  memset(failure->program_id, -1, sizeof failure->program_id);
  if (context) memcpy(failure->program_id, context->program_id, sizeof context->program_id);
  strncpy(failure->message, message, FAILURE_BYTES - 1);
  failure->message[FAILURE_BYTES - 1] = 0;
  atomic_store(&pool->next, pool->programs);
  return 1;
}

void fail_program(Context *context, const char *message) {
  Worker *worker = (Worker *)context;
  enter_runtime(context);
  record_failure(worker->pool, FAILED, context, message);
  wake_blocked(worker->pool);
  _longjmp(worker->stop, 1);
}

void leave_runtime(Context *context) {
  Worker *worker = (Worker *)context;
  if (worker->knocked) {
    worker->knocked = 0;
    poll_caller(worker->pool);
  }
  if (has_failed(worker->pool)) _longjmp(worker->stop, 1);
  atomic_signal_fence(memory_order_seq_cst);
  worker->inside = 0;
}

const Failure *last_failure(void) { return pthread_getspecific(failure); }

// Keep it for the calling thread. The pool's is the next launch's.
static int keep_failure(const Failure *of_launch) {
  Failure *own = pthread_getspecific(failure);
  if (!own && (!(own = malloc(sizeof *own)) || pthread_setspecific(failure, own))) return 0;
  memcpy(own, of_launch, sizeof *own);
  return 1;
}

Worker *begin_work(Worker *worker) {
  Worker *before = running;
  atomic_store_explicit(&worker->thread, pthread_self(), memory_order_relaxed);
  atomic_store_explicit(&worker->busy, 1, memory_order_release);
  atomic_signal_fence(memory_order_seq_cst);
  running = worker;
  return before;
}

void end_work(Worker *worker, Worker *before) {
  atomic_signal_fence(memory_order_seq_cst);
  running = before;
  worker->inside = 0;
  atomic_store_explicit(&worker->busy, 0, memory_order_release);
}

Worker *get_running(void) { return running; }

Context *current_context(void) { return running ? &running->context : NULL; }

void for_each_busy(Pool *pool, void (*visit)(Worker *worker, int argument), int argument) {
  for (int32_t i = 0; i < pool->num_workers; i++)
    if (atomic_load_explicit(&pool->workers[i]->busy, memory_order_acquire)) visit(pool->workers[i], argument);
  for (Worker *worker = atomic_load(&pool->team.crew); worker; worker = worker->crew)
    if (atomic_load_explicit(&worker->busy, memory_order_acquire)) visit(worker, argument);
}

static int join(Pool *pool) {
  uint32_t state = atomic_load(&pool->state);
  while (state & OPEN)
    if (atomic_compare_exchange_weak(&pool->state, &state, state + 1)) return 1;
  return 0;
}

static void *work(void *argument) {
  Worker *worker = argument;
  Pool *pool = worker->pool;
  if (on_thread_start) on_thread_start();
  uint32_t seen = 0;
  for (;;) {
    uint32_t bell = atomic_load(&pool->bell);
    if (worker->context.thread >= atomic_load(&pool->limit)) break;
    if (bell == seen) {
      if (!has_changed(pool, &pool->bell, seen)) sleep_until_rung(pool, seen);
      continue;
    }
    seen = bell;
    if (!join(pool)) continue;
    if (programs_left(pool)) wake_one(pool);
    enter_program(pool);
    run_programs(worker, 0, 0);
    leave_program(pool);
    if (atomic_fetch_sub(&pool->state, 1) == 1 && atomic_load(&pool->awaited)) futex_wake(&pool->state, 1);
  }
  return NULL;
}

int start_thread(pthread_t *thread, void *(*work)(void *), void *argument, size_t stack_bytes) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  // Signals are for the threads of the process that the pool lives in, except those that a kernel's own fault raises, and the runtime's.
  sigset_t all, old;
  sigfillset(&all);
  const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, KNOCK, SIGUSR1};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  int started = !pthread_create(thread, &attributes, work, argument);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return started;
}

// Start or end threads until `threads` exist; fewer where the system gives no more.
static void resize(Pool *pool, int32_t threads) {
  if (threads < pool->num_workers) {
    atomic_store(&pool->limit, threads);
    atomic_fetch_add(&pool->bell, 1);
    futex_wake(&pool->bell, MAX_THREADS);
    while (pool->num_workers > threads) {
      Worker *worker = pool->workers[--pool->num_workers];
      pthread_join(worker->handle, NULL);
      free(worker->scratch);
      free(worker);
    }
  }
  atomic_store(&pool->limit, threads);
  cpu_set_t processors;
  atomic_store(&pool->spins, !sched_getaffinity(0, sizeof processors, &processors) && CPU_COUNT(&processors) >= threads);
  while (pool->num_workers < threads) {
    Worker *worker = new_worker(pool, pool->num_workers);
    if (!worker || !start_thread(&worker->handle, work, worker, STACK_BYTES)) {
      free(worker);
      break;
    }
    pool->workers[pool->num_workers++] = worker;
  }
}

// Make a pool without threads of what may have been another process's: what that owned is left as garbage.
static void make_pool(Pool *pool) {
  Pool *link = pool->link;
  memset(pool, 0, sizeof *pool);
  pool->link = link;
  pthread_mutex_init(&pool->watch.lock, NULL);
  make_team(pool);
}

// The child of a fork has none of its parent's threads.
static void forget_threads(void) {
  for (Pool *pool = atomic_load(&pools); pool; pool = pool->link) make_pool(pool);
  running = NULL;
}

__attribute__((constructor)) static void prepare(void) {
  pthread_key_create(&failure, free);
  pthread_atfork(NULL, NULL, forget_threads);
}

// A pool that no launch has; NULL without memory.
static Pool *take_pool(void) {
  for (Pool *pool = atomic_load(&pools); pool; pool = pool->link)
    if (!atomic_exchange(&pool->taken, 1)) return pool;
  Pool *pool = aligned_alloc(LINE, sizeof(Pool));
  if (!pool) return NULL;
  pool->link = NULL;
  make_pool(pool);
  atomic_store(&pool->taken, 1);
  pool->link = atomic_load(&pools);
  while (!atomic_compare_exchange_weak(&pools, &pool->link, pool)) continue;
  return pool;
}

// Wait until every thread that has joined the launch has left it.
static void wait_for_threads(Pool *pool) {
  const struct timespec poll = {0, POLL_NANOSECONDS}, *longest = must_poll() ? &poll : NULL;
  uint32_t joined = atomic_fetch_and(&pool->state, ~OPEN) & ~OPEN;
  for (; joined; joined = atomic_load(&pool->state)) {
    if (has_changed(pool, &pool->state, joined)) continue;
    atomic_store(&pool->awaited, 1);
    futex_wait(&pool->state, joined, longest);
    atomic_store(&pool->awaited, 0);
    if (longest) poll_caller(pool);
  }
}

static int run(Pool *pool, const Program *program, const uint64_t *arguments, const int32_t grid[3], uint64_t first, uint64_t end,
               int32_t threads) {
  if (!pool->num_workers) {
    if (!(pool->workers[0] = new_worker(pool, 0))) return NO_MEMORY;
    pool->num_workers = 1;
  }
  pool->programs = end;
  threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
  // A single program leaves the pool as it is.
  uint64_t count = end - first;
  if (count > 1 && threads != pool->num_workers) resize(pool, threads);
  if (count > 1) threads = pool->num_workers;
  if (program->scratch_bytes > pool->workers[0]->scratch_bytes) {
    uint64_t all;
    if (__builtin_mul_overflow(program->scratch_bytes, (uint64_t)threads, &all) || !has_memory(all)) return NO_MEMORY;
  }
  atomic_store_explicit(&pool->threads, threads, memory_order_relaxed);
  pool->chunk = count < 32 ? 1 : count / ((uint64_t)threads * 16);
  pool->chunk = pool->chunk < 1 ? 1 : pool->chunk > 256 ? 256 : pool->chunk;
  pool->program = program, pool->arguments = arguments;
  memcpy(pool->grid, grid, sizeof pool->grid);
  pool->failure.raised[1] = NULL;
  atomic_store_explicit(&pool->status, OK, memory_order_relaxed);
  // The caller has its first programs before there is anybody whom it would have to keep from them.
  uint64_t begun = first + (pool->chunk < count ? pool->chunk : count);
  atomic_store_explicit(&pool->next, begun, memory_order_relaxed);
  uint32_t number = launch_begins(pool);
  begin_launch(pool);
  int together = count > 1 && threads > 1;
  enter_launch(pool, together);
  if (together) {
    atomic_store(&pool->state, OPEN);
    atomic_fetch_add(&pool->bell, 1);
    wake_one(pool);
  }
  run_programs(pool->workers[0], first, begun);
  leave_launch(pool, together);
  if (together) wait_for_threads(pool);
  end_launch(pool);
  launch_ends(pool, number);
  int status = atomic_load(&pool->status);
  if (pool->failure.raised[1]) status = INTERRUPTED;
  return status == OK || keep_failure(&pool->failure) ? status : NO_MEMORY;
}

int run_range(const Program *program, const uint64_t *arguments, const int32_t grid[3], uint64_t first, uint64_t end, int32_t threads) {
  Pool *pool = take_pool();
  if (!pool) return NO_MEMORY;
  int status = run(pool, program, arguments, grid, first, end, threads);
  atomic_store_explicit(&pool->taken, 0, memory_order_release);
  return status;
}

int run_grid(const Program *program, const uint64_t *arguments, int32_t x, int32_t y, int32_t z, int32_t threads) {
  const int32_t grid[3] = {x, y, z};
  return run_range(program, arguments, grid, 0, (uint64_t)x * (uint64_t)y * (uint64_t)z, threads);
}

int run_one(const Program *program, const uint64_t *arguments) { return run_grid(program, arguments, 1, 1, 1, 1); }
