// RUN: triton-spacemit-opt %s --split-input-file --verify-diagnostics

// A network is of one row.
func.func @invalid(%x: tensor<8xf32>, %m: tensor<4x2xf32>) {
  // expected-error@+1 {{needs a block of rank 1 with a power of two of elements, got tensor<4x2xf32>}}
  %0 = "xsmt.exchange"(%m) {distances = [1], flips = [0], unsigned = false} : (tensor<4x2xf32>) -> tensor<4x2xf32>
  return
}

// -----

// It gives what it takes, in another order.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{result must be of the operand's type tensor<8xf32>, got tensor<8xi32>}}
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [0], unsigned = false} : (tensor<8xf32>) -> tensor<8xi32>
  return
}

// -----

// Each step has an order.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{needs as many flips as distances, both integers, got [2, 1] and [0]}}
  %0 = "xsmt.exchange"(%x) {distances = [2, 1], flips = [0], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// And numbers only.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{needs as many flips as distances, both integers, got ["far"] and [0]}}
  %0 = "xsmt.exchange"(%x) {distances = ["far"], flips = [0], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// Every element has an opposite one.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{distances must be powers of two below the extent 8, got 8}}
  %0 = "xsmt.exchange"(%x) {distances = [8], flips = [0], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// At a distance that is one bit of its position.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{distances must be powers of two below the extent 8, got 3}}
  %0 = "xsmt.exchange"(%x) {distances = [3], flips = [0], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// Also in the last pair.
func.func @invalid(%x: tensor<12xf32>) {
  // expected-error@+1 {{needs a block of rank 1 with a power of two of elements, got tensor<12xf32>}}
  %0 = "xsmt.exchange"(%x) {distances = [4], flips = [0], unsigned = false} : (tensor<12xf32>) -> tensor<12xf32>
  return
}

// -----

// The two of a pair have one order.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{flips must be 0, -1 or a power of two above their distance 2 and below the extent, got 1}}
  %0 = "xsmt.exchange"(%x) {distances = [2], flips = [1], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// How integers are compared has no default.
func.func @invalid(%x: tensor<8xi32>) {
  // expected-error@+1 {{unsigned must be true or false, got 1 : i32}}
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [0], unsigned = 1 : i32} : (tensor<8xi32>) -> tensor<8xi32>
  return
}

// -----

// And no order lies behind the row.
func.func @invalid(%x: tensor<8xf32>) {
  // expected-error@+1 {{flips must be 0, -1 or a power of two above their distance 1 and below the extent, got 8}}
  %0 = "xsmt.exchange"(%x) {distances = [1], flips = [8], unsigned = false} : (tensor<8xf32>) -> tensor<8xf32>
  return
}
