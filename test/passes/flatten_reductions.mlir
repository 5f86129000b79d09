// RUN: triton-spacemit-opt %s --split-input-file --flatten-reductions --canonicalize | filecheck %s

// A reduction of what a network gives has three dimensions.
// CHECK-LABEL: func.func @halve
func.func @halve(%x: tensor<16xi32>) -> tensor<2x2x2xi32> {
  // CHECK: %[[SORTED:.*]] = "xsmt.exchange"
  // CHECK: %[[ROWS:.*]] = "tt.reshape"(%[[SORTED]]) : (tensor<16xi32>) -> tensor<2x2x4xi32>
  // CHECK: %[[BEST:.*]] = "tt.reduce"(%[[ROWS]])
  // CHECK: arith.maxui
  // CHECK: axis = 1 : i32{{.*}} : (tensor<2x2x4xi32>) -> tensor<2x4xi32>
  // CHECK: "tt.reshape"(%[[BEST]]) : (tensor<2x4xi32>) -> tensor<2x2x2xi32>
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [0], unsigned = true} : (tensor<16xi32>) -> tensor<16xi32>
  %1 = "tt.reshape"(%0) : (tensor<16xi32>) -> tensor<2x2x2x2xi32>
  %2 = "tt.reduce"(%1) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.maxui %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2x2x2xi32>) -> tensor<2x2x2xi32>
  return %2 : tensor<2x2x2xi32>
}

// -----

// Of several operands all have to be such rows; at the first axis nothing is before it.
// CHECK-LABEL: func.func @pairs
func.func @pairs(%x: tensor<16xi32>, %y: tensor<2x2x2x2xi32>) -> (tensor<2x2x2xi32>, tensor<2x2x2xi32>) {
  // CHECK: "tt.reduce"(%{{.*}}, %{{.*}}) ({
  // CHECK: axis = 1 : i32{{.*}} : (tensor<1x2x8xi32>, tensor<1x2x8xi32>) -> (tensor<1x8xi32>, tensor<1x8xi32>)
  // CHECK: "tt.reduce"(%{{.*}}, %arg1)
  // CHECK: axis = 0 : i32{{.*}} : (tensor<2x2x2x2xi32>, tensor<2x2x2x2xi32>) -> (tensor<2x2x2xi32>, tensor<2x2x2xi32>)
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [0], unsigned = true} : (tensor<16xi32>) -> tensor<16xi32>
  %1 = "tt.reshape"(%0) : (tensor<16xi32>) -> tensor<2x2x2x2xi32>
  %2:2 = "tt.reduce"(%1, %1) ({
  ^bb0(%a: i32, %i: i32, %b: i32, %j: i32):
    %c = arith.maxui %a, %b : i32
    %k = arith.minui %i, %j : i32
    "tt.reduce.return"(%c, %k) : (i32, i32) -> ()
  }) {axis = 0 : i32} : (tensor<2x2x2x2xi32>, tensor<2x2x2x2xi32>) -> (tensor<2x2x2xi32>, tensor<2x2x2xi32>)
  %3:2 = "tt.reduce"(%1, %y) ({
  ^bb0(%a: i32, %i: i32, %b: i32, %j: i32):
    %c = arith.maxui %a, %b : i32
    %k = arith.minui %i, %j : i32
    "tt.reduce.return"(%c, %k) : (i32, i32) -> ()
  }) {axis = 0 : i32} : (tensor<2x2x2x2xi32>, tensor<2x2x2x2xi32>) -> (tensor<2x2x2xi32>, tensor<2x2x2xi32>)
  %4 = arith.addi %2#0, %3#0 : tensor<2x2x2xi32>
  %5 = arith.addi %2#1, %3#1 : tensor<2x2x2xi32>
  return %4, %5 : tensor<2x2x2xi32>, tensor<2x2x2xi32>
}

// -----

// Three dimensions are few enough, and what no network gave is left as it is.
// CHECK-LABEL: func.func @others
func.func @others(%x: tensor<8xi32>, %y: tensor<16xi32>) -> (tensor<2x2xi32>, tensor<2x2x2xi32>) {
  // CHECK: axis = 1 : i32{{.*}} : (tensor<2x2x2xi32>) -> tensor<2x2xi32>
  // CHECK: axis = 1 : i32{{.*}} : (tensor<2x2x2x2xi32>) -> tensor<2x2x2xi32>
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [0], unsigned = true} : (tensor<8xi32>) -> tensor<8xi32>
  %1 = "tt.reshape"(%0) : (tensor<8xi32>) -> tensor<2x2x2xi32>
  %2 = "tt.reduce"(%1) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.maxui %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2x2xi32>) -> tensor<2x2xi32>
  %3 = "tt.reshape"(%y) : (tensor<16xi32>) -> tensor<2x2x2x2xi32>
  %4 = "tt.reduce"(%3) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.maxui %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2x2x2xi32>) -> tensor<2x2x2xi32>
  return %2, %4 : tensor<2x2xi32>, tensor<2x2x2xi32>
}
