// Parallel loops and barriers: threads that join in while a program waits for others.
//
// A thread that blocks at a barrier may not keep anybody from arriving there. So the team has as many threads as are needed: whenever fewer
// threads run than the launch may use, and an iteration or a program is left that nobody has begun, another one is woken or started. Threads of the
// team stay for later launches. All state is under one lock; a launch without parallel loops does not take it while there are no such threads.
// A launch whose threads are all blocked, with nothing left to begin, is a deadlock: it fails, with the line of one that waits.
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pool.h"

enum { STACK_BYTES = 1 << 20, POLL_NANOSECONDS = 100000000 };

typedef struct Loop {
  Body body;
  void *environment;
  const Context *parent;
  int64_t next, end, step, running;  // index of the next iteration, and how many run
  uint64_t scratch_bytes;
  int parent_waits;
  pthread_cond_t done;
  struct Loop *link;
} Loop;

typedef struct Waiter {
  Barrier *barrier;
  int32_t flag;
  int released;
  const Context *context;
  const char *where;  // in the kernel's image
  int where_bytes;
  pthread_cond_t wake;
  struct Waiter *link;
} Waiter;

typedef struct Given {  // programs that a thread had taken when it blocked
  uint64_t next, end;
  struct Given *link;
} Given;

static Pool *pool_of(const Context *context) { return ((const Worker *)context)->pool; }

static Loop *open_loop(Team *team) {
  for (Loop *loop = team->loops; loop; loop = loop->link)
    if (loop->next < loop->end) return loop;
  return NULL;
}

static int work_left(Pool *pool) {
  Team *team = &pool->team;
  return team->open && !has_failed(pool) && (open_loop(team) || any_given(pool) || programs_left(pool));
}

static int32_t thread_limit(Pool *pool) { return atomic_load_explicit(&pool->threads, memory_order_relaxed); }

static void *join_in(void *argument);
static void release_all(Team *team);

// Have one more thread run if there is something for it; it looks for the next itself.
static void summon(Pool *pool) {
  Team *team = &pool->team;
  if (team->running + team->summoned >= thread_limit(pool) || !work_left(pool)) return;
  if (team->idle > team->summoned) {
    team->summoned++;
    pthread_cond_signal(&team->work);
    return;
  }
  pthread_t thread;
  team->summoned++;
  atomic_store(&team->has_threads, 1);
  if (start_thread(&thread, join_in, pool, STACK_BYTES)) {
    pthread_detach(thread);
    return;
  }
  team->summoned--;
  if (team->running || team->summoned) return;
  record_failure(pool, FAILED, team->waiters ? team->waiters->context : NULL, "the system gives no more threads");
  release_all(team);
}

static void release_all(Team *team) {
  for (Waiter *waiter = team->waiters; waiter; waiter = waiter->link)
    if (!waiter->released) waiter->released = 1, team->running++, pthread_cond_signal(&waiter->wake);
}

// After fewer threads run: others take over, or nobody ever will.
static void check(Pool *pool) {
  Team *team = &pool->team;
  summon(pool);
  if (team->running || team->summoned || !team->waiters || work_left(pool)) return;
  Waiter *oldest = team->waiters;
  while (oldest->link) oldest = oldest->link;
  if (oldest->released) return;
  char message[FAILURE_BYTES];
  snprintf(message, sizeof message, "deadlock: nobody is left to arrive at the barrier that is waited for at %.*s", oldest->where_bytes,
           oldest->where);
  record_failure(pool, FAILED, oldest->context, message);
  release_all(team);
}

void enter_program(Pool *pool) { atomic_fetch_add(&pool->team.running, 1); }

void leave_program(Pool *pool) {
  Team *team = &pool->team;
  atomic_fetch_sub(&team->running, 1);
  if (atomic_load(&team->blocked)) {
    pthread_mutex_lock(&team->lock);
    check(pool);
    pthread_mutex_unlock(&team->lock);
  }
}

// Where no other thread runs, and none was ever started for the team, nobody else counts: instructions with a lock would take as long as the rest.
static int is_alone(Team *team, int together) { return !together && !atomic_load(&team->has_threads); }

void enter_launch(Pool *pool, int together) {
  if (is_alone(&pool->team, together))
    atomic_store_explicit(&pool->team.running, 1, memory_order_relaxed);
  else
    enter_program(pool);
}

void leave_launch(Pool *pool, int together) {
  if (is_alone(&pool->team, together))
    atomic_store_explicit(&pool->team.running, 0, memory_order_relaxed);
  else
    leave_program(pool);
}

void make_team(Pool *pool) {
  Team *team = &pool->team;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->work, NULL);
  pthread_cond_init(&team->idle_again, NULL);
}

