// RUN: triton-spacemit-opt %s --chip host --split-input-file --loops --canonicalize --cse | filecheck %s

// Read contiguously down the columns, stored along the rows: vectors of both kinds, and squares of them transposed in registers.
// CHECK-LABEL: func.func @stored_across
// CHECK-NOT: llvm.intr.masked.gather
// CHECK: llvm.load {{.*}} -> vector<
// CHECK: math.exp
// CHECK: vector.shuffle
// CHECK: llvm.store {{.*}} : vector<
// CHECK-NOT: llvm.intr.masked.gather
// CHECK: return
func.func @stored_across(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c1024 = arith.constant 1024 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c1024, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %e = math.exp %a : tensor<64x64xf32>
  "xsmt.descriptor_store"(%y, %e, %c1024, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// With another block that lies along the rows: the one that lies across is copied, square by square, and the loop runs along rows.
// CHECK-LABEL: func.func @copied_first
// CHECK-NOT: llvm.intr.masked.gather
// CHECK: vector.shuffle
// CHECK: arith.addf {{.*}} : vector<
// CHECK-NOT: llvm.intr.masked.gather
// CHECK: return
func.func @copied_first(%x: !llvm.ptr, %z: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c1024 = arith.constant 1024 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c1024, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %b = "xsmt.descriptor_load"(%z, %c1024, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %s = arith.addf %a, %b : tensor<64x64xf32>
  "xsmt.descriptor_store"(%y, %s, %c1024, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Neither dimension's elements are neighbours: there is no vector to load, and no square is taken.
// CHECK-LABEL: func.func @no_neighbours
// CHECK-NOT: vector.shuffle
// CHECK: llvm.intr.masked.gather
func.func @no_neighbours(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c64 = arith.constant 64 : i64
  %c1024 = arith.constant 1024 : i64
  %a = "xsmt.descriptor_load"(%x, %c2, %c1024, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%y, %a, %c1024, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
