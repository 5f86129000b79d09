// Signal handlers that see the vector registers and leave them as they were.
#pragma once
#include <signal.h>
#include <stdint.h>

// What the interrupted code has; changes to the registers stay. `registers` has v0 to v31, `vlenb` bytes each.
typedef struct VectorState {
  uint64_t vl, vtype, vstart, vcsr, vlenb;
  uint8_t *registers;
} VectorState;

// A handler for sigaction, which calls on_signal.
void enter_signal(int signal, siginfo_t *info, void *frame);

void on_signal(int signal, siginfo_t *info, void *frame, const VectorState *state);  // guest.c
