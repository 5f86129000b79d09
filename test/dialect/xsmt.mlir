// RUN: triton-spacemit-opt %s | triton-spacemit-opt | filecheck %s

// Every op survives being printed and parsed again, with and without its optional operands.

// CHECK-LABEL: func.func @loads
func.func @loads(%p: !llvm.ptr, %i: i64, %mask: tensor<4x8xi1>, %index: tensor<4x8xi32>, %other: tensor<4x8xf32>, %zero: f32) {
  // CHECK: "xsmt.descriptor_load"(%arg0, %arg1, %arg1, %arg1, %arg1, %arg1, %arg1) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xf32>
  // CHECK: "xsmt.descriptor_load"
  // CHECK-SAME: tensor<4x8xi1>, tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = "xsmt.descriptor_load"(%p, %i, %i, %i, %i, %i, %i, %mask, %other) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 1, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, tensor<4x8xi1>, tensor<4x8xf32>) -> tensor<4x8xf32>
  // CHECK: "xsmt.gather"
  // CHECK-SAME: unit = 4 : i64
  %2 = "xsmt.gather"(%p, %index, %i, %i, %i, %i, %i, %i, %zero) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0, 1>, unit = 4 : i64} : (!llvm.ptr, tensor<4x8xi32>, i64, i64, i64, i64, i64, i64, f32) -> tensor<4x8xf32>
  return
}

// CHECK-LABEL: func.func @stores
func.func @stores(%p: !llvm.ptr, %i: i64, %mask: tensor<8xi1>, %index: tensor<8xi64>, %value: tensor<8xf8E5M2>) {
  // CHECK: "xsmt.descriptor_store"
  "xsmt.descriptor_store"(%p, %value, %i, %i, %i, %mask) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1>} : (!llvm.ptr, tensor<8xf8E5M2>, i64, i64, i64, tensor<8xi1>) -> ()
  // CHECK: "xsmt.scatter"
  "xsmt.scatter"(%p, %index, %value, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, unit = 1 : i64} : (!llvm.ptr, tensor<8xi64>, tensor<8xf8E5M2>, i64, i64, i64) -> ()
  return
}

// CHECK-LABEL: func.func @atomics
func.func @atomics(%p: !llvm.ptr, %i: i64, %index: tensor<8xi64>, %value: tensor<8xi32>, %scalar: f32, %bit: i1) {
  // CHECK: "xsmt.atomic_rmw"
  // CHECK-SAME: kind = "umax", operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, order = "acq_rel"
  %0 = "xsmt.atomic_rmw"(%p, %index, %value, %i, %i, %i) {kind = "umax", order = "acq_rel", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xi64>, tensor<8xi32>, i64, i64, i64) -> tensor<8xi32>
  // A scalar has neither strides nor bounds.
  // CHECK: "xsmt.atomic_rmw"(%arg0, %arg4, %arg5)
  %1 = "xsmt.atomic_rmw"(%p, %scalar, %bit) {kind = "fadd", order = "relaxed", unit = 1 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 1>} : (!llvm.ptr, f32, i1) -> f32
  // CHECK: "xsmt.atomic_cas"
  %2 = "xsmt.atomic_cas"(%p, %value, %value, %i, %i, %i) {order = "acquire", unit = 1 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xi32>, tensor<8xi32>, i64, i64, i64) -> tensor<8xi32>
  return
}
