// A process that runs kernels for another one (guest.c), told what differs.
#pragma once
#include <stdint.h>

#include "runtime.h"

typedef struct Guest {
  int file;                             // shared with the host
  int generation;                       // of the matrix instructions that are emulated, 0 for none
  int bell;                             // a pipe by which events are told; -1 where the host waits for the control block's bell itself
  uint64_t (*place)(uint64_t address);  // where in the file the memory of an address lies
  int (*ready)(void);                   // called before the first event, if it is there; 0 ends the process
  void (*count)(int ends, uint64_t *answers);  // called around a launch that is to be counted: answers from the sixth on are its own
  const External *more;  // functions for what the host puts among a kernel's instructions, if there are any; the last has no name
} Guest;

int run_guest(const Guest *described);  // returns an exit code where it cannot begin
