// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Stores to the two halves of rows share a loop: no element is in both.
// CHECK-LABEL: func.func @halves
func.func @halves(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<32xf32>
  // CHECK-NEXT: %[[B:.*]] = arith.mulf %[[A]], %[[A]]
  // CHECK: llvm.store %[[A]]
  // CHECK: llvm.store %[[B]]
  // CHECK-NOT: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  %b = arith.mulf %a, %a : tensor<16x32xf32>
  %d = arith.constant 32 : i64
  %m = arith.addi %n, %d : i64
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %a, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %q = llvm.getelementptr %y[%m] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%q, %b, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// One element further on the rows of one end in those of the other: the second store comes behind the first in whole.
// CHECK-LABEL: func.func @overlap
func.func @overlap(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: llvm.store %[[A]]
  // CHECK: scf.for
  // CHECK: llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  %b = arith.mulf %a, %a : tensor<16x32xf32>
  %d = arith.constant 31 : i64
  %m = arith.addi %n, %d : i64
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %a, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %q = llvm.getelementptr %y[%m] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%q, %b, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// So do rows that the second store takes over from the first.
// CHECK-LABEL: func.func @next_row
func.func @next_row(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: llvm.store %[[A]]
  // CHECK: scf.for
  // CHECK: llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  %b = arith.mulf %a, %a : tensor<16x32xf32>
  %d = arith.constant 64 : i64
  %m = arith.addi %n, %d : i64
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %a, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %q = llvm.getelementptr %y[%m] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%q, %b, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A load between them reads what the first has stored.
// CHECK-LABEL: func.func @load_between
func.func @load_between(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: llvm.store %[[A]]
  // CHECK: scf.for
  // CHECK: llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  %b = arith.mulf %a, %a : tensor<16x32xf32>
  %d = arith.constant 32 : i64
  %m = arith.addi %n, %d : i64
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %a, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %l = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  "xsmt.descriptor_store"(%x, %l, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %q = llvm.getelementptr %y[%m] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%q, %b, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Rows whose distance is known at run time only may be shorter than the halves are apart.
// CHECK-LABEL: func.func @strides
func.func @strides(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64, %s: i64) {
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: llvm.store %[[A]]
  // CHECK: scf.for
  // CHECK: llvm.load %{{.*}} -> vector<32xf32>
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  %b = arith.mulf %a, %a : tensor<16x32xf32>
  %d = arith.constant 32 : i64
  %m = arith.addi %n, %d : i64
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %a, %s, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  %q = llvm.getelementptr %y[%m] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%q, %b, %s, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Pointers that are known steps from one another: a block of 256 ends where the next one begins.
// CHECK-LABEL: func.func @constant_steps
func.func @constant_steps(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: scf.for
  // CHECK: %[[B:.*]] = arith.mulf
  // CHECK: llvm.store
  // CHECK: llvm.store %[[B]]
  // CHECK-NOT: scf.for
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  %b = arith.mulf %a, %a : tensor<256xf32>
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %q = llvm.getelementptr %p[256] : (!llvm.ptr) -> !llvm.ptr, f32
  %r = llvm.getelementptr %q[512] : (!llvm.ptr) -> !llvm.ptr, i16
  "xsmt.descriptor_store"(%q, %a, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%r, %b, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// One element is in both blocks.
// CHECK-LABEL: func.func @one_shared
func.func @one_shared(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: scf.for
  // CHECK-NOT: arith.mulf
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  %b = arith.mulf %a, %a : tensor<256xf32>
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %q = llvm.getelementptr %p[256] : (!llvm.ptr) -> !llvm.ptr, f32
  %r = llvm.getelementptr %q[510] : (!llvm.ptr) -> !llvm.ptr, i16
  "xsmt.descriptor_store"(%q, %a, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%r, %b, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// No whole number of elements lies between the blocks.
// CHECK-LABEL: func.func @between_elements
func.func @between_elements(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: scf.for
  // CHECK-NOT: arith.mulf
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: arith.mulf
  // CHECK: llvm.store
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  %b = arith.mulf %a, %a : tensor<256xf32>
  %p = llvm.getelementptr %y[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %q = llvm.getelementptr %p[256] : (!llvm.ptr) -> !llvm.ptr, f32
  %r = llvm.getelementptr %q[511] : (!llvm.ptr) -> !llvm.ptr, i16
  "xsmt.descriptor_store"(%q, %a, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%r, %b, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}
