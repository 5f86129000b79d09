// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Each row is loaded once for the two that are computed from it: nine loads for eight rows, where nothing has a mask. The other version
// is for stores that meet what is loaded.
// CHECK-LABEL: func.func @one_block
func.func @one_block(%x: !llvm.ptr, %z: !llvm.ptr, %n: i64, %width: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c-1 = arith.constant -1 : i64
  // CHECK: scf.if
  // CHECK: scf.for
  // CHECK: scf.for
  // CHECK: scf.if
  // CHECK: scf.if
  // CHECK-COUNT-9: llvm.load {{.*}} -> vector<32xf32>
  // CHECK-NOT: llvm.load {{.*}} -> vector<32xf32>
  // CHECK: else
  // CHECK-COUNT-9: llvm.intr.masked.load
  // CHECK-NOT: llvm.intr.masked.load
  // CHECK: else
  // CHECK: return
  %rows = arith.addi %n, %c-1 : i64
  %y = llvm.getelementptr %x[%width] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %a = "xsmt.descriptor_load"(%x, %width, %c1, %c0, %c0, %n, %width) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %b = "xsmt.descriptor_load"(%y, %width, %c1, %c0, %c0, %rows, %width) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %s = arith.subf %b, %a : tensor<16x64xf32>
  "xsmt.descriptor_store"(%z, %s, %width, %c1, %c0, %c0, %rows, %width) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>}
       : (!llvm.ptr, tensor<16x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// The second load ends at the same number of its own rows: one row of it is there that is not of the first one's block.
// CHECK-LABEL: func.func @other_rows
func.func @other_rows(%x: !llvm.ptr, %z: !llvm.ptr, %n: i64, %width: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK-NOT: llvm.inline_asm
  // CHECK: return
  %y = llvm.getelementptr %x[%width] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %a = "xsmt.descriptor_load"(%x, %width, %c1, %c0, %c0, %n, %width) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %b = "xsmt.descriptor_load"(%y, %width, %c1, %c0, %c0, %n, %width) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %s = arith.subf %b, %a : tensor<16x64xf32>
  "xsmt.descriptor_store"(%z, %s, %width, %c1, %c0, %c0, %n, %width) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>}
       : (!llvm.ptr, tensor<16x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A distance that is no number of rows and elements.
// CHECK-LABEL: func.func @any_distance
func.func @any_distance(%x: !llvm.ptr, %z: !llvm.ptr, %d: i64, %width: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  // CHECK-NOT: llvm.inline_asm
  // CHECK: return
  %y = llvm.getelementptr %x[%d] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %a = "xsmt.descriptor_load"(%x, %width, %c1, %c0, %c0, %c16, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %b = "xsmt.descriptor_load"(%y, %width, %c1, %c0, %c0, %c16, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
       : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  %s = arith.subf %b, %a : tensor<16x64xf32>
  "xsmt.descriptor_store"(%z, %s, %width, %c1, %c0, %c0, %c16, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>}
       : (!llvm.ptr, tensor<16x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
