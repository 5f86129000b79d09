// Matrix instructions as calls, which the host puts in their place (backend/devices/ime_calls.py): a signal takes longer than what it is for.
#include "ime_call.h"

#include "ime.h"
#include "ime_table.h"

int ime_call_generation;

#pragma clang attribute push(__attribute__((target("arch=rv64gc"))), apply_to = function)

// `frame` is that of the code in the instruction's place: t0, ra, vstart, and from byte 64 on the registers of C, of A and of B.
__attribute__((used)) static uint64_t on_ime_call(const ImeCall *call, uint8_t *frame, uint64_t vl, uint64_t vtype, uint64_t vlenb) {
  VectorState state = {.vl = vl, .vtype = vtype, .vstart = ((const uint64_t *)frame)[2], .vlenb = vlenb};
  uint8_t *c = frame + 64, *a = c + 2 * vlenb;
  Operands operands = {a, a + 2 * vlenb, c};
  return (uint64_t)emulate_ime_on(call->word, ime_call_generation, &state, &operands);
}

#pragma clang attribute pop

__attribute__((naked)) void ime_call(void) {
  __asm__ volatile(
      "addi sp, sp, -128\n"
      "sd ra, 0(sp)\n sd a0, 8(sp)\n sd a1, 16(sp)\n sd a2, 24(sp)\n sd a3, 32(sp)\n sd a4, 40(sp)\n sd a5, 48(sp)\n sd a6, 56(sp)\n"
      "sd a7, 64(sp)\n sd t1, 72(sp)\n sd t2, 80(sp)\n sd t3, 88(sp)\n sd t4, 96(sp)\n sd t5, 104(sp)\n sd t6, 112(sp)\n"
      "mv a0, t0\n addi a1, sp, 128\n csrr a2, vl\n csrr a3, vtype\n csrr a4, vlenb\n"
      "call on_ime_call\n"
      "mv t0, a0\n"
      "ld ra, 0(sp)\n ld a0, 8(sp)\n ld a1, 16(sp)\n ld a2, 24(sp)\n ld a3, 32(sp)\n ld a4, 40(sp)\n ld a5, 48(sp)\n ld a6, 56(sp)\n"
      "ld a7, 64(sp)\n ld t1, 72(sp)\n ld t2, 80(sp)\n ld t3, 88(sp)\n ld t4, 96(sp)\n ld t5, 104(sp)\n ld t6, 112(sp)\n"
      "addi sp, sp, 128\n ret\n");
}
