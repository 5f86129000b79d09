// One signal stack a thread.
#define _GNU_SOURCE
#include "signal_stack.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { SIGNAL_STACK_BYTES = 1 << 16 };

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_stack(void *memory) {
  stack_t none = {.ss_flags = SS_DISABLE};
  sigaltstack(&none, NULL);
  free(memory);
}

static void make_key(void) { pthread_key_create(&key, free_stack); }

void use_signal_stack(void) {
  stack_t old, stack = {.ss_size = SIGNAL_STACK_BYTES};
  pthread_once(&once, make_key);
  if (sigaltstack(NULL, &old) || !(old.ss_flags & SS_DISABLE) || !(stack.ss_sp = malloc(SIGNAL_STACK_BYTES))) return;
  sigaltstack(&stack, NULL);
  pthread_setspecific(key, stack.ss_sp);
}
