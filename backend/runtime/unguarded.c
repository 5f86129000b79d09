// The runtime in a program that is not ours: signals are the program's own affair, unless it links the guard and asks for it (bundle_guard.c).
#define _GNU_SOURCE
#include "unguarded.h"

#include <sched.h>

#include "pool.h"

#define UNLESS_GUARDED __attribute__((weak))

UNLESS_GUARDED uint32_t launch_begins(Pool *pool) { return 0; }
UNLESS_GUARDED void launch_ends(Pool *pool, uint32_t number) {}
UNLESS_GUARDED int must_poll(void) { return 0; }
UNLESS_GUARDED void poll_caller(Pool *pool) {}

int32_t count_cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}
