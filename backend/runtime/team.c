// Parallel loops and barriers: threads that join in while a program waits for others.
//
// A thread that blocks at a barrier may not keep anybody from arriving there. So the team has as many threads as are needed: whenever fewer
// threads run than the launch may use, and an iteration or a program is left that nobody has begun, another one is woken or started. Threads of the
// team stay for later launches. All state is under one lock; a launch without parallel loops never takes it.
// A launch whose threads are all blocked, with nothing left to begin, is a deadlock: it fails, with the line of one that waits.
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "pool.h"

enum { STACK_BYTES = 1 << 20, GLOBAL_BARRIERS = 64 };

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
  const char *where;
  pthread_cond_t wake;
  struct Waiter *link;
} Waiter;

typedef struct Given {  // programs that a thread had taken when it blocked
  int64_t next, end;
  struct Given *link;
} Given;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work, idle_again;
  Loop *loops;
  Waiter *waiters;
  Given *given;
  Worker *free;
  int open;                          // a launch is under way
  int32_t idle, summoned, visitors;  // threads that sleep, that were woken and have not looked yet, that run programs
  Barrier barriers[GLOBAL_BARRIERS];
  _Atomic int32_t running, blocked;  // threads that run a program or an iteration, that wait at a barrier
} team = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .idle_again = PTHREAD_COND_INITIALIZER};

static Loop *open_loop(void) {
  for (Loop *loop = team.loops; loop; loop = loop->link)
    if (loop->next < loop->end) return loop;
  return NULL;
}

static int work_left(void) { return team.open && !has_failed() && (open_loop() || team.given || programs_left()); }

static void *join_in(void *unused);
static void release_all(void);

// Have one more thread run if there is something for it; it looks for the next itself.
static void summon(void) {
  if (team.running + team.summoned >= thread_limit() || !work_left()) return;
  if (team.idle > team.summoned) {
    team.summoned++;
    pthread_cond_signal(&team.work);
    return;
  }
  pthread_t thread;
  team.summoned++;
  if (start_thread(&thread, join_in, NULL, STACK_BYTES)) {
    pthread_detach(thread);
    return;
  }
  team.summoned--;
  if (!team.running && !team.summoned) record_failure(team.waiters ? team.waiters->context : NULL, "the system gives no more threads"), release_all();
}

static void release_all(void) {
  for (Waiter *waiter = team.waiters; waiter; waiter = waiter->link)
    if (!waiter->released) waiter->released = 1, team.running++, pthread_cond_signal(&waiter->wake);
}

// After fewer threads run: others take over, or nobody ever will.
static void check(void) {
  summon();
  if (team.running || team.summoned || !team.waiters || work_left()) return;
  Waiter *oldest = team.waiters;
  while (oldest->link) oldest = oldest->link;
  if (oldest->released) return;
  char message[FAILURE_BYTES];
  snprintf(message, sizeof message, "deadlock: nobody is left to arrive at the barrier that is waited for at %s", oldest->where);
  record_failure(oldest->context, message);
  release_all();
}

void enter_program(void) { atomic_fetch_add(&team.running, 1); }

void leave_program(void) {
  atomic_fetch_sub(&team.running, 1);
  if (atomic_load(&team.blocked)) {
    pthread_mutex_lock(&team.lock);
    check();
    pthread_mutex_unlock(&team.lock);
  }
}

void begin_launch(void) {
  pthread_mutex_lock(&team.lock);
  memset(team.barriers, 0, sizeof team.barriers);
  team.open = 1;
  pthread_mutex_unlock(&team.lock);
}

void end_launch(void) {
  pthread_mutex_lock(&team.lock);
  while (team.visitors) pthread_cond_wait(&team.idle_again, &team.lock);
  team.open = 0;
  pthread_mutex_unlock(&team.lock);
}

void forget_team(void) {
  memset(&team, 0, sizeof team);
  pthread_mutex_init(&team.lock, NULL);
  pthread_cond_init(&team.work, NULL);
  pthread_cond_init(&team.idle_again, NULL);
}

int any_given(void) { return team.given != NULL; }

int take_given(int64_t *next, int64_t *end) {
  pthread_mutex_lock(&team.lock);
  Given *given = team.given;
  if (given) {
    team.given = given->link;
    *next = given->next, *end = given->end;
    free(given);
  }
  pthread_mutex_unlock(&team.lock);
  return given != NULL;
}

// Iterations

static Worker *borrow_worker(void) {
  Worker *worker = team.free;
  if (worker) team.free = worker->link;
  return worker ? worker : new_worker(0);
}

// Run iterations of `loop` while there are any, and while no more threads run than may. Called and left with the lock held.
static void run_iterations(Loop *loop, int is_parent) {
  Worker *worker = borrow_worker();
  if (!worker || !grow_scratch(worker, loop->scratch_bytes)) {
    record_failure(loop->parent, "no memory for a thread of a parallel loop");
    free(worker);
    return;
  }
  while (loop->next < loop->end && !has_failed()) {
    if (!is_parent && team.running > thread_limit()) break;
    int64_t index = loop->next;
    loop->next += loop->step;
    loop->running++;
    summon();
    pthread_mutex_unlock(&team.lock);
    int32_t thread = worker->context.thread;
    worker->context = *loop->parent;
    worker->context.thread = thread;
    worker->context.scratch = worker->scratch;
    worker->next = worker->end = 0;
    Worker *before = set_running(worker);
    worker->outer = before;
    if (!_setjmp(worker->stop)) loop->body(loop->environment, index, &worker->context, worker->scratch);
    set_running(before);
    pthread_mutex_lock(&team.lock);
    loop->running--;
  }
  worker->link = team.free;
  team.free = worker;
}

