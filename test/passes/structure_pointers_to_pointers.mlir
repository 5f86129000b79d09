// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// Triton's syntax has no pointers to pointers, its generic form does.

// Pointers from memory are addresses: base zero, an index in bytes.
// CHECK-LABEL: func.func @blocks
func.func @blocks(%x: !tt.ptr<!tt.ptr<f32>>, %n: i32) {
  %i = "tt.make_range"() {end = 16 : i32, start = 0 : i32} : () -> tensor<16xi32>
  %b = "tt.splat"(%x) : (!tt.ptr<!tt.ptr<f32>>) -> tensor<16x!tt.ptr<!tt.ptr<f32>>>
  %p = "tt.addptr"(%b, %i) : (tensor<16x!tt.ptr<!tt.ptr<f32>>>, tensor<16xi32>) -> tensor<16x!tt.ptr<!tt.ptr<f32>>>
  // CHECK: %[[ZERO:.*]] = llvm.mlir.zero
  // CHECK: %[[ADDRESSES:.*]] = "xsmt.descriptor_load"(%arg0, {{.*}} -> tensor<16xi64>
  %q = "tt.load"(%p) {isVolatile = false, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<16x!tt.ptr<!tt.ptr<f32>>>) -> tensor<16x!tt.ptr<f32>>
  // A scalar offset on top goes to the base, an affine one to the strides.
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %[[ZERO]][%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, i32
  // CHECK: "xsmt.gather"(%[[BASE]], %[[ADDRESSES]], %c1_i64, %c0_i64, %c16_i64)
  // CHECK-SAME: unit = 1 : i64
  %s = "tt.splat"(%n) : (i32) -> tensor<16xi32>
  %o = arith.addi %s, %i : tensor<16xi32>
  %r = "tt.addptr"(%q, %o) : (tensor<16x!tt.ptr<f32>>, tensor<16xi32>) -> tensor<16x!tt.ptr<f32>>
  %v = "tt.load"(%r) {isVolatile = false, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<16x!tt.ptr<f32>>) -> tensor<16xf32>
  // CHECK: "xsmt.scatter"(%[[ZERO]], %[[ADDRESSES]],
  "tt.store"(%q, %v) : (tensor<16x!tt.ptr<f32>>, tensor<16xf32>) -> ()
  // Pointers are stored as addresses.
  // CHECK: "xsmt.descriptor_store"(%arg0, %[[ADDRESSES]],
  "tt.store"(%p, %q) : (tensor<16x!tt.ptr<!tt.ptr<f32>>>, tensor<16x!tt.ptr<f32>>) -> ()
  return
}

// CHECK-LABEL: func.func @scalar
func.func @scalar(%x: !tt.ptr<!tt.ptr<f32>>, %c: i1) {
  // CHECK: %[[P:.*]] = scf.if %arg1 -> (!llvm.ptr)
  // CHECK-NEXT: llvm.load %arg0 : !llvm.ptr -> !llvm.ptr
  %p = "tt.load"(%x, %c) {isVolatile = false, operandSegmentSizes = array<i32: 1, 1, 0>} : (!tt.ptr<!tt.ptr<f32>>, i1) -> !tt.ptr<f32>
  // CHECK: llvm.store %[[P]], %arg0 : !llvm.ptr, !llvm.ptr
  "tt.store"(%x, %p) : (!tt.ptr<!tt.ptr<f32>>, !tt.ptr<f32>) -> ()
  return
}
