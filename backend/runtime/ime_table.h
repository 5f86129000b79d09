// SpacemiT's matrix instructions, written by `make docs` from dialect/ime.py, which says what they do.
#pragma once
#include <stdint.h>

enum { IME_VD = 7, IME_VS1 = 15, IME_VS2 = 20 };  // the lowest bits of the operands
enum { IME_VM = 0x2000000 };  // a bit of every word
enum { IME_ANY_SEW = 2 };  // the first generation that looks at no SEW

// What an instruction breaks that cannot be carried out.
enum { IME_UNIT = 1, IME_UNMASKED = 2, IME_EVEN = 3, IME_OVERLAP = 4, IME_VTYPE = 5, IME_SEW = 6, IME_LMUL = 7, IME_VL = 8, IME_VSTART = 9 };

// A word is that of a row where its bits in `mask` are `match`. left, right: whether A and B are signed.
typedef struct ImeInstruction {
  uint32_t match, mask;
  uint8_t generation, bits, left, right, slide;
} ImeInstruction;

static const ImeInstruction ime_instructions[] = {
    {0xe200302b, 0xfe00707f, 1, 8, 1, 1, 0},  // smt.vmadot
    {0xe200002b, 0xfe00707f, 1, 8, 0, 0, 0},  // smt.vmadotu
    {0xe200102b, 0xfe00707f, 1, 8, 0, 1, 0},  // smt.vmadotus
    {0xe200202b, 0xfe00707f, 1, 8, 1, 0, 0},  // smt.vmadotsu
    {0xe600302b, 0xfe00f07f, 1, 8, 1, 1, 1},  // smt.vmadot1
    {0xe600002b, 0xfe00f07f, 1, 8, 0, 0, 1},  // smt.vmadot1u
    {0xe600102b, 0xfe00f07f, 1, 8, 0, 1, 1},  // smt.vmadot1us
    {0xe600202b, 0xfe00f07f, 1, 8, 1, 0, 1},  // smt.vmadot1su
    {0xe600702b, 0xfe00f07f, 1, 8, 1, 1, 2},  // smt.vmadot2
    {0xe600402b, 0xfe00f07f, 1, 8, 0, 0, 2},  // smt.vmadot2u
    {0xe600502b, 0xfe00f07f, 1, 8, 0, 1, 2},  // smt.vmadot2us
    {0xe600602b, 0xfe00f07f, 1, 8, 1, 0, 2},  // smt.vmadot2su
    {0xe600b02b, 0xfe00f07f, 1, 8, 1, 1, 3},  // smt.vmadot3
    {0xe600802b, 0xfe00f07f, 1, 8, 0, 0, 3},  // smt.vmadot3u
    {0xe600902b, 0xfe00f07f, 1, 8, 0, 1, 3},  // smt.vmadot3us
    {0xe600a02b, 0xfe00f07f, 1, 8, 1, 0, 3},  // smt.vmadot3su
    {0xc200302b, 0xfe00707f, 2, 4, 1, 1, 0},  // smt.vmadot, i4
    {0xc200002b, 0xfe00707f, 2, 4, 0, 0, 0},  // smt.vmadotu, i4
    {0xc200102b, 0xfe00707f, 2, 4, 0, 1, 0},  // smt.vmadotus, i4
    {0xc200202b, 0xfe00707f, 2, 4, 1, 0, 0},  // smt.vmadotsu, i4
};

// Tiles by the bytes of a vector register and the bits of an element.
typedef struct ImeTile {
  uint16_t vlenb, bits, m, n, k;
} ImeTile;

static const ImeTile ime_tiles[] = {
    {32, 8, 4, 4, 8},
    {128, 8, 8, 8, 16},
    {128, 4, 8, 8, 32},
};
