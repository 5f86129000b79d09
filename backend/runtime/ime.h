// SpacemiT's matrix instructions, carried out by software where the machine has none.
#pragma once
#include <stdint.h>

#include "vectors.h"

enum { IME_DONE = 0, IME_OTHER = -1 };  // results beside the rules in ime_table.h

// Carry out the instruction with this word, on a core with this generation of the unit (0 where it has none). The result is IME_DONE,
// IME_OTHER where the word is no such instruction, or the rule that it breaks, and then nothing is changed.
int emulate_ime(uint32_t word, int generation, const VectorState *state);

// Where the registers of an instruction are in memory: that of A (both of a sliding form), of B, and both of C.
typedef struct Operands {
  const uint8_t *a, *b;
  uint8_t *c;
} Operands;

// The same with its registers apart from the others, which `state` does not have then.
int emulate_ime_on(uint32_t word, int generation, const VectorState *state, const Operands *operands);
