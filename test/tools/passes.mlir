// RUN: triton-spacemit-opt %s --canonicalize --cse | filecheck %s
// RUN: triton-spacemit-opt %s --pass-pipeline='canonicalize{max-iterations=3},cse' | filecheck %s
// RUN: triton-spacemit-opt %s --pass-pipeline='builtin.module(func.func(canonicalize),cse)' | filecheck %s
// RUN: triton-spacemit-opt %s --cse --canonicalize --print-ir-after-all 2>&1 | filecheck %s --check-prefix=ALL
// RUN: triton-spacemit-opt --list-passes | filecheck %s --check-prefix=LIST
// RUN: not triton-spacemit-opt %s --struktur 2>&1 | filecheck %s --check-prefix=UNKNOWN
// RUN: not triton-spacemit-opt %s --cse --until=loops 2>&1 | filecheck %s --check-prefix=EITHER
// RUN: not triton-spacemit-opt %s --chip z80 2>&1 | filecheck %s --check-prefix=CHIP

// CHECK: arith.constant 3 : i32
// CHECK-NOT: arith.addi
func.func @f() -> (i32, i32) {
  %a = arith.constant 1 : i32
  %b = arith.constant 2 : i32
  %c = arith.addi %a, %b : i32
  %d = arith.addi %a, %b : i32
  return %c, %d : i32, i32
}

// ALL: IR Dump After cse
// ALL: arith.addi
// ALL: IR Dump After canonicalize
// ALL-NOT: arith.addi

// LIST: --structure {{ *}} Resolve every pointer expression and mask once
// LIST: --loops
// LIST: --canonicalize {{ *}} Fold and simplify registered ops (upstream)
// LIST: --loops-pipeline {{ *}} Stage loops: narrow-accumulators, loops, canonicalize{top-down=false}, cse

// UNKNOWN: error: unknown pass 'struktur'; triton-spacemit-opt --list-passes shows the known ones
// EITHER: error: give passes, or --until, or --to
// CHIP: error: unknown chip 'z80'; known: host, x60
