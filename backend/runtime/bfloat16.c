// Conversions to bfloat16 that kernels may call, and zig's compiler-rt lacks. Rounded to nearest, ties to even.
#include <stdint.h>
#include <string.h>

#pragma GCC visibility push(default)  // also where these lie in a library that hides its own names

static __bf16 from_bits(uint32_t bits) {
  uint16_t upper = (uint16_t)(bits >> 16);
  __bf16 value;
  memcpy(&value, &upper, sizeof value);
  return value;
}

__bf16 __truncsfbf2(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return from_bits(value != value ? bits | 1u << 22 : bits + 0x7fff + (bits >> 16 & 1));
}

__bf16 __truncdfbf2(double value) {
  float single = (float)value;
  uint32_t bits;
  memcpy(&bits, &single, sizeof bits);
  // Rounding twice is right only if the first result keeps that it was inexact: round it to odd.
  if ((double)single != value && value == value && !(bits & 1)) bits += ((double)single < value) == (value > 0) ? 1 : -1u;
  memcpy(&single, &bits, sizeof single);
  return __truncsfbf2(single);
}
