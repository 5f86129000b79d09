// RUN: triton-spacemit-opt %s --canonicalize --cse | filecheck %s

// Loads read: equal ones are merged and unused ones go, but none moves across a store, an update or a barrier.
// CHECK-LABEL: func.func @loads
func.func @loads(%p: !llvm.ptr, %i: i64, %bar: i64) -> (tensor<8xf32>, tensor<8xf32>) {
  // CHECK-NEXT: %[[A:.*]] = "xsmt.descriptor_load"
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  %1 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  %unused = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf16>
  // CHECK-NEXT: "xsmt.descriptor_store"
  "xsmt.descriptor_store"(%p, %0, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> ()
  // CHECK-NEXT: %[[B:.*]] = "xsmt.descriptor_load"
  %2 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  // CHECK-NEXT: arith.addf %[[A]], %[[B]]
  %3 = arith.addf %1, %2 : tensor<8xf32>
  // CHECK-NEXT: "xsmt.barrier_arrive"
  "xsmt.barrier_arrive"(%bar) : (i64) -> ()
  // CHECK-NEXT: "xsmt.descriptor_load"
  %4 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  // CHECK-NEXT: return
  return %3, %4 : tensor<8xf32>, tensor<8xf32>
}
