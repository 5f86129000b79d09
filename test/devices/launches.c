// Launches by the thousand for the runtime under a sanitizer, from several threads at once: kernels by hand, with plain reads and writes on
// both sides of barriers; deadlocks, assertions, faults, and, where signals come at once, kernels that do not end.
//
// usage: launches LAUNCHES ENDLESS
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "runtime.h"

enum { ITERATIONS = 12, PROGRAMS = 9, CALLERS = 3, LARGE = 700 };
#define KERNEL __attribute__((section("kernels"), noinline, used)) static
#define UNCHECKED __attribute__((no_sanitize("address", "thread", "undefined")))
extern const char __start_kernels[], __stop_kernels[];

const External externals[] = {{"memcpy", (void *)memcpy}, {NULL, NULL}};

typedef struct Data {
  int values[PROGRAMS][ITERATIONS], sums[PROGRAMS][ITERATIONS], shared[PROGRAMS], totals[PROGRAMS], counts[LARGE];
} Data;

typedef struct Environment {
  Data *data;
  Barrier *barriers;
  int program;
} Environment;

KERNEL void iteration(void *given, int64_t i, Context *context, void *scratch) {
  const Environment *environment = given;
  int *own = scratch, p = environment->program;
  int *values = environment->data->values[p];
  own[0] = (int)i;
  if (i == ITERATIONS - 1) {
    values[i] = 1;
    context->services->arrive(context, &environment->barriers[0]);
  } else {
    context->services->wait(context, &environment->barriers[0], 1, "launches.c:1");
    values[i] = values[ITERATIONS - 1] + own[0];
  }
  context->services->arrive(context, &environment->barriers[1]);
  context->services->wait(context, &environment->barriers[1], 1, "launches.c:2");
  int sum = 0;
  for (int j = 0; j < ITERATIONS; j++) sum += values[j];
  environment->data->sums[p][i] = sum;
}

KERNEL void team(const uint64_t *arguments, Context *context) {
  Data *data = (Data *)arguments[0];
  Barrier barriers[2];
  Environment environment = {data, barriers, context->program_id[0]};
  context->services->init_barriers(context, &barriers[0], 1, 0, 0, 1);
  context->services->init_barriers(context, &barriers[1], 1, 0, 0, ITERATIONS);
  context->services->parallel(context, iteration, &environment, 0, ITERATIONS, 1, 64);
  int64_t handle;
  context->services->global_barrier(context, 3, &handle);
  Barrier *everybody = (Barrier *)handle;
  data->shared[environment.program] = data->sums[environment.program][0];
  context->services->arrive(context, everybody);
  context->services->wait(context, everybody, 1, "launches.c:3");
  int total = 0;
  for (int p = 0; p < PROGRAMS; p++) total += data->shared[p];
  data->totals[environment.program] = total;
}

KERNEL void stuck_iteration(void *barrier, int64_t i, Context *context, void *scratch) {
  (void)scratch, (void)i;
  context->services->wait(context, barrier, 1, "launches.c:4");
}

KERNEL void stuck(const uint64_t *arguments, Context *context) {
  (void)arguments;
  Barrier barrier;
  context->services->init_barriers(context, &barrier, 1, 0, 0, 1);
  context->services->parallel(context, stuck_iteration, &barrier, 0, ITERATIONS, 1, 64);
}

KERNEL void count(const uint64_t *arguments, Context *context) {
  ((Data *)arguments[0])->counts[context->program_id[0]]++;
  ((char *)context->scratch)[0] = 1;
}

KERNEL void failing(const uint64_t *arguments, Context *context) {
  (void)arguments;
  if (context->program_id[0] == 5) context->services->assert_failed(context, "five");
}

KERNEL UNCHECKED void faulting(const uint64_t *arguments, Context *context) {
  (void)arguments;
  if (context->program_id[0] == 5) *(volatile int *)64 = 1;
}

KERNEL UNCHECKED void endless(const uint64_t *arguments, Context *context) {
  (void)arguments, (void)context;
  for (volatile int i = 0;; i++) continue;
}

static double soon(void) { return 2; }  // more than any other launch takes on a busy machine
static int is_endless;
static long launches;
static _Atomic int wrong;

static void expect(int status, int expected, const char *name) {
  if (status == expected) return;
  printf("%s: %d instead of %d: %s\n", name, status, expected, status == OK ? "" : last_failure()->message);
  wrong = 1;
}

static int launch(Kernel kernel, Data *data, int x, int threads) {
  const Program program = {kernel, 64, __start_kernels, (uint64_t)(__stop_kernels - __start_kernels)};
  const uint64_t arguments[] = {(uint64_t)data};
  return run_grid(&program, arguments, x, 1, 1, threads);
}

static void *launch_all(void *argument) {
  unsigned seed = (unsigned)(uintptr_t)argument;
  Data *data = calloc(1, sizeof *data);
  const int sum = ITERATIONS + (ITERATIONS - 1) * (ITERATIONS - 2) / 2;
  for (long i = 0; i < launches / CALLERS && !wrong; i++) {
    int kind = rand_r(&seed) % 100, threads = i % 500 ? 1 + (int)(i / 500) % 5 : 1 + rand_r(&seed) % 5;
    if (kind < 20) {
      expect(launch(team, data, PROGRAMS, threads), OK, "team");
      for (int p = 0; p < PROGRAMS; p++)
        if (data->totals[p] != PROGRAMS * sum) expect(data->totals[p], PROGRAMS * sum, "sum");
    } else if (kind < 21) {
      expect(launch(stuck, data, 3, threads), FAILED, "deadlock");
    } else if (kind < 30) {
      expect(launch(failing, data, 20, threads), FAILED, "assertion");
      if (last_failure()->program_id[0] != 5 || strcmp(last_failure()->message, "five")) expect(0, 1, "whose assertion");
    } else if (kind < 40) {
      expect(launch(faulting, data, 20, threads), FAULTED, "fault");
      if (last_failure()->program_id[0] != 5 || last_failure()->address != 64) expect(0, 1, "whose fault");
    } else if (is_endless && i % 10000 == 1) {
      expect(launch(endless, data, 4, threads), TIMED_OUT, "endless");
    } else {
      int programs = kind < 70 ? 1 : 1 + rand_r(&seed) % LARGE;
      memset(data->counts, 0, sizeof data->counts);
      expect(launch(count, data, programs, threads), OK, "count");
      for (int p = 0; p < LARGE; p++)
        if (data->counts[p] != (p < programs)) expect(data->counts[p], p < programs, "program");
    }
  }
  free(data);
  return NULL;
}

int main(int count, char **values) {
  launches = count > 1 ? atol(values[1]) : 1000, is_endless = count > 2 && atoi(values[2]);
  install_guard(NULL);
  set_timeout(is_endless ? soon : NULL);
  pthread_t callers[CALLERS];
  for (long i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, launch_all, (void *)(i + 1));
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
  printf("%s\n", wrong ? "wrong" : "right");
  return wrong;
}
