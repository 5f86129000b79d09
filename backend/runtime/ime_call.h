// Matrix instructions as calls.
#pragma once
#include <stdint.h>

// What the code in an instruction's place points t0 at.
typedef struct ImeCall {
  uint64_t function;  // ime_call
  uint32_t word;
} ImeCall;

extern int ime_call_generation;  // of the chip's matrix instructions

// t0: the call; sp: a frame with the registers that the instruction works on (ime_call.c). Only t0 changes: it is the broken rule, or 0.
void ime_call(void);
