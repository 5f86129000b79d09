// Options, textual pipelines, dumps and times, as mlir-opt has them.
// RUN: triton-spacemit-opt %s --canonicalize="max-iterations=3 top-down=false" | filecheck %s
// RUN: triton-spacemit-opt %s '--pass-pipeline=builtin.module(structure, func.func(canonicalize{max-iterations=3}, cse))' | filecheck %s
// RUN: triton-spacemit-opt %s --allow-unregistered-dialect --verify-roundtrip --structure-pipeline | filecheck %s
// RUN: triton-spacemit-opt < %s --canonicalize - | filecheck %s
// RUN: triton-spacemit-opt %s --until=loops --mlir-print-ir-after=structure --mlir-print-ir-before=loops -o %t 2>&1 | filecheck %s --check-prefix=SOME
// RUN: triton-spacemit-opt %s --cse --canonicalize --cse --mlir-print-ir-before-all -o %t 2>&1 | filecheck %s --check-prefix=BEFORE
// RUN: triton-spacemit-opt %s --cse --canonicalize --cse --mlir-print-ir-after-change -o %t 2>&1 | filecheck %s --check-prefix=CHANGE
// RUN: triton-spacemit-opt %s --cse --structure --mlir-timing -o %t 2>&1 | filecheck %s --check-prefix=TIME
// RUN: triton-spacemit-opt --help-pass structure | filecheck %s --check-prefix=DOC
// RUN: triton-spacemit-opt --help | filecheck %s --check-prefix=HELP
// RUN: not triton-spacemit-opt %s --canonicalize=no-such=1 2>&1 | filecheck %s --check-prefix=OPTION
// RUN: not triton-spacemit-opt %s --loops=unroll=8 2>&1 | filecheck %s --check-prefix=OWN
// RUN: not triton-spacemit-opt %s '--pass-pipeline=builtin.module(func.func(loops))' 2>&1 | filecheck %s --check-prefix=ANCHOR
// RUN: not triton-spacemit-opt %s '--pass-pipeline=builtin.module(cse' 2>&1 | filecheck %s --check-prefix=OPEN
// RUN: not triton-spacemit-opt %s '--pass-pipeline=cse)' 2>&1 | filecheck %s --check-prefix=OPEN
// RUN: not triton-spacemit-opt %s --pass-pipeline=cse,,cse 2>&1 | filecheck %s --check-prefix=MISSING
// RUN: not triton-spacemit-opt %s --pass-pipeline=cse!,cse 2>&1 | filecheck %s --check-prefix=WORD
// RUN: not triton-spacemit-opt %s '--pass-pipeline=builtin.module(func.func(nope))' 2>&1 | filecheck %s --check-prefix=NESTED
// RUN: not triton-spacemit-opt %s --cse --mlir-print-ir-after=nope 2>&1 | filecheck %s --check-prefix=DUMP
// RUN: not triton-spacemit-opt %s -cse 2>&1 | filecheck %s --check-prefix=DASH

// CHECK: arith.constant 3 : i32
// CHECK-NOT: arith.addi
func.func public @f() -> i32 {
  %a = arith.constant 1 : i32
  %b = arith.constant 2 : i32
  %c = arith.addi %a, %b : i32
  return %c : i32
}

// SOME: IR Dump After structure
// SOME: IR Dump Before loops
// SOME-NOT: IR Dump

// BEFORE: IR Dump Before cse
// BEFORE: arith.addi
// BEFORE: IR Dump Before canonicalize
// BEFORE: arith.addi
// BEFORE: IR Dump Before cse
// BEFORE-NOT: arith.addi

// CHANGE-NOT: After cse
// CHANGE: IR Dump After canonicalize
// CHANGE-NOT: After cse

// TIME: {{[0-9.]+}} s ({{ *[0-9.]+}}%)  cse
// TIME: {{[0-9.]+}} s ({{ *[0-9.]+}}%)  structure
// TIME: {{[0-9.]+}} s (100.0%)  Total

// DOC: Resolve every pointer expression and mask once
// DOC: In: the bridged module
// DOC: tt.func public @copy

// HELP: --pass-pipeline TEXT
// HELP: --mlir-print-ir-after PASS

// OPTION: error: canonicalize{no-such=1}: no such option no-such
// OWN: error: loops takes no options, got {unroll=8}
// ANCHOR: error: loops runs on builtin.module, not within func.func
// OPEN: error: unbalanced brackets in pipeline
// MISSING: error: a pass is missing between commas of the pipeline
// WORD: error: 'cse!' is no pass
// NESTED: error: unknown pass 'nope'
// DUMP: error: --mlir-print-ir-before and -after name passes that run; 'nope' does not
// DASH: error: unrecognized argument -cse
