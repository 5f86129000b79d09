// One of XNNPACK's micro-kernels as a kernel of ours: included by name from a checkout, called with arguments from the slots.
//
// SOURCE: the file; UKERNEL: its function. Slots: the size in bytes; then what the form needs.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include SOURCE

__attribute__((used)) void ukernel(const uint64_t *slots, void *context) {
  (void)context;
#ifdef UNARY
  UKERNEL(slots[0], (const void *)slots[1], (void *)slots[2], (const void *)slots[3]);
#elif defined(BINARY)
  UKERNEL(slots[0], (const void *)slots[1], (const void *)slots[2], (void *)slots[3], (const void *)slots[4]);
#endif
}
