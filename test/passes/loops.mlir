// RUN: triton-spacemit-opt %s --chip x60 --loops --canonicalize --cse | filecheck %s

// A whole kernel: y = x + 1 below n is one loop, first over whole vectors without masks, then over the rest. Where x and y overlap, x is
// copied before. Cases of one kind each are in the files loops_*.mlir.
// CHECK: module attributes {xsmt.chip = "x60", xsmt.scratch_bytes = 1024 : i64}
// CHECK-LABEL: func.func @kernel
// CHECK-SAME: (%[[X:.*]]: !llvm.ptr, %[[Y:.*]]: !llvm.ptr, %[[N:.*]]: i64, %{{.*}}: !llvm.ptr {llvm.noalias}, %{{.*}}: !llvm.ptr {llvm.noalias})
func.func public @kernel(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  // CHECK: %[[APART:.*]] = scf.if %{{.*}} -> (!llvm.ptr) {
  // CHECK: scf.yield %[[X]]
  // CHECK: scf.for %[[I:.*]] = {{.*}} step %c64_i64  : i64 {
  // CHECK: %[[P:.*]] = llvm.getelementptr %[[APART]][%[[I]]]
  // CHECK: %[[V:.*]] = llvm.load %[[P]] {{.*}} : !llvm.ptr -> vector<64xf32>
  // CHECK: %[[W:.*]] = arith.addf %[[V]], %{{.*}} : vector<64xf32>
  // CHECK: %[[Q:.*]] = llvm.getelementptr %[[Y]][%[[I]]]
  // CHECK: llvm.store %[[W]], %[[Q]]
  // CHECK: scf.for {{.*}} step %c64_i64  : i64 {
  // CHECK: llvm.intr.masked.load
  // CHECK: arith.addf
  // CHECK: llvm.intr.masked.store
  // CHECK-NOT: tensor
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %one = arith.constant dense<1.0> : tensor<256xf32>
  %v = "xsmt.descriptor_load"(%x, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  %w = arith.addf %v, %one : tensor<256xf32>
  "xsmt.descriptor_store"(%y, %w, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}