// Wait for a signal of the condition, under the team's lock. One that never comes must not keep the caller's process from its own signals.
static void block(Pool *pool, pthread_cond_t *condition) {
  if (!must_poll()) {
    pthread_cond_wait(condition, &pool->team.lock);
    return;
  }
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += POLL_NANOSECONDS;
  if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
  if (pthread_cond_timedwait(condition, &pool->team.lock, &until) != ETIMEDOUT) return;
  pthread_mutex_unlock(&pool->team.lock);
  poll_caller(pool);
  pthread_mutex_lock(&pool->team.lock);
}

// Where a launch begins and where it ends, nobody but the team's own threads looks at the team.
void begin_launch(Pool *pool) {
  Team *team = &pool->team;
  int shared = atomic_load(&team->has_threads);
  if (shared) pthread_mutex_lock(&team->lock);
  if (team->barriers_used) memset(team->barriers, 0, sizeof team->barriers);
  team->barriers_used = 0;
  team->open = 1;
  if (shared) pthread_mutex_unlock(&team->lock);
}

void end_launch(Pool *pool) {
  Team *team = &pool->team;
  if (!atomic_load(&team->has_threads)) {
    team->open = 0;
    return;
  }
  pthread_mutex_lock(&team->lock);
  while (team->visitors) block(pool, &team->idle_again);
  team->open = 0;
  pthread_mutex_unlock(&team->lock);
}

int any_given(Pool *pool) { return atomic_load_explicit(&pool->team.given, memory_order_relaxed) != NULL; }

int take_given(Pool *pool, uint64_t *next, uint64_t *end) {
  Team *team = &pool->team;
  pthread_mutex_lock(&team->lock);
  Given *given = team->given;
  if (given) {
    team->given = given->link;
    *next = given->next, *end = given->end;
    free(given);
  }
  pthread_mutex_unlock(&team->lock);
  return given != NULL;
}

// Iterations

// A worker that nobody uses. Called with the lock held.
static Worker *borrow_worker(Pool *pool) {
  Team *team = &pool->team;
  Worker *worker = team->free;
  if (worker) {
    team->free = worker->link;
  } else if ((worker = new_worker(pool, 0))) {
    worker->crew = team->crew;
    atomic_store(&team->crew, worker);
  }
  return worker;
}

static void give_back(Worker *worker) {
  Team *team = &worker->pool->team;
  worker->link = team->free;
  team->free = worker;
}

// One iteration, on this thread.
static void run_iteration(Worker *worker, const Loop *loop, int64_t index) {
  int32_t thread = worker->context.thread;
  worker->context = *loop->parent;
  worker->context.thread = thread;
  worker->context.scratch = worker->scratch;
  worker->next = worker->end = 0;
  Worker *before = begin_work(worker);
  worker->outer = before;
  if (!_setjmp(worker->stop)) {
    note_stack(worker);
    loop->body(loop->environment, index, &worker->context, worker->scratch);
  }
  end_work(worker, before);
}

// Run iterations of `loop` while there are any, and while no more threads run than may. Called and left with the lock held.
static void run_iterations(Pool *pool, Loop *loop, int is_parent) {
  Team *team = &pool->team;
  Worker *worker = borrow_worker(pool);
  if (!worker || !grow_scratch(worker, loop->scratch_bytes)) {
    record_failure(pool, FAILED, loop->parent, "no memory for a thread of a parallel loop");
    if (worker) give_back(worker);
    return;
  }
  while (loop->next < loop->end && !has_failed(pool)) {
    if (!is_parent && team->running > thread_limit(pool)) break;
    int64_t index = loop->next;
    if (__builtin_add_overflow(index, loop->step, &loop->next)) loop->next = loop->end;
    loop->running++;
    summon(pool);
    pthread_mutex_unlock(&team->lock);
    run_iteration(worker, loop, index);
    pthread_mutex_lock(&team->lock);
    loop->running--;
  }
  give_back(worker);
}

static int is_done(Pool *pool, const Loop *loop) { return !loop->running && (loop->next >= loop->end || has_failed(pool)); }

static void *join_in(void *argument) {
  Pool *pool = argument;
  Team *team = &pool->team;
  if (on_thread_start) on_thread_start();
  pthread_mutex_lock(&team->lock);
  for (;;) {
    team->summoned--;
    while (team->running < thread_limit(pool) && work_left(pool)) {
      team->running++;
      Loop *loop = open_loop(team);
      if (loop) {
        run_iterations(pool, loop, 0);
        if (loop->parent_waits && is_done(pool, loop)) {
          loop->parent_waits = 0;
          team->running++;
          pthread_cond_signal(&loop->done);
        }
      } else {
        Worker *worker = borrow_worker(pool);
        team->visitors++;
        summon(pool);
        pthread_mutex_unlock(&team->lock);
        if (worker) run_programs(worker, 0, 0);
        pthread_mutex_lock(&team->lock);
        if (worker) give_back(worker);
        if (!--team->visitors) pthread_cond_broadcast(&team->idle_again);
      }
      team->running--;
    }
    check(pool);
    team->idle++;
    do pthread_cond_wait(&team->work, &team->lock);
    while (!team->summoned);
    team->idle--;
  }
  return NULL;
}

