// One instruction: dialect/ime.py says what it does, and has the numbers.
#include "ime.h"

#include <stddef.h>

#include "ime_table.h"

// A call from a kernel keeps only the registers that it works on: nothing here may use others of the vector unit.
#pragma clang attribute push(__attribute__((target("arch=rv64gc"))), apply_to = function)

enum { LARGEST_TILE = 256, LARGEST_DEPTH = 32 };  // elements of 4 bits: in a register of 1024 bits, and in a row of its tile

static const ImeInstruction *find_instruction(uint32_t word) {
  for (size_t i = 0; i < sizeof ime_instructions / sizeof *ime_instructions; i++)
    if (((word | IME_VM) & ime_instructions[i].mask) == ime_instructions[i].match) return &ime_instructions[i];
  return NULL;
}

static const ImeTile *find_tile(uint64_t vlenb, uint32_t bits) {
  for (size_t i = 0; i < sizeof ime_tiles / sizeof *ime_tiles; i++)
    if (ime_tiles[i].vlenb == vlenb && ime_tiles[i].bits == bits) return &ime_tiles[i];
  return NULL;
}

static int broken_rule(const VectorState *state, int generation) {
  if (state->vtype >> 63) return IME_VTYPE;
  uint64_t sew = state->vtype >> 3 & 7;  // 0 for elements of 8 bits, each step twice as wide
  if (sew && generation < IME_ANY_SEW) return IME_SEW;
  if (state->vtype & 7) return IME_LMUL;
  if (state->vl != state->vlenb >> sew) return IME_VL;
  return state->vstart ? IME_VSTART : IME_DONE;
}

// Elements of 4 bits as bytes.
static void unpack(uint8_t *elements, const uint8_t *bytes, int count, int is_signed) {
  for (int i = 0; i < count; i++) {
    int value = bytes[i / 2] >> i % 2 * 4 & 15;
    elements[i] = (uint8_t)(is_signed && value >> 3 ? value - 16 : value);
  }
}

#define INLINE __attribute__((always_inline)) static inline

INLINE int64_t element(const uint8_t *bytes, int i, int is_signed) { return is_signed ? (int8_t)bytes[i] : bytes[i]; }

// C += A B^T, two columns at once: what one of them adds up to is less than 2^31, and reaches the other one by its sign alone.
INLINE void multiply(uint32_t *c, const uint8_t *a, const uint8_t *b, int m, int n, int k, int left, int right) {
  for (int j = 0; j < n; j += 2) {
    int64_t pairs[LARGEST_DEPTH];
    for (int l = 0; l < k; l++) pairs[l] = element(b, j * k + l, right) + (int64_t)((uint64_t)element(b, (j + 1) * k + l, right) << 32);
    for (int i = 0; i < m; i++) {
      int64_t sum = 0;
#pragma clang loop unroll(full)
      for (int l = 0; l < k; l++) sum += element(a, i * k + l, left) * pairs[l];
      c[i * n + j] += (uint32_t)sum;  // sums wrap around
      c[i * n + j + 1] += (uint32_t)((sum - (int32_t)sum) >> 32);
    }
  }
}

INLINE void multiply_tile(uint32_t *c, const uint8_t *a, const uint8_t *b, int m, int n, int k, const ImeInstruction *row) {
  switch (row->left << 1 | row->right) {
    case 0: multiply(c, a, b, m, n, k, 0, 0); return;
    case 1: multiply(c, a, b, m, n, k, 0, 1); return;
    case 2: multiply(c, a, b, m, n, k, 1, 0); return;
    default: multiply(c, a, b, m, n, k, 1, 1);
  }
}

int emulate_ime(uint32_t word, int generation, const VectorState *state) {
  uint64_t vd = word >> IME_VD & 31, vs1 = word >> IME_VS1 & 31, vs2 = word >> IME_VS2 & 31, vlenb = state->vlenb;
  const ImeInstruction *row = find_instruction(word);
  if (row && row->slide) vs1 &= 30;
  Operands operands = {state->registers + vs1 * vlenb, state->registers + vs2 * vlenb, state->registers + vd * vlenb};
  return emulate_ime_on(word, generation, state, &operands);
}

int emulate_ime_on(uint32_t word, int generation, const VectorState *state, const Operands *operands) {
  const ImeInstruction *row = find_instruction(word);
  if (!row) return IME_OTHER;
  const ImeTile *tile = find_tile(state->vlenb, row->bits);
  if (row->generation > generation || !tile) return IME_UNIT;
  if (!(word & IME_VM)) return IME_UNMASKED;
  uint32_t vd = word >> IME_VD & 31, vs1 = word >> IME_VS1 & (row->slide ? 30 : 31), vs2 = word >> IME_VS2 & 31;
  if (vd % 2) return IME_EVEN;
  if (vd == (vs1 & 30) || vd == (vs2 & 30)) return IME_OVERLAP;
  int rule = broken_rule(state, generation);
  if (rule) return rule;

  uint32_t *c = (uint32_t *)operands->c;
  const uint8_t *a = operands->a + row->slide * tile->k * row->bits / 8, *b = operands->b;
  uint8_t left[LARGEST_TILE], right[LARGEST_TILE];
  if (row->bits == 4) {
    unpack(left, a, tile->m * tile->k, row->left);
    unpack(right, b, tile->n * tile->k, row->right);
    a = left, b = right;
  }
  if (tile->m == 4 && tile->n == 4 && tile->k == 8)
    multiply_tile(c, a, b, 4, 4, 8, row);
  else
    multiply_tile(c, a, b, tile->m, tile->n, tile->k, row);
  return IME_DONE;
}

#pragma clang attribute pop
