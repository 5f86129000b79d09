// One instruction: dialect/ime.py says what it does, and has the numbers.
#include "ime.h"

#include <string.h>

#include "ime_table.h"

enum { LARGEST_TILE = 256 };  // elements of 4 bits in a register of 1024 bits

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

static int broken_rule(const VectorState *state) {
  if (state->vtype >> 63) return IME_VTYPE;
  if (state->vtype >> 3 & 7) return IME_SEW;
  if (state->vtype & 7) return IME_LMUL;
  if (state->vl != state->vlenb) return IME_VL;
  return state->vstart ? IME_VSTART : IME_DONE;
}

static void unpack(int32_t *elements, const uint8_t *bytes, int count, int bits, int is_signed) {
  for (int i = 0; i < count; i++) {
    int32_t value = bits == 8 ? bytes[i] : bytes[i / 2] >> i % 2 * 4 & 15;
    elements[i] = is_signed && value >> (bits - 1) ? value - (1 << bits) : value;
  }
}

int emulate_ime(uint32_t word, int generation, const VectorState *state) {
  const ImeInstruction *row = find_instruction(word);
  if (!row) return IME_OTHER;
  const ImeTile *tile = find_tile(state->vlenb, row->bits);
  if (row->generation > generation || !tile) return IME_UNIT;
  if (!(word & IME_VM)) return IME_UNMASKED;
  uint32_t vd = word >> IME_VD & 31, vs1 = word >> IME_VS1 & (row->slide ? 30 : 31), vs2 = word >> IME_VS2 & 31;
  if (vd % 2) return IME_EVEN;
  if (vd == (vs1 & 30) || vd == (vs2 & 30)) return IME_OVERLAP;
  int rule = broken_rule(state);
  if (rule) return rule;

  int m = tile->m, n = tile->n, k = tile->k;
  int32_t a[LARGEST_TILE], b[LARGEST_TILE];
  uint32_t c[LARGEST_TILE];  // sums wrap around
  uint8_t *sums = state->registers + vd * state->vlenb;
  unpack(a, state->registers + vs1 * state->vlenb + row->slide * k * row->bits / 8, m * k, row->bits, row->left);
  unpack(b, state->registers + vs2 * state->vlenb, n * k, row->bits, row->right);
  memcpy(c, sums, sizeof *c * m * n);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      for (int l = 0; l < k; l++) c[i * n + j] += (uint32_t)(a[i * k + l] * b[j * k + l]);
  memcpy(sums, c, sizeof *c * m * n);
  return IME_DONE;
}
