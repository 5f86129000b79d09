// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Strides that are known at run time only: one test finds all of them 1, and there lanes are neighbours. Else each access looks at its own:
// a load may find one element for all lanes.
// CHECK-LABEL: func.func @any_strides
func.func @any_strides(%x: !llvm.ptr, %y: !llvm.ptr, %s: i64, %t: i64) {
  %c0 = arith.constant 0 : i64
  %c1024 = arith.constant 1024 : i64
  %z = arith.constant dense<1.0> : tensor<1024xf32>
  // CHECK: %[[T:.*]] = arith.cmpi eq, %arg3, %c1_i64
  // CHECK: %[[S:.*]] = arith.cmpi eq, %{{.*}}, %c1_i64
  // CHECK: %[[BOTH:.*]] = arith.andi %[[T]], %[[S]]
  // CHECK: scf.if %[[BOTH]] {
  // CHECK-NEXT: scf.for
  // CHECK-NOT: scf.if
  // CHECK: llvm.load {{.*}} -> vector<
  // CHECK: llvm.store {{.*}} : vector<
  // CHECK: } else {
  // CHECK: scf.for
  // CHECK: scf.if
  // CHECK: llvm.load {{.*}} -> vector<
  // CHECK: scf.if
  // CHECK: llvm.load {{.*}} -> f32
  // CHECK: llvm.intr.experimental.vp.strided.load
  // CHECK: scf.if %[[T]]
  // CHECK: llvm.store {{.*}} : vector<
  // CHECK: llvm.intr.experimental.vp.strided.store
  // CHECK-NOT: scf.for
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %s, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.addf %a, %z : tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %b, %t, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Where the loop is one vector, its load does not rise out of the version in which lanes are neighbours. Under a mask the one element of a
// stride of 0 is read only if a lane is active.
// CHECK-LABEL: func.func @one_vector
func.func @one_vector(%x: !llvm.ptr, %y: !llvm.ptr, %s: i64, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c8 = arith.constant 8 : i64
  // CHECK: scf.if
  // CHECK-NEXT: llvm.intr.masked.load
  // CHECK: } else {
  // CHECK: %[[ANY:.*]] = vector.reduction <or>
  // CHECK: scf.if %[[ANY]]
  // CHECK: llvm.load {{.*}} -> f32
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %s, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c8) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> ()
  return
}

// -----

// CHECK-LABEL: func.func @one_vector_without_a_mask
func.func @one_vector_without_a_mask(%x: !llvm.ptr, %y: !llvm.ptr, %s: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c8 = arith.constant 8 : i64
  // CHECK: scf.if
  // CHECK-NEXT: llvm.load {{.*}} -> vector<
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %s, %c0, %c8) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c8) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A loop that computes much is there once: it takes every stride as it comes.
// CHECK-LABEL: func.func @computing
func.func @computing(%x: !llvm.ptr, %y: !llvm.ptr, %s: i64, %t: i64) {
  %c0 = arith.constant 0 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for
  // CHECK: scf.if
  // CHECK: llvm.intr.experimental.vp.strided.load
  // CHECK: math.sin
  // CHECK-NOT: math.sin
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %s, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = math.sin %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %b, %t, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Constant strides need no test.
// CHECK-LABEL: func.func @known_strides
func.func @known_strides(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c1024 = arith.constant 1024 : i64
  %z = arith.constant dense<0.0> : tensor<1024xf32>
  // CHECK-NOT: scf.if
  // CHECK: llvm.intr.experimental.vp.strided.store
  // CHECK: return
  "xsmt.descriptor_store"(%y, %z, %c2, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}
