// What kernels may call: LLVM emits calls to these for copies, remainders, 128-bit integers and conversions of small floats.
#include <math.h>
#include <string.h>

#include "runtime.h"

#define DECLARE(name) extern void name(void);
#define ROW(name) {#name, (void *)name},
#define HELPERS(do) \
  do(__extendhfsf2) do(__extendhfdf2) do(__truncsfhf2) do(__truncdfhf2) do(__multi3) do(__divti3) do(__modti3) do(__udivti3) do(__umodti3) \
  do(__ashlti3) do(__ashrti3) do(__lshrti3) do(__floattisf) do(__floattidf) do(__floatuntisf) do(__floatuntidf) \
  do(__fixsfti) do(__fixdfti) do(__fixunssfti) do(__fixunsdfti) do(__truncsfbf2) do(__truncdfbf2)
HELPERS(DECLARE)

const External externals[] = {
    ROW(memcpy) ROW(memmove) ROW(memset) ROW(fmod) ROW(fmodf) ROW(fma) ROW(fmaf) HELPERS(ROW){NULL, NULL},
};
