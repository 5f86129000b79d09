// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s --check-prefixes=CHECK,X60
// RUN: triton-spacemit-opt %s --chip host --split-input-file --loops --canonicalize --cse | filecheck %s --check-prefixes=CHECK,HOST

// Two loads and a product, which the second loop needs again: the first one stores it, where every instruction counts.
// CHECK-LABEL: func.func @needed_again
func.func @needed_again(%x: !llvm.ptr, %w: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // X60: %[[P:.*]] = arith.mulf
  // X60: llvm.store %[[P]]
  // X60: vector.reduction
  // X60: scf.for
  // X60: llvm.load
  // X60-NOT: llvm.load
  // HOST-NOT: llvm.store
  // HOST: vector.reduction
  // CHECK: llvm.store
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = "xsmt.descriptor_load"(%w, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %p = arith.mulf %a, %b : tensor<1024xf32>
  %q = arith.mulf %p, %p : tensor<1024xf32>
  %s = "tt.reduce"(%q) ({
  ^bb0(%l: f32, %r: f32):
    %t = arith.addf %l, %r : f32
    "tt.reduce.return"(%t) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %ss = "tt.splat"(%s) : (f32) -> tensor<1024xf32>
  %y = arith.mulf %p, %ss : tensor<1024xf32>
  "xsmt.descriptor_store"(%z, %y, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A load and a difference take no more than a store and a load.
// CHECK-LABEL: func.func @as_cheap
func.func @as_cheap(%x: !llvm.ptr, %m: f32, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK-NOT: llvm.store
  // CHECK: vector.reduction
  // CHECK: llvm.store
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %ms = "tt.splat"(%m) : (f32) -> tensor<1024xf32>
  %p = arith.subf %a, %ms : tensor<1024xf32>
  %q = arith.mulf %p, %p : tensor<1024xf32>
  %s = "tt.reduce"(%q) ({
  ^bb0(%l: f32, %r: f32):
    %t = arith.addf %l, %r : f32
    "tt.reduce.return"(%t) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %ss = "tt.splat"(%s) : (f32) -> tensor<1024xf32>
  %y = arith.mulf %p, %ss : tensor<1024xf32>
  "xsmt.descriptor_store"(%z, %y, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Two sums in one loop: nothing needs the product behind it.
// CHECK-LABEL: func.func @one_loop
func.func @one_loop(%x: !llvm.ptr, %w: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK-NOT: llvm.store {{.*}}vector
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = "xsmt.descriptor_load"(%w, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %p = arith.mulf %a, %b : tensor<1024xf32>
  %q = arith.mulf %p, %p : tensor<1024xf32>
  %s = "tt.reduce"(%q) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %t = "tt.reduce"(%p) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  llvm.store %s, %y : f32, !llvm.ptr
  llvm.store %t, %z : f32, !llvm.ptr
  return
}
