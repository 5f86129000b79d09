// RUN: triton-spacemit-opt %s --count-turns --split-input-file | filecheck %s

// A loop over whole vectors counts its turns; what it carries, and where it is, stay what they were.
// CHECK-LABEL: func.func @vectors
func.func @vectors(%n: i64, %start: i64) -> i64 {
  %c0 = arith.constant 0 : i64
  %c64 = arith.constant 64 : i64
  %mask = arith.constant -64 : i64
  %end = arith.andi %n, %mask : i64
  // CHECK: %[[TURNS:.*]] = arith.shrsi %arg0, %{{.*}} : i64
  // CHECK: scf.for %[[K:.*]] = %c0_i64 to %[[TURNS]] step %{{.*}} iter_args(%[[OLD:.*]] = %arg1)
  // CHECK-NEXT: %[[I:.*]] = arith.muli %[[K]], %{{.*}} overflow<nsw> : i64
  // CHECK-NEXT: %[[NEW:.*]] = arith.addi %[[OLD]], %[[I]]
  // CHECK-NEXT: scf.yield %[[NEW]]
  %sum = scf.for %i = %c0 to %end step %c64 iter_args(%old = %start) -> i64 : i64 {
    %new = arith.addi %old, %i : i64
    scf.yield %new : i64
  }
  return %sum : i64
}

// -----

// The end has bits below the step: the last turn is not a whole one.
// CHECK-LABEL: func.func @rest
func.func @rest(%x: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c64 = arith.constant 64 : i64
  %mask = arith.constant -32 : i64
  %end = arith.andi %n, %mask : i64
  // CHECK-NOT: arith.shrsi
  // CHECK: scf.for {{.*}} to %{{.*}} step %c64_i64
  scf.for %i = %c0 to %end step %c64 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}

// -----

// It does not begin at zero.
// CHECK-LABEL: func.func @from
func.func @from(%x: !llvm.ptr, %first: i64, %n: i64) {
  %c64 = arith.constant 64 : i64
  %mask = arith.constant -64 : i64
  %end = arith.andi %n, %mask : i64
  // CHECK-NOT: arith.shrsi
  // CHECK: scf.for %{{.*}} = %arg1 to %{{.*}} step %c64_i64
  scf.for %i = %first to %end step %c64 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}

// -----

// As an unsigned number a negative end is a large one.
// CHECK-LABEL: func.func @unsigned
func.func @unsigned(%x: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c64 = arith.constant 64 : i64
  %mask = arith.constant -64 : i64
  %end = arith.andi %n, %mask : i64
  // CHECK-NOT: arith.shrsi
  // CHECK: scf.for unsigned
  scf.for unsigned %i = %c0 to %end step %c64 : i64 {
    llvm.store %i, %x : i64, !llvm.ptr
  }
  return
}
