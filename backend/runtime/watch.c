// Watching over launches: the time that they may take, signals of their process, and threads that do not see that their launch has failed.
//
// A launch only counts up when it begins and when it ends. A thread looks every 50 ms at what is under way; what it then finds for a second
// time it sends knocks (guard.c) where it has to. When nothing has happened for a second it ends, and the next launch starts another.
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>

#include "guard.h"
#include "pool.h"

enum { STACK_BYTES = 1 << 20, NANOSECONDS = 1000000000, LOOK = 50000000, LOOK_SOON = 5000000, IDLE_LOOKS = 20 };

static _Atomic int watching;  // there is such a thread
static double (*_Atomic timeout)(void);

void set_timeout(double (*seconds)(void)) { atomic_store(&timeout, seconds); }

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * (int64_t)NANOSECONDS + time.tv_nsec;
}

static void knock(Worker *worker, int unused) { pthread_kill(atomic_load_explicit(&worker->thread, memory_order_relaxed), KNOCK); }

// The launch that was seen, if it is still under way: its threads stay until `look_away`.
static int look_at(Watch *watch) {
  pthread_mutex_lock(&watch->lock);
  atomic_store(&watch->looking, 1);
  if (atomic_load(&watch->launches) == watch->seen) return 1;
  atomic_store(&watch->looking, 0);
  pthread_mutex_unlock(&watch->lock);
  return 0;
}

static void look_away(Watch *watch) {
  atomic_store(&watch->looking, 0);
  pthread_mutex_unlock(&watch->lock);
}

// One look at a pool; how long until the next, 0 where nothing is under way.
static int64_t watch_over(Pool *pool, int turn) {
  Watch *watch = &pool->watch;
  uint32_t launches = atomic_load(&watch->launches);
  if (!(launches & 1)) return 0;
  if (launches != watch->seen) {
    watch->seen = launches, watch->since = now(), watch->deadline = 0;
    return LOOK;
  }
  if (!watch->deadline) {
    double (*ask)(void) = atomic_load(&timeout);
    double seconds = ask ? ask() : 0;
    int unlimited = seconds <= 0 || seconds > 1e9;
    watch->deadline = unlimited ? INT64_MAX : watch->since + (int64_t)(seconds * NANOSECONDS);
  }
  if (!look_at(watch)) return LOOK;
  if (now() >= watch->deadline && record_failure(pool, TIMED_OUT, NULL, "")) wake_blocked(pool);
  int failed = has_failed(pool);
  if (failed) {
    for_each_busy(pool, knock, 0);
  } else if (atomic_load_explicit(&pool->polled, memory_order_relaxed) && turn % 2) {
    Worker *caller = pool->workers[0];
    if (atomic_load_explicit(&caller->busy, memory_order_acquire)) knock(caller, 0);
  }
  look_away(watch);
  return failed ? LOOK_SOON : LOOK;
}

static int any_under_way(void) {
  for (Pool *pool = atomic_load(&pools); pool; pool = pool->link)
    if (atomic_load(&pool->watch.launches) & 1) return 1;
  return 0;
}

static void *watch_launches(void *unused) {
  int64_t pause = LOOK;
  for (int turn = 0, idle = 0; idle < IDLE_LOOKS; turn++) {
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, pause}, NULL);
    int found = 0;
    stand_first();
    pause = LOOK;
    for (Pool *pool = atomic_load(&pools); pool; pool = pool->link) {
      int64_t next = watch_over(pool, turn);
      found |= next != 0;
      if (next && next < pause) pause = next;
      found |= atomic_load(&pool->watch.launches) != pool->watch.counted;
      pool->watch.counted = atomic_load(&pool->watch.launches);
    }
    idle = found ? 0 : idle + 1;
    if (idle < IDLE_LOOKS) continue;
    atomic_store(&watching, 0);
    int none = 0;
    if (any_under_way() && atomic_compare_exchange_strong(&watching, &none, 1)) idle = 0;
  }
  return unused;
}

static void start_watching(void) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&watching, &none, 1)) return;
  pthread_t thread;
  if (start_thread(&thread, watch_launches, NULL, STACK_BYTES))
    pthread_detach(thread);
  else
    atomic_store(&watching, 0);
}

uint32_t launch_begins(Pool *pool) {
  if (!is_guarded()) return 0;
  prepare_thread();
  atomic_store_explicit(&pool->polled, must_poll(), memory_order_relaxed);
  atomic_store_explicit(&pool->told, 0, memory_order_relaxed);
  uint32_t number = atomic_load_explicit(&pool->watch.launches, memory_order_relaxed) + 1;
  atomic_store(&pool->watch.launches, number);
  if (!atomic_load(&watching)) start_watching();
  return number;
}

void launch_ends(Pool *pool, uint32_t number) {
  if (!number) return;
  Watch *watch = &pool->watch;
  atomic_store(&watch->launches, number + 1);  // also in the child of a fork by a handler that ran meanwhile
  if (!atomic_load(&watch->looking)) return;
  pthread_mutex_lock(&watch->lock);
  pthread_mutex_unlock(&watch->lock);
}

// The child of a fork has no such thread.
static void forget(void) { atomic_store(&watching, 0); }

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, forget); }
