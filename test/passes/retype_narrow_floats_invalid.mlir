// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --retype-narrow-floats --verify-diagnostics

func.func @atomic(%p: !llvm.ptr, %x: bf16) {
  // expected-error@below {{atomic arithmetic on bf16 is not supported}}
  %old = llvm.atomicrmw fadd %p, %x monotonic : !llvm.ptr, bf16
  return
}
