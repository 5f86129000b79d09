// Faults and endless kernels in a program that was compiled with a bundle: the guard of the host device, for who asks for it.
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "guard.h"
#include "runtime.h"
#include "triton_spacemit.h"

// What kernels call in the system's libraries, which is where the guard looks for faults besides their code. The compiler's own helpers, which
// `externals.c` has too, are linked into each bundle and touch no memory.
#define ROW(name) {#name, (void *)name},
const External externals[] = {ROW(memcpy) ROW(memmove) ROW(memset) ROW(fmod) ROW(fmodf){NULL, NULL}};

static _Atomic double longest;

static double ask(void) { return atomic_load(&longest); }

void ts_guard(double seconds) {
  atomic_store(&longest, seconds > 0 ? seconds : 0);
  install_guard(NULL);
  set_timeout(ask);
}
