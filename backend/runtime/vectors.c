// QEMU keeps nothing of the vector state in a signal's frame: what a handler does with vectors, the interrupted code would find done.
#include "vectors.h"

#include <stddef.h>

#ifdef __riscv
// The frame below: ra, s0, then the state.
_Static_assert(offsetof(VectorState, registers) == 40 && sizeof(VectorState) == 48, "VectorState");

__attribute__((naked)) void enter_signal(int signal, siginfo_t *info, void *frame) {
  __asm__ volatile(
      ".option push\n .option arch, +v\n"  // of a program that is built without
      "addi sp, sp, -64\n"
      "sd ra, 0(sp)\n sd s0, 8(sp)\n mv s0, sp\n"
      "csrr t0, vl\n csrr t1, vtype\n csrr t2, vstart\n csrr t3, vcsr\n csrr t4, vlenb\n"
      "sd t0, 16(sp)\n sd t1, 24(sp)\n sd t2, 32(sp)\n sd t3, 40(sp)\n sd t4, 48(sp)\n"
      "slli t5, t4, 5\n sub sp, sp, t5\n andi sp, sp, -16\n sd sp, 56(s0)\n"
      "csrw vstart, zero\n slli t6, t4, 3\n mv t5, sp\n"  // also of stores of whole registers
      "vs8r.v v0, (t5)\n add t5, t5, t6\n vs8r.v v8, (t5)\n add t5, t5, t6\n"
      "vs8r.v v16, (t5)\n add t5, t5, t6\n vs8r.v v24, (t5)\n"
      "addi a3, s0, 16\n call on_signal\n"
      "ld t4, 48(s0)\n slli t6, t4, 3\n mv t5, sp\n csrw vstart, zero\n"
      "vl8re8.v v0, (t5)\n add t5, t5, t6\n vl8re8.v v8, (t5)\n add t5, t5, t6\n"
      "vl8re8.v v16, (t5)\n add t5, t5, t6\n vl8re8.v v24, (t5)\n"
      "ld t0, 16(s0)\n ld t1, 24(s0)\n ld t2, 32(s0)\n ld t3, 40(s0)\n"
      "vsetvl zero, t0, t1\n csrw vstart, t2\n csrw vcsr, t3\n"
      "mv sp, s0\n ld ra, 0(sp)\n ld s0, 8(sp)\n addi sp, sp, 64\n ret\n"
      ".option pop\n");
}
#else
void enter_signal(int signal, siginfo_t *info, void *frame) { on_signal(signal, info, frame, NULL); }
#endif
