// What the library of a kernel in a package of AOTInductor's defines under the kernel's name, for the launcher of the package.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { PACKAGE_VERSION = 1 };

// Where the kernel's slot comes from.
typedef struct PackageSlot {
  uint32_t argument;  // number in the array that the launcher is given: a pointer itself, or where a number lies
  uint16_t bytes;     // of the number; 0 for a pointer
  uint16_t divisor;   // the kernel was compiled for multiples of it
} PackageSlot;

typedef struct PackageKernel {
  uint32_t version, num_slots;
  const char *name;
  void (*code)(const uint64_t *slots, void *context);
  bool (*fits)(void);  // whether this processor can run the code
  uint64_t scratch_bytes;
  const PackageSlot *slots;
} PackageKernel;
