// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --retype-narrow-floats --verify-diagnostics

func.func @several() -> vector<2xbf16> {
  // expected-error@below {{constants of several bf16 values are not supported}}
  %a = arith.constant dense<[1.0, 2.0]> : vector<2xbf16>
  return %a : vector<2xbf16>
}

// -----

func.func @atomic(%p: !llvm.ptr, %x: bf16) {
  // expected-error@below {{atomic arithmetic on bf16 is not supported}}
  %old = llvm.atomicrmw fadd %p, %x monotonic : !llvm.ptr, bf16
  return
}
