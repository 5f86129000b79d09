// Kernels by hand for the runtime under ThreadSanitizer: plain reads and writes on both sides of barriers.
#include <stdio.h>

#include "runtime.h"

enum { ITERATIONS = 12, PROGRAMS = 9, LAUNCHES = 300 };

static int values[PROGRAMS][ITERATIONS], sums[PROGRAMS][ITERATIONS], shared[PROGRAMS], totals[PROGRAMS];

typedef struct Environment {
  Barrier *barriers;
  int program;
} Environment;

static void iteration(void *data, int64_t i, Context *context, void *scratch) {
  const Environment *environment = data;
  int *own = scratch, p = environment->program;
  own[0] = (int)i;
  if (i == ITERATIONS - 1) {
    values[p][i] = 1;
    context->services->arrive(context, &environment->barriers[0]);
  } else {
    context->services->wait(context, &environment->barriers[0], 1, "races.c:1");
    values[p][i] = values[p][ITERATIONS - 1] + own[0];
  }
  context->services->arrive(context, &environment->barriers[1]);
  context->services->wait(context, &environment->barriers[1], 1, "races.c:2");
  int sum = 0;
  for (int j = 0; j < ITERATIONS; j++) sum += values[p][j];
  sums[p][i] = sum;
}

static void program(const uint64_t *arguments, Context *context) {
  (void)arguments;
  Barrier barriers[2];
  Environment environment = {barriers, context->program_id[0]};
  context->services->init_barriers(context, &barriers[0], 1, 0, 0, 1);
  context->services->init_barriers(context, &barriers[1], 1, 0, 0, ITERATIONS);
  context->services->parallel(context, iteration, &environment, 0, ITERATIONS, 1, 64);
  int64_t handle;
  context->services->global_barrier(context, 3, &handle);
  Barrier *everybody = (Barrier *)handle;
  shared[environment.program] = sums[environment.program][0];
  context->services->arrive(context, everybody);
  context->services->wait(context, everybody, 1, "races.c:3");
  int total = 0;
  for (int p = 0; p < PROGRAMS; p++) total += shared[p];
  totals[environment.program] = total;
}

static void stuck_iteration(void *data, int64_t i, Context *context, void *scratch) {
  (void)scratch;
  context->services->wait(context, data, 1, "races.c:4");
  values[0][i] = -1;
}

static void stuck(const uint64_t *arguments, Context *context) {
  (void)arguments;
  Barrier barrier;
  context->services->init_barriers(context, &barrier, 1, 0, 0, 1);
  context->services->parallel(context, stuck_iteration, &barrier, 0, ITERATIONS, 1, 64);
}

int main(void) {
  const Program good = {program, 64}, bad = {stuck, 64};
  const int sum = ITERATIONS + (ITERATIONS - 1) * (ITERATIONS - 2) / 2;
  for (int launch = 0; launch < LAUNCHES; launch++) {
    int threads = 1 + launch % 5;
    if (run_grid(&good, NULL, PROGRAMS, 1, 1, threads) != OK) return printf("launch %d: %s\n", launch, last_failure()->message), 1;
    for (int p = 0; p < PROGRAMS; p++)
      if (totals[p] != PROGRAMS * sum) return printf("launch %d, program %d: %d\n", launch, p, totals[p]), 1;
    if (launch % 50 == 0 && run_grid(&bad, NULL, 3, 1, 1, threads) != FAILED) return printf("no deadlock\n"), 1;
  }
  return 0;
}
