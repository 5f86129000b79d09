// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// A new value that reads the old one in other places is computed aside first.
// CHECK-LABEL: func.func @rotate
func.func @rotate(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[ASIDE:.*]] = llvm.getelementptr %arg4[{{[1-9][0-9]*}}]
  // CHECK: scf.for {{.*}} = %c0_i64 to %arg2
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.getelementptr %[[ASIDE]][
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: llvm.getelementptr %[[ASIDE]][
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.store
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%p = %zero) -> (tensor<64x64xf32>) : i64 {
    %t = "tt.trans"(%p) {order = array<i32: 1, 0>} : (tensor<64x64xf32>) -> tensor<64x64xf32>
    scf.yield %t : tensor<64x64xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----
// Both sides of a branch write the result into one buffer; a scalar result is a value.
// CHECK-LABEL: func.func @branch
func.func @branch(%x: !llvm.ptr, %y: !llvm.ptr, %c: i1) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.if %arg2
  // CHECK: llvm.load
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.store
  // CHECK: } else {
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.store %cst
  // CHECK: }
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.getelementptr %arg1[
  // CHECK: llvm.store
  // CHECK: llvm.store %{{.*}}, %arg0 {{.*}} i32
  %one = arith.constant dense<1.0> : tensor<1024xf32>
  %zero = arith.constant 0 : i32
  %five = arith.constant 5 : i32
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %r:2 = scf.if %c -> (tensor<1024xf32>, i32) {
    scf.yield %a, %zero : tensor<1024xf32>, i32
  } else {
    scf.yield %one, %five : tensor<1024xf32>, i32
  }
  "xsmt.descriptor_store"(%y, %r#0, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  llvm.store %r#1, %x : i32, !llvm.ptr
  return
}

// -----
// A while loop: what the condition passes on has a buffer of its own.
// CHECK-LABEL: func.func @while
func.func @while(%x: !llvm.ptr, %y: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[PASSED:.*]] = llvm.getelementptr %arg4[4096]
  // CHECK: scf.while (%{{.*}} = %arg2) : (i32) -> i32
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.getelementptr %[[PASSED]][
  // CHECK: llvm.store
  // CHECK: scf.condition
  // CHECK: llvm.getelementptr %[[PASSED]][
  // CHECK: arith.addf
  // CHECK: llvm.getelementptr %arg4[
  // CHECK: llvm.store
  // CHECK: scf.yield
  // CHECK: llvm.getelementptr %[[PASSED]][
  // CHECK: llvm.getelementptr %arg1[
  %zero = arith.constant dense<0.0> : tensor<1024xf32>
  %one = arith.constant dense<1.0> : tensor<1024xf32>
  %i = arith.constant 1 : i32
  %r:2 = scf.while (%k = %n, %acc = %zero) : (i32, tensor<1024xf32>) -> (i32, tensor<1024xf32>) {
    %go = arith.cmpi sgt, %k, %i : i32
    scf.condition(%go) %k, %acc : i32, tensor<1024xf32>
  } do {
  ^bb0(%k: i32, %acc: tensor<1024xf32>):
    %s = arith.addf %acc, %one : tensor<1024xf32>
    %l = arith.shrsi %k, %i : i32
    scf.yield %l, %s : i32, tensor<1024xf32>
  }
  "xsmt.descriptor_store"(%y, %r#1, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----
// A switch over cases.
// CHECK-LABEL: func.func @switch
func.func @switch(%y: !llvm.ptr, %n: index) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[BUFFER:.*]] = llvm.alloca
  // CHECK: scf.index_switch %arg1
  // CHECK: case 2
  // CHECK: llvm.getelementptr %[[BUFFER]]
  // CHECK: default
  // CHECK: llvm.getelementptr %[[BUFFER]]
  // CHECK: llvm.load
  // CHECK: llvm.getelementptr %arg0
  %zero = arith.constant dense<0.0> : tensor<64xf32>
  %one = arith.constant dense<1.0> : tensor<64xf32>
  %r = scf.index_switch %n -> tensor<64xf32>
  case 2 {
    scf.yield %one : tensor<64xf32>
  }
  default {
    scf.yield %zero : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----
// A load that a loop with stores needs comes before that loop.
// CHECK-LABEL: func.func @hoisted
func.func @hoisted(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: llvm.getelementptr %arg0
  // CHECK: llvm.load
  // CHECK: llvm.getelementptr %arg5
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} to %arg3
  // CHECK-NOT: llvm.getelementptr %arg0
  // CHECK: llvm.getelementptr %arg5
  // CHECK: llvm.getelementptr
  // CHECK: llvm.store
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  scf.for %k = %c0 to %n step %c1024 : i64 {
    %p = llvm.getelementptr %y[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    "xsmt.descriptor_store"(%p, %a, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  }
  return
}
