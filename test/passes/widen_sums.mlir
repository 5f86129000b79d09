// RUN: triton-spacemit-opt %s --widen-sums --split-input-file | filecheck %s

// A loop that only adds products to what it carries keeps that as f32, and rounds it behind the loop.
// CHECK-LABEL: func.func @sum
func.func @sum(%a: tensor<32x32xf16>, %start: tensor<32x32xf16>, %first: index, %last: index, %step: index) -> tensor<32x32xf16> {
  // CHECK: %[[START:.*]] = arith.extf %arg1 : tensor<32x32xf16> to tensor<32x32xf32>
  // CHECK: %[[SUM:.*]] = scf.for {{.*}} iter_args(%[[OLD:.*]] = %[[START]]) -> (tensor<32x32xf32>)
  // CHECK-NEXT: %[[NEW:.*]] = "tt.dot"(%arg0, %arg0, %[[OLD]])
  // CHECK-NEXT: scf.yield %[[NEW]] : tensor<32x32xf32>
  // CHECK: %[[ROUNDED:.*]] = arith.truncf %[[SUM]] : tensor<32x32xf32> to tensor<32x32xf16>
  // CHECK: return %[[ROUNDED]]
  %sum = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32x32xf16> {
    %wide = arith.extf %old : tensor<32x32xf16> to tensor<32x32xf32>
    %product = "tt.dot"(%a, %a, %wide) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new = arith.truncf %product : tensor<32x32xf32> to tensor<32x32xf16>
    scf.yield %new : tensor<32x32xf16>
  }
  return %sum : tensor<32x32xf16>
}

// -----

// Of two carried blocks that one of which another op reads too is left: what it reads has been rounded.
// CHECK-LABEL: func.func @rounded
func.func @rounded(%a: tensor<32x32xf16>, %x: tensor<32x32xf16>, %y: tensor<32x32xf16>, %first: index, %last: index, %step: index) -> (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf16>) {
  // CHECK: scf.for {{.*}} -> (tensor<32x32xf16>, tensor<32x32xf32>, tensor<32x32xf16>)
  %sum:3 = scf.for %i = %first to %last step %step iter_args(%p = %x, %q = %y, %r = %x) -> (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf16>) {
    %wide = arith.extf %p : tensor<32x32xf16> to tensor<32x32xf32>
    %product = "tt.dot"(%a, %a, %wide) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new = arith.truncf %product : tensor<32x32xf32> to tensor<32x32xf16>
    %wide1 = arith.extf %q : tensor<32x32xf16> to tensor<32x32xf32>
    %product1 = "tt.dot"(%a, %a, %wide1) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new1 = arith.truncf %product1 : tensor<32x32xf32> to tensor<32x32xf16>
    %total = arith.addf %r, %new : tensor<32x32xf16>
    scf.yield %new, %new1, %total : tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf16>
  }
  return %sum#0, %sum#1, %sum#2 : tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf16>
}

// -----

// What is carried is an operand of the product, and not what it is added to.
// CHECK-LABEL: func.func @power
func.func @power(%a: tensor<32x32xf32>, %start: tensor<32x32xf16>, %first: index, %last: index, %step: index) -> tensor<32x32xf16> {
  // CHECK: scf.for {{.*}} -> (tensor<32x32xf16>)
  %power = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32x32xf16> {
    %wide = arith.extf %old : tensor<32x32xf16> to tensor<32x32xf32>
    %product = "tt.dot"(%wide, %a, %a) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<32x32xf32>, tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new = arith.truncf %product : tensor<32x32xf32> to tensor<32x32xf16>
    scf.yield %new : tensor<32x32xf16>
  }
  return %power : tensor<32x32xf16>
}

// -----

// Nothing adds to what is carried.
// CHECK-LABEL: func.func @unused
func.func @unused(%a: tensor<32x32xf16>, %sum: tensor<32x32xf32>, %start: tensor<32x32xf16>, %first: index, %last: index, %step: index) -> tensor<32x32xf16> {
  // CHECK: scf.for {{.*}} -> (tensor<32x32xf16>)
  %last_product = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32x32xf16> {
    %wide = arith.extf %old : tensor<32x32xf16> to tensor<32x32xf32>
    %product = "tt.dot"(%a, %a, %sum) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new = arith.truncf %product : tensor<32x32xf32> to tensor<32x32xf16>
    scf.yield %new : tensor<32x32xf16>
  }
  return %last_product : tensor<32x32xf16>
}
