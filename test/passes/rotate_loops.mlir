// RUN: triton-spacemit-opt %s --rotate-loops --split-input-file | filecheck %s

// Whether there is a first turn is asked before the loop, whether there is another at its end; of none the result is what it began with.
// CHECK-LABEL: func.func @carried
func.func @carried(%first: i64, %end: i64, %step: i64, %start: f32) -> f32 {
  // CHECK: %[[ANY:.*]] = arith.cmpi slt, %arg0, %arg1 : i64
  // CHECK: %[[R:.*]] = scf.if %[[ANY]] -> (f32) {
  // CHECK: %[[W:.*]]:2 = scf.while (%[[I:.*]] = %arg0, %[[OLD:.*]] = %arg3) : (i64, f32) -> (i64, f32) {
  // CHECK: %[[X:.*]] = arith.sitofp %[[I]]
  // CHECK: %[[NEW:.*]] = arith.addf %[[OLD]], %[[X]]
  // CHECK: %[[NEXT:.*]] = arith.addi %[[I]], %arg2 : i64
  // CHECK: %[[MORE:.*]] = arith.cmpi slt, %[[NEXT]], %arg1 : i64
  // CHECK: scf.condition(%[[MORE]]) %[[NEXT]], %[[NEW]]
  // CHECK: scf.yield %[[W]]#1
  // CHECK: scf.yield %arg3
  // CHECK: return %[[R]]
  %sum = scf.for %i = %first to %end step %step iter_args(%old = %start) -> f32 : i64 {
    %x = arith.sitofp %i : i64 to f32
    %new = arith.addf %old, %x : f32
    scf.yield %new : f32
  }
  return %sum : f32
}

// -----

// That there is a first turn is known.
// CHECK-LABEL: func.func @known
func.func @known(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c9 = arith.constant 9 : i64
  // CHECK-NOT: scf.if
  // CHECK: scf.while
  // CHECK-NOT: scf.if
  scf.for %i = %c0 to %c9 step %c1 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}

// -----

// That there is none is known, too: nothing may be stored.
// CHECK-LABEL: func.func @never
func.func @never(%x: !llvm.ptr) {
  %c1 = arith.constant 1 : i64
  %c9 = arith.constant 9 : i64
  // CHECK: %[[ANY:.*]] = arith.cmpi slt, %c9_i64, %c9_i64
  // CHECK: scf.if %[[ANY]] {
  // CHECK: scf.while
  scf.for %i = %c9 to %c9 step %c1 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}

// -----

// As an unsigned number -1 is the largest: indices are compared as the loop says, and -1 is not known to lie below 9.
// CHECK-LABEL: func.func @unsigned
func.func @unsigned(%x: !llvm.ptr) {
  %first = arith.constant -1 : i64
  %c1 = arith.constant 1 : i64
  %c9 = arith.constant 9 : i64
  // CHECK: arith.cmpi ult
  // CHECK: scf.if
  // CHECK: arith.cmpi ult
  scf.for unsigned %i = %first to %c9 step %c1 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}

// -----

// Of nested loops each is turned; one that is no `scf.for` stays as it is.
// CHECK-LABEL: func.func @nested
func.func @nested(%x: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: scf.if
  // CHECK: scf.while
  // CHECK: scf.if
  // CHECK: scf.while
  // CHECK-NOT: scf.for
  scf.for %i = %c0 to %n step %c1 : i64 {
    scf.for %j = %i to %n step %c1 : i64 {
      llvm.store %j, %x : i64, !llvm.ptr
    }
  }
  return
}