static int is_done(const Loop *loop) { return !loop->running && (loop->next >= loop->end || has_failed()); }

static void *join_in(void *unused) {
  if (on_thread_start) on_thread_start();
  pthread_mutex_lock(&team.lock);
  for (;;) {
    team.summoned--;
    while (team.running < thread_limit() && work_left()) {
      team.running++;
      Loop *loop = open_loop();
      if (loop) {
        run_iterations(loop, 0);
        if (loop->parent_waits && is_done(loop)) {
          loop->parent_waits = 0;
          team.running++;
          pthread_cond_signal(&loop->done);
        }
      } else {
        Worker *worker = borrow_worker();
        team.visitors++;
        summon();
        pthread_mutex_unlock(&team.lock);
        if (worker) run_programs(worker);
        pthread_mutex_lock(&team.lock);
        if (worker) worker->link = team.free, team.free = worker;
        if (!--team.visitors) pthread_cond_broadcast(&team.idle_again);
      }
      team.running--;
    }
    check();
    team.idle++;
    do pthread_cond_wait(&team.work, &team.lock);
    while (!team.summoned);
    team.idle--;
  }
  return unused;
}

// Let others begin the programs that this thread has taken: it is about to wait.
static void give_programs(Worker *worker) {
  for (; worker; worker = worker->outer) {
    Given *given = worker->next < worker->end ? malloc(sizeof *given) : NULL;
    if (!given) continue;
    *given = (Given){worker->next, worker->end, team.given};
    team.given = given;
    worker->end = worker->next;
  }
}

static void stop_if_failed(Context *context) {
  if (has_failed()) _longjmp(((Worker *)context)->stop, 1);
}

void run_parallel(Context *context, Body body, void *environment, int64_t begin, int64_t end, int64_t step, uint64_t scratch_bytes) {
  if (step < 1) fail_program(context, "the step of a parallel loop must be positive");
  if (begin >= end) return;
  Loop loop = {body, environment, context, begin, end, step, 0, scratch_bytes, 0, PTHREAD_COND_INITIALIZER, NULL};
  pthread_mutex_lock(&team.lock);
  loop.link = team.loops;
  team.loops = &loop;
  run_iterations(&loop, 1);
  if (!is_done(&loop)) {
    give_programs((Worker *)context);
    loop.parent_waits = 1;
    team.running--;
    check();
    while (loop.parent_waits) pthread_cond_wait(&loop.done, &team.lock);
  }
  Loop **place = &team.loops;
  while (*place != &loop) place = &(*place)->link;
  *place = loop.link;
  pthread_mutex_unlock(&team.lock);
  pthread_cond_destroy(&loop.done);
  stop_if_failed(context);
}

// Barriers

void init_barriers(Context *context, Barrier *barriers, int32_t count, int32_t flag, int32_t arrived, int32_t expected) {
  for (int32_t i = 0; i < count; i++) barriers[i] = (Barrier){.phase = flag != 0, .arrived = arrived, .expected = expected};
}

static void flip_if_complete(Barrier *barrier) {
  if (barrier->arrived < 1 || barrier->arrived < barrier->expected) return;
  barrier->arrived = 0;
  int32_t phase = !barrier->phase;
  atomic_store(&barrier->phase, phase);
  for (Waiter *waiter = team.waiters; waiter; waiter = waiter->link)
    if (waiter->barrier == barrier && waiter->flag == phase && !waiter->released) {
      waiter->released = 1;
      team.running++;
      pthread_cond_signal(&waiter->wake);
    }
}

void arrive_at(Context *context, Barrier *barrier) {
  pthread_mutex_lock(&team.lock);
  barrier->arrived++;
  flip_if_complete(barrier);
  pthread_mutex_unlock(&team.lock);
}

void expect_at(Context *context, Barrier *barrier, int32_t expected) {
  pthread_mutex_lock(&team.lock);
  barrier->expected = expected;
  flip_if_complete(barrier);
  pthread_mutex_unlock(&team.lock);
}

void wait_at(Context *context, Barrier *barrier, int32_t flag, const char *where) {
  flag = flag != 0;
  if (atomic_load(&barrier->phase) == flag) return;
  pthread_mutex_lock(&team.lock);
  team.blocked++;
  if (barrier->phase != flag && !has_failed()) {
    Waiter waiter = {barrier, flag, 0, context, where, PTHREAD_COND_INITIALIZER, team.waiters};
    team.waiters = &waiter;
    give_programs((Worker *)context);
    team.running--;
    check();
    while (!waiter.released) pthread_cond_wait(&waiter.wake, &team.lock);
    Waiter **place = &team.waiters;
    while (*place != &waiter) place = &(*place)->link;
    *place = waiter.link;
    pthread_cond_destroy(&waiter.wake);
  }
  team.blocked--;
  pthread_mutex_unlock(&team.lock);
  stop_if_failed(context);
}

void global_barrier(Context *context, int32_t id, int64_t *handle) {
  if (id < 0 || id >= GLOBAL_BARRIERS) fail_program(context, "the id of a global barrier must be 0 to 63");
  const int32_t *grid = context->num_programs;
  pthread_mutex_lock(&team.lock);
  Barrier *barrier = &team.barriers[id];
  if (!barrier->expected) barrier->expected = grid[0] * grid[1] * grid[2];
  pthread_mutex_unlock(&team.lock);
  *handle = (int64_t)(intptr_t)barrier;
}

void wake_blocked(void) {
  if (!atomic_load(&team.blocked)) return;
  pthread_mutex_lock(&team.lock);
  release_all();
  pthread_mutex_unlock(&team.lock);
}
