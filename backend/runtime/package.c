// The launcher of a package of AOTInductor's: the runtime, and the function by which PyTorch runs kernels.
//
// PyTorch calls from C++ and knows of no result, so a launch that fails throws std::runtime_error, by way of the process's own libstdc++.
#define _GNU_SOURCE
#include "package.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"
#include "unguarded.h"

enum { MESSAGE_BYTES = FAILURE_BYTES + 512, MAX_SLOTS = 1 << 16 };

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
  char message[MESSAGE_BYTES];
  va_list values;
  va_start(values, format);
  vsnprintf(message, sizeof message, format, values);
  va_end(values);
  void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void (*throw_error)(const char *) = library ? (void (*)(const char *))dlsym(library, "_ZSt21__throw_runtime_errorPKc") : NULL;
  if (throw_error) throw_error(message);
  fprintf(stderr, "%s\n", message);
  abort();
}

// How many threads a grid is spread over: what the environment says, as for kernels that Triton launches. PyTorch always says 1.
static int32_t count_threads(void) {
  const char *setting = getenv("TRITON_SPACEMIT_THREADS");
  if (!setting || !*setting) return count_cores();
  char *end;
  errno = 0;
  long threads = strtol(setting, &end, 10);
  if (errno || *end || threads < 0 || threads > MAX_THREADS)
    fail("Unable to use TRITON_SPACEMIT_THREADS=%s: expected 0 to %d", setting, MAX_THREADS);
  return threads ? (int32_t)threads : count_cores();
}

static uint64_t read_slot(const PackageKernel *kernel, const PackageSlot *slot, void *argument) {
  uint64_t value = 0;
  if (slot->bytes)
    memcpy(&value, argument, slot->bytes);
  else
    value = (uintptr_t)argument;
  if (slot->divisor && value % slot->divisor)
    fail("kernel '%s' in this package was compiled for arguments number %u that are multiples of %u, and got one that is none", kernel->name,
         slot->argument, slot->divisor);
  return value;
}

__attribute__((visibility("default"))) void run_from_nativert(uint32_t x, uint32_t y, uint32_t z, int unused, void **arguments,
                                                              void *function) {
  const PackageKernel *kernel = function;
  if (kernel->version != PACKAGE_VERSION || kernel->num_slots > MAX_SLOTS)
    fail("a kernel of version %u is in a package with a launcher of version %d", kernel->version, PACKAGE_VERSION);
  if (!kernel->fits()) fail("kernel '%s' in this package was compiled for another processor", kernel->name);
  uint64_t programs;
  if (x > INT32_MAX || y > INT32_MAX || z > INT32_MAX || __builtin_mul_overflow((uint64_t)x * y, z, &programs) || programs > INT64_MAX)
    fail("kernel '%s' in this package: (%u, %u, %u) is no grid", kernel->name, x, y, z);
  if (!programs) return;
  uint64_t slots[kernel->num_slots + 1];
  for (uint32_t i = 0; i < kernel->num_slots; i++)
    slots[i] = read_slot(kernel, &kernel->slots[i], arguments[kernel->slots[i].argument]);
  const Program program = {.kernel = (Kernel)kernel->code, .scratch_bytes = kernel->scratch_bytes};
  int result = run_grid(&program, slots, (int32_t)x, (int32_t)y, (int32_t)z, count_threads());
  if (result == NO_MEMORY) fail("kernel '%s' in this package: no memory for its threads or their scratch memory", kernel->name);
  if (result == OK) return;
  const Failure *failure = last_failure();
  const int32_t *id = failure->program_id;
  fail("kernel '%s' in this package failed in program (%d, %d, %d): %s", kernel->name, id[0], id[1], id[2], failure->message);
}
