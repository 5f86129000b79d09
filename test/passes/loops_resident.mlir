// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// A carried block whose lanes do not need each other stays in registers: all turns for some vectors, then all turns for the next ones.
// CHECK-LABEL: func.func @accumulate
func.func @accumulate(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for %[[J:.*]] = %c0_i64 to %c1024_i64 step %c128_i64
  // CHECK: %[[R:.*]]:2 = scf.for %{{.*}} = %c0_i64 to %arg2 step %c1024_i64 iter_args(%[[A:.*]] = %cst, %[[B:.*]] = %cst)
  // CHECK: arith.addf %[[A]]
  // CHECK: arith.addf %[[B]]
  // CHECK: llvm.store %[[R]]#0
  // CHECK: llvm.store %[[R]]#1
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

// The same with a store in the loop: the loads of a later turn may be of what it writes, so turns stay in order, and the block in memory.
// CHECK-LABEL: func.func @writes
func.func @writes(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %arg2 step %c1024_i64 : i64 {
  %zero = arith.constant dense<0.0> : tensor<1024xf32>
  %one = arith.constant 1.0 : f32
  %r = scf.for %k = %c0 to %n step %c1024 iter_args(%acc = %zero) -> (tensor<1024xf32>) : i64 {
    %p = llvm.getelementptr %x[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
    %s = arith.addf %acc, %a : tensor<1024xf32>
    llvm.store %one, %p : f32, !llvm.ptr
    scf.yield %s : tensor<1024xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A block of which a lane needs another one, here its transpose: each turn goes through the whole block.
// CHECK-LABEL: func.func @transposes
func.func @transposes(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %arg2 step %c1_i64 : i64 {
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c32, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x32xf32>
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %a) -> (tensor<32x32xf32>) : i64 {
    %t = "tt.trans"(%acc) {order = array<i32: 1, 0>} : (tensor<32x32xf32>) -> tensor<32x32xf32>
    %s = arith.addf %t, %a : tensor<32x32xf32>
    scf.yield %s : tensor<32x32xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c32, %c1, %c0, %c0, %c32, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A sum across the lanes' dimension is taken for the vectors that need it; one along it would need all lanes of a row.
// CHECK-LABEL: func.func @rows
func.func @rows(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: scf.for %[[J:.*]] = %c0_i64 to %c256_i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %arg2 step %c16_i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %c16_i64 step %c1_i64
  // CHECK: arith.addf
  %zero = arith.constant dense<0.0> : tensor<256xf32>
  %r = scf.for %k = %c0 to %n step %c16 iter_args(%acc = %zero) -> (tensor<256xf32>) : i64 {
    %o = arith.muli %k, %c256 : i64
    %p = llvm.getelementptr %x[%o] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %c256, %c1, %c0, %c0, %c16, %c256) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x256xf32>
    %s = "tt.reduce"(%a) ({
    ^bb0(%l: f32, %m: f32):
      %t = arith.addf %l, %m : f32
      "tt.reduce.return"(%t) : (f32) -> ()
    }) {axis = 0 : i32} : (tensor<16x256xf32>) -> tensor<256xf32>
    %u = arith.addf %acc, %s : tensor<256xf32>
    scf.yield %u : tensor<256xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// CHECK-LABEL: func.func @columns
func.func @columns(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %arg2 step %c16_i64 : i64 {
  %zero = arith.constant dense<0.0> : tensor<256xf32>
  %r = scf.for %k = %c0 to %n step %c16 iter_args(%acc = %zero) -> (tensor<256xf32>) : i64 {
    %o = arith.muli %k, %c256 : i64
    %p = llvm.getelementptr %x[%o] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %c16, %c1, %c0, %c0, %c256, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<256x16xf32>
    %s = "tt.reduce"(%a) ({
    ^bb0(%l: f32, %m: f32):
      %t = arith.addf %l, %m : f32
      "tt.reduce.return"(%t) : (f32) -> ()
    }) {axis = 1 : i32} : (tensor<256x16xf32>) -> tensor<256xf32>
    %u = arith.addf %acc, %s : tensor<256xf32>
    scf.yield %u : tensor<256xf32>
  }
  "xsmt.descriptor_store"(%y, %r, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}
