// What kernels may call: LLVM emits calls to these for copies, remainders, 128-bit integers and conversions of small floats.
#include <math.h>
#include <string.h>

#include "runtime.h"

// What zig's compiler-rt lacks. Rounded to nearest, ties to even.
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

#define DECLARE(name) extern void name(void);
#define ROW(name) {#name, (void *)name},
#define HELPERS(do) \
  do(__extendhfsf2) do(__extendhfdf2) do(__truncsfhf2) do(__truncdfhf2) do(__multi3) do(__divti3) do(__modti3) do(__udivti3) do(__umodti3) \
  do(__ashlti3) do(__ashrti3) do(__lshrti3) do(__floattisf) do(__floattidf) do(__floatuntisf) do(__floatuntidf) \
  do(__fixsfti) do(__fixdfti) do(__fixunssfti) do(__fixunsdfti)
HELPERS(DECLARE)

const External externals[] = {
    ROW(memcpy) ROW(memmove) ROW(memset) ROW(fmod) ROW(fmodf) ROW(fma) ROW(fmaf) HELPERS(ROW) ROW(__truncsfbf2) ROW(__truncdfbf2){NULL, NULL},
};
