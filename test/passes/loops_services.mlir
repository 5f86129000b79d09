// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// The place in the grid is read from the context.
// CHECK-LABEL: func.func @grid
func.func @grid(%y: !llvm.ptr) {
  // CHECK: %[[A:.*]] = llvm.getelementptr %arg1[4]
  // CHECK: llvm.load %[[A]] {{.*}} -> i32
  // CHECK: %[[B:.*]] = llvm.getelementptr %arg1[20]
  // CHECK: llvm.load %[[B]] {{.*}} -> i32
  %a = "tt.get_program_id"() {axis = 1 : i32} : () -> i32
  %b = "tt.get_num_programs"() {axis = 2 : i32} : () -> i32
  %c = arith.addi %a, %b : i32
  llvm.store %c, %y : i32, !llvm.ptr
  return
}

// -----

// An assertion checks vectors, and calls the service with the message and its line where a lane fails.
// CHECK-LABEL: func.func @assert
func.func @assert(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK-NOT: llvm.call
  // CHECK: scf.for {{.*}} to %c1024_i64
  // CHECK: %[[ALL:.*]] = vector.reduction <and>
  // CHECK: %[[FAILED:.*]] = arith.xori %[[ALL]], %true
  // CHECK: scf.if %[[FAILED]]
  // CHECK: %[[F:.*]] = llvm.load %{{.*}} -> !llvm.ptr
  // CHECK: llvm.call %[[F]](%arg1, %{{.*}})
  %zero = arith.constant dense<0> : tensor<1024xi32>
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xi32>
  %p = arith.cmpi sgt, %a, %zero : tensor<1024xi32>
  "tt.assert"(%p) {message = "positive"} : (tensor<1024xi1>) -> () loc("k.py":7:3)
  return
}

// -----

// Printing hands over type, rank, extents and the data in memory: bfloat16 is kind 3, an unsigned integer kind 1.
// CHECK-LABEL: func.func @print
func.func @print(%x: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: llvm.store %c32_i64
  // CHECK: llvm.store %c64_i64
  // CHECK: llvm.call %{{.*}}(%arg2, %{{.*}}, %c784_i32, %c0_i32, %c2_i32, %{{.*}}, %{{.*}})
  // CHECK: llvm.store %arg1,
  // CHECK: llvm.call %{{.*}}(%arg2, %{{.*}}, %c288_i32, %c0_i32, %c0_i32, %{{.*}}, %{{.*}})
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xbf16>
  "tt.print"(%a, %n) {prefix = " x: ", hex = false, isSigned = array<i32: 1, 0>} : (tensor<32x64xbf16>, i32) -> ()
  return
}

// -----

// A scalar division whose divisor is not known checks for zero first; one by a constant does not.
// CHECK-LABEL: func.func @division
func.func @division(%y: !llvm.ptr, %n: i32, %m: i32) {
  // CHECK: %[[ZERO:.*]] = arith.cmpi eq, %arg2, %c0_i32
  // CHECK: scf.if %[[ZERO]]
  // CHECK: llvm.call
  // CHECK: }
  // CHECK: arith.divsi
  // CHECK-NOT: scf.if
  // CHECK: arith.remui
  %q = arith.divsi %n, %m : i32 loc("k.py":9:3)
  %seven = arith.constant 7 : i32
  %r = arith.remui %q, %seven : i32
  llvm.store %r, %y : i32, !llvm.ptr
  return
}

// -----

// A scalar atomic under a mask: nothing is touched where it does not hold, and the result is zero.
// CHECK-LABEL: func.func @scalar_atomic
func.func @scalar_atomic(%y: !llvm.ptr, %v: f32, %c: i1) {
  // CHECK: scf.if %arg2
  // CHECK: %[[OLD:.*]] = llvm.atomicrmw fadd %arg0, %arg1 acq_rel
  // CHECK: scf.yield %[[OLD]]
  // CHECK: } else {
  // CHECK: scf.yield %cst
  %o = "xsmt.atomic_rmw"(%y, %v, %c) {kind = "fadd", operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 1>, order = "acq_rel", unit = 4 : i64} : (!llvm.ptr, f32, i1) -> f32
  llvm.store %o, %y : f32, !llvm.ptr
  return
}

// -----

// A block goes element by element; a result that nobody needs is not kept.
// CHECK-LABEL: func.func @block_atomic
func.func @block_atomic(%y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  // CHECK-NOT: llvm.alloca
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c64_i64 step %c1_i64
  // CHECK: %[[ACTIVE:.*]] = arith.cmpi slt, %[[I]], %arg1
  // CHECK: scf.if %[[ACTIVE]]
  // CHECK: llvm.atomicrmw umax %{{.*}}, %c1_i32 monotonic
  // CHECK-NOT: llvm.store
  // CHECK: return
  %one = arith.constant dense<1> : tensor<64xi32>
  %i = "tt.make_range"() {end = 64 : i32, start = 0 : i32} : () -> tensor<64xi32>
  %o = "xsmt.atomic_rmw"(%y, %i, %one, %c0, %c0, %n) {kind = "umax", operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, order = "relaxed", unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, tensor<64xi32>, i64, i64, i64) -> tensor<64xi32>
  return
}

// -----

// Floats are compared bit for bit.
// CHECK-LABEL: func.func @cas
func.func @cas(%y: !llvm.ptr, %e: f32, %v: f32) {
  // CHECK-DAG: %[[E:.*]] = arith.bitcast %arg1 : f32 to i32
  // CHECK-DAG: %[[V:.*]] = arith.bitcast %arg2 : f32 to i32
  // CHECK: %[[PAIR:.*]] = llvm.cmpxchg %arg0, %[[E]], %[[V]] acquire acquire
  // CHECK: %[[OLD:.*]] = llvm.extractvalue %[[PAIR]][0]
  // CHECK: arith.bitcast %[[OLD]] : i32 to f32
  %o = "xsmt.atomic_cas"(%y, %e, %v) {operandSegmentSizes = array<i32: 1, 0, 1, 1, 0, 0, 0, 0>, order = "acquire", unit = 4 : i64} : (!llvm.ptr, f32, f32) -> f32
  llvm.store %o, %y : f32, !llvm.ptr
  return
}

// -----

// Operands that are loaded come from before the atomics, which may write there.
// CHECK-LABEL: func.func @block_cas
func.func @block_cas(%y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for
  // CHECK: llvm.getelementptr %arg1
  // CHECK: llvm.load
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK-NOT: %arg1
  // CHECK: llvm.cmpxchg %{{.*}} acq_rel acquire
  // CHECK: scf.for
  // CHECK: llvm.getelementptr %arg1
  %one = arith.constant dense<1> : tensor<64xi32>
  %e = "xsmt.descriptor_load"(%z, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi32>
  %o = "xsmt.atomic_cas"(%y, %e, %one, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 1, 0>, order = "acq_rel", unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, tensor<64xi32>, i64, i64, i64) -> tensor<64xi32>
  "xsmt.descriptor_store"(%z, %o, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}

// -----

// A body that needs nothing from around it gets a struct all the same.
// CHECK-LABEL: func.func @nothing
func.func @nothing(%i: i32) {
  // CHECK: %[[STRUCT:.*]] = llvm.alloca
  // CHECK: llvm.call %{{.*}}(%arg1, %{{.*}}, %[[STRUCT]],
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    "xsmt.yield"() : () -> ()
  }) {bind_sub_block = false} : (i32, i32, i32) -> ()
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    "xsmt.yield"() : () -> ()
  }) {bind_sub_block = false} : (i32, i32, i32) -> ()
  return
}
