// RUN: triton-spacemit-opt %s --chip host --split-input-file --loops --canonicalize --cse | filecheck %s

// A carried block lives in one buffer that each turn updates in place; only scalars are carried as values.
// CHECK-LABEL: func.func @accumulate
func.func @accumulate(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: llvm.getelementptr %arg4
  // CHECK: llvm.store %cst
  // CHECK: scf.for %[[K:.*]] = %c0_i64 to %arg2 step %c1024_i64 : i64 {
  // CHECK: scf.for
  // CHECK: %[[P:.*]] = llvm.getelementptr %arg4[
  // CHECK: %[[OLD:.*]] = llvm.load %[[P]]
  // CHECK: %[[A:.*]] = llvm.load
  // CHECK: %[[NEW:.*]] = arith.addf %[[OLD]], %[[A]]
  // CHECK: llvm.store %[[NEW]], %[[P]]
  // CHECK: llvm.getelementptr %arg4
  // CHECK: llvm.getelementptr %arg1
  // CHECK: llvm.store
  %zero = arith.constant dense<0.0> : tensor<1024xf32>
  %r = scf.for %k = %c0 to %n step %c1024 iter_args(%acc = %zero) -> (tensor<1024xf32>) : i64 {
    %p = llvm.getelementptr %x[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
    %s = arith.addf %acc, %a : tensor<1024xf32>
    scf.yield %s : tensor<1024xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Carried blocks that change places: both are read before either is written.
// CHECK-LABEL: func.func @swap
func.func @swap(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[Q:.*]] = llvm.getelementptr %arg4[4096]
  // CHECK: scf.for {{.*}} = %c0_i64 to %arg2
  // CHECK: %[[QI:.*]] = llvm.getelementptr %[[Q]][
  // CHECK: %[[B:.*]] = llvm.load %[[QI]]
  // CHECK: %[[PI:.*]] = llvm.getelementptr %arg4[
  // CHECK: %[[A:.*]] = llvm.load %[[PI]]
  // CHECK-DAG: llvm.store %[[B]], %[[PI]]
  // CHECK-DAG: llvm.store %[[A]], %[[QI]]
  %zero = arith.constant dense<0.0> : tensor<1024xf32>
  %one = arith.constant dense<1.0> : tensor<1024xf32>
  %r:2 = scf.for %k = %c0 to %n step %c1 iter_args(%p = %zero, %q = %one) -> (tensor<1024xf32>, tensor<1024xf32>) : i64 {
    scf.yield %q, %p : tensor<1024xf32>, tensor<1024xf32>
  }
  "xsmt.descriptor_store"(%y, %r#0, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// What is loaded lies by columns in memory, and so does the buffer of what the loop carries: neither is read or written across.
// CHECK-LABEL: func.func @by_columns
func.func @by_columns(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64, %far: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for
  // CHECK-NOT: {{gather|scatter|shuffle|llvm.load .* -> f32}}
  // CHECK: llvm.load %{{.*}} : !llvm.ptr -> vector<{{[0-9]+}}xf32>
  // CHECK: llvm.load %{{.*}} : !llvm.ptr -> vector<{{[0-9]+}}xf32>
  // CHECK: arith.addf
  // CHECK: llvm.store %{{.*}} : vector<{{[0-9]+}}xf32>, !llvm.ptr
  // CHECK-NOT: {{gather|scatter|shuffle|llvm.load .* -> f32}}
  // CHECK: return
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<64x64xf32>) : i64 {
    %a = "xsmt.descriptor_load"(%x, %c1, %far, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
         : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
    %s = arith.addf %acc, %a : tensor<64x64xf32>
    scf.yield %s : tensor<64x64xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c64, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>}
    : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Of loads that lie by columns and by rows none says how a buffer lies: it is by rows, as it is stored.
// CHECK-LABEL: func.func @both_ways
func.func @both_ways(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64, %far: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: llvm.intr.masked.gather
  // CHECK: llvm.load %{{.*}} : !llvm.ptr -> vector<{{[0-9]+}}xf32>
  // CHECK: llvm.store {{.*}} : vector<{{[0-9]+}}xf32>, !llvm.ptr
  // CHECK: llvm.getelementptr %arg1
  // CHECK-NEXT: llvm.store {{.*}} : vector<{{[0-9]+}}xf32>, !llvm.ptr
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<64x64xf32>) : i64 {
    %a = "xsmt.descriptor_load"(%x, %c1, %far, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
         : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
    %b = "xsmt.descriptor_load"(%x, %far, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
         : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
    %t = arith.addf %acc, %a : tensor<64x64xf32>
    %s = arith.addf %t, %b : tensor<64x64xf32>
    scf.yield %s : tensor<64x64xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>}
    : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
