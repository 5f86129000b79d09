// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Eight lanes to a register: what stays within one is one pass over the row; then merges of 16 and 32 elements are a loop over both, each with
// its far steps and one pass.
// CHECK-LABEL: func.func @sort
func.func @sort(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for
  // CHECK: vector.shuffle %{{.*}} [1, 0, 3, 2, 5, 4, 7, 6]
  // CHECK: vector.shuffle %{{.*}} [2, 3, 0, 1, 6, 7, 4, 5]
  // CHECK: vector.shuffle %{{.*}} [1, 0, 3, 2, 5, 4, 7, 6]
  // CHECK: vector.shuffle %{{.*}} [4, 5, 6, 7, 0, 1, 2, 3]
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: scf.for
  // CHECK: scf.for
  // CHECK: llvm.load
  // CHECK: llvm.load
  // CHECK-COUNT-2: arith.cmpf ogt
  // CHECK-COUNT-2: llvm.store
  // CHECK: scf.for
  // CHECK: vector.shuffle %{{.*}} [4, 5, 6, 7, 0, 1, 2, 3]
  // CHECK-COUNT-2: vector.shuffle
  // CHECK-NOT: vector.shuffle
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %b = "xsmt.exchange"(%a) {distances = [1, 2, 1, 4, 2, 1, 8, 4, 2, 1, 16, 8, 4, 2, 1],
                            flips = [2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 32, 32], unsigned = false} : (tensor<64xf32>) -> tensor<64xf32>
  "xsmt.descriptor_store"(%x, %b, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}
