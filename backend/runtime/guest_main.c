// The persistent riscv64 program that runs kernels for a host process, under QEMU.
//
// usage: guest GENERATION FD. FD is the file that host and guest share: the memory that both see at address A lies at offset A.
#include <stddef.h>
#include <stdlib.h>

#include "guest.h"
#include "ime_call.h"
#include "trace.h"

static const External more[] = {{"ime_call", (void *)ime_call}, {"trace_access", (void *)trace_access}, {NULL, NULL}};

static uint64_t same(uint64_t address) { return address; }

int main(int count, char **values) {
  if (count != 3) return 2;
  const Guest guest = {.file = atoi(values[2]), .generation = atoi(values[1]), .bell = -1, .place = same, .more = more};
  ime_call_generation = guest.generation;
  return run_guest(&guest);
}