// Let others begin the programs that this thread has taken: it is about to wait.
static void give_programs(Team *team, Worker *worker) {
  for (; worker; worker = worker->outer) {
    Given *given = worker->next < worker->end ? malloc(sizeof *given) : NULL;
    if (!given) continue;
    *given = (Given){worker->next, worker->end, team->given};
    atomic_store(&team->given, given);
    worker->end = worker->next;
  }
}

void run_parallel(Context *context, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes) {
  Pool *pool = pool_of(context);
  Team *team = &pool->team;
  if (step < 1) fail_program(context, "the step of a parallel loop must be positive");
  if (begin >= end) return;
  Loop loop = {body, environment, context, begin, end, step, 0, scratch_bytes, 0, PTHREAD_COND_INITIALIZER, NULL};
  pthread_mutex_lock(&team->lock);
  loop.link = team->loops;
  team->loops = &loop;
  run_iterations(pool, &loop, 1);
  if (!is_done(pool, &loop)) {
    give_programs(team, (Worker *)context);
    loop.parent_waits = 1;
    team->running--;
    check(pool);
    while (loop.parent_waits) block(pool, &loop.done);
  }
  Loop **place = &team->loops;
  while (*place != &loop) place = &(*place)->link;
  *place = loop.link;
  pthread_mutex_unlock(&team->lock);
  pthread_cond_destroy(&loop.done);
}

// Barriers

void init_barriers(Context *context, Barrier *barriers, int32_t count, int32_t flag, int32_t arrived, int32_t expected) {
  for (int32_t i = 0; i < count; i++) barriers[i] = (Barrier){.phase = flag != 0, .arrived = arrived, .expected = expected};
}

static void flip_if_complete(Team *team, Barrier *barrier) {
  if (barrier->arrived < 1 || barrier->arrived < barrier->expected) return;
  barrier->arrived = 0;
  int32_t phase = !barrier->phase;
  atomic_store(&barrier->phase, phase);
  for (Waiter *waiter = team->waiters; waiter; waiter = waiter->link)
    if (waiter->barrier == barrier && waiter->flag == phase && !waiter->released) {
      waiter->released = 1;
      team->running++;
      pthread_cond_signal(&waiter->wake);
    }
}

void arrive_at(Context *context, Barrier *barrier) {
  Team *team = &pool_of(context)->team;
  pthread_mutex_lock(&team->lock);
  barrier->arrived++;
  flip_if_complete(team, barrier);
  pthread_mutex_unlock(&team->lock);
}

void expect_at(Context *context, Barrier *barrier, int32_t expected) {
  Team *team = &pool_of(context)->team;
  pthread_mutex_lock(&team->lock);
  barrier->expected = expected;
  flip_if_complete(team, barrier);
  pthread_mutex_unlock(&team->lock);
}

void wait_at(Context *context, Barrier *barrier, int32_t flag, const char *where) {
  flag = flag != 0;
  if (atomic_load(&barrier->phase) == flag) return;
  // Now, as part of the program: on a board, memory that nobody has read yet comes when a program reads it.
  int where_bytes = (int)strlen(where);
  Pool *pool = pool_of(context);
  Team *team = &pool->team;
  pthread_mutex_lock(&team->lock);
  team->blocked++;
  if (barrier->phase != flag && !has_failed(pool)) {
    Waiter waiter = {barrier, flag, 0, context, where, where_bytes, PTHREAD_COND_INITIALIZER, team->waiters};
    team->waiters = &waiter;
    give_programs(team, (Worker *)context);
    team->running--;
    check(pool);
    while (!waiter.released) block(pool, &waiter.wake);
    Waiter **place = &team->waiters;
    while (*place != &waiter) place = &(*place)->link;
    *place = waiter.link;
    pthread_cond_destroy(&waiter.wake);
  }
  team->blocked--;
  pthread_mutex_unlock(&team->lock);
}

void global_barrier(Context *context, int32_t id, int64_t *handle) {
  if (id < 0 || id >= GLOBAL_BARRIERS) fail_program(context, "the id of a global barrier must be 0 to 63");
  const int32_t *grid = context->num_programs;
  int64_t plane = (int64_t)grid[0] * grid[1];
  if (plane > INT32_MAX || plane * grid[2] > INT32_MAX) fail_program(context, "more programs than a global barrier can count");
  Team *team = &pool_of(context)->team;
  pthread_mutex_lock(&team->lock);
  team->barriers_used = 1;
  Barrier *barrier = &team->barriers[id];
  if (!barrier->expected) barrier->expected = (int32_t)(plane * grid[2]);
  pthread_mutex_unlock(&team->lock);
  *handle = (int64_t)(intptr_t)barrier;
}

void wake_blocked(Pool *pool) {
  Team *team = &pool->team;
  if (!atomic_load(&team->blocked)) return;
  pthread_mutex_lock(&team->lock);
  release_all(team);
  pthread_mutex_unlock(&team->lock);
}
