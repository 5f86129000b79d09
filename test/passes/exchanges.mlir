// RUN: triton-spacemit-opt %s --split-input-file --exchanges | filecheck %s

// Two steps, of which the second finds its block in the first: one op, with the order of the first alternating along dimension 0.
// CHECK-LABEL: func.func @merge
func.func @merge(%x: tensor<2x2xi32>) -> tensor<2x2xi32> {
  // CHECK-NEXT: %[[ROW:.*]] = "tt.reshape"(%arg0) : (tensor<2x2xi32>) -> tensor<4xi32>
  // CHECK-NEXT: %[[SORTED:.*]] = "xsmt.exchange"(%[[ROW]]) {distances = [1, 2], flips = [2, -1], unsigned = false}
  // CHECK-NEXT: %[[BACK:.*]] = "tt.reshape"(%[[SORTED]]) : (tensor<4xi32>) -> tensor<2x2xi32>
  // CHECK-NEXT: return %[[BACK]]
  %one = arith.constant dense<1> : tensor<2x1xi32>
  %zero = arith.constant dense<0> : tensor<2x2xi32>
  %range = "tt.make_range"() {start = 0 : i32, end = 2 : i32} : () -> tensor<2xi32>
  %line = "tt.reshape"(%range) : (tensor<2xi32>) -> tensor<1x2xi32>
  %column = "tt.expand_dims"(%range) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %columns = "tt.broadcast"(%column) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %lines = "tt.broadcast"(%line) : (tensor<1x2xi32>) -> tensor<2x2xi32>
  %0 = "tt.reduce"(%x) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.xori %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %1 = "tt.expand_dims"(%0) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %2 = "tt.broadcast"(%1) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %y = arith.xori %x, %2 : tensor<2x2xi32>
  %3 = arith.xori %columns, %lines : tensor<2x2xi32>
  %4 = arith.cmpi ne, %3, %zero : tensor<2x2xi32>
  %5 = arith.cmpi sgt, %x, %y : tensor<2x2xi32>
  %6 = arith.cmpi ne, %5, %4 : tensor<2x2xi1>
  %first = arith.select %6, %y, %x : tensor<2x2xi1>, tensor<2x2xi32>
  %7 = "tt.reduce"(%first) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.xori %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 0 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %8 = "tt.expand_dims"(%7) {axis = 0 : i32} : (tensor<2xi32>) -> tensor<1x2xi32>
  %9 = "tt.broadcast"(%8) : (tensor<1x2xi32>) -> tensor<2x2xi32>
  %z = arith.xori %first, %9 : tensor<2x2xi32>
  %10 = arith.xori %column, %one : tensor<2x1xi32>
  %11 = arith.trunci %10 : tensor<2x1xi32> to tensor<2x1xi1>
  %12 = "tt.broadcast"(%11) : (tensor<2x1xi1>) -> tensor<2x2xi1>
  %13 = arith.cmpi sgt, %first, %z : tensor<2x2xi32>
  %14 = arith.cmpi ne, %13, %12 : tensor<2x2xi1>
  %second = arith.select %14, %z, %first : tensor<2x2xi1>, tensor<2x2xi32>
  return %second : tensor<2x2xi32>
}

// -----

// What looks like a step and is none: the sum of two elements in place of their exclusive or.
// CHECK-LABEL: func.func @sums
func.func @sums(%x: tensor<2xi32>, %flip: tensor<1x2xi1>, %block: tensor<2x2xi32>) -> tensor<2x2xi32> {
  // CHECK-NOT: xsmt.exchange
  // CHECK: arith.select
  %range = "tt.make_range"() {start = 0 : i32, end = 2 : i32} : () -> tensor<2xi32>
  %line = "tt.reshape"(%range) : (tensor<2xi32>) -> tensor<1x2xi32>
  %right = arith.trunci %line : tensor<1x2xi32> to tensor<1x2xi1>
  %rights = "tt.broadcast"(%right) : (tensor<1x2xi1>) -> tensor<2x2xi1>
  %0 = "tt.reduce"(%block) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.addi %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %1 = "tt.expand_dims"(%0) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %2 = "tt.broadcast"(%1) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %y = arith.xori %block, %2 : tensor<2x2xi32>
  %3 = arith.cmpi sgt, %block, %y : tensor<2x2xi32>
  %4 = arith.cmpi ne, %3, %rights : tensor<2x2xi1>
  %5 = arith.select %4, %y, %block : tensor<2x2xi1>, tensor<2x2xi32>
  return %5 : tensor<2x2xi32>
}

// -----

// Nor a step whose order depends on data.
// CHECK-LABEL: func.func @data
func.func @data(%block: tensor<2x2xi32>, %order: tensor<2x2xi1>) -> tensor<2x2xi32> {
  // CHECK-NOT: xsmt.exchange
  // CHECK: arith.select
  %0 = "tt.reduce"(%block) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.xori %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %1 = "tt.expand_dims"(%0) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %2 = "tt.broadcast"(%1) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %y = arith.xori %block, %2 : tensor<2x2xi32>
  %3 = arith.cmpi sgt, %block, %y : tensor<2x2xi32>
  %4 = arith.cmpi ne, %3, %order : tensor<2x2xi1>
  %5 = arith.select %4, %y, %block : tensor<2x2xi1>, tensor<2x2xi32>
  return %5 : tensor<2x2xi32>
}

// -----

// Nor one whose order comes from all bits of a number.
// CHECK-LABEL: func.func @all_bits
func.func @all_bits(%block: tensor<2x2xi32>) -> tensor<2x2xi32> {
  // CHECK-NOT: xsmt.exchange
  // CHECK: arith.select
  %zero = arith.constant dense<0> : tensor<1x2xi32>
  %all = arith.constant dense<-1> : tensor<1x2xi32>
  %range = "tt.make_range"() {start = 0 : i32, end = 2 : i32} : () -> tensor<2xi32>
  %line = "tt.reshape"(%range) : (tensor<2xi32>) -> tensor<1x2xi32>
  %left = arith.xori %line, %all : tensor<1x2xi32>
  %true = arith.cmpi ne, %left, %zero : tensor<1x2xi32>
  %order = "tt.broadcast"(%true) : (tensor<1x2xi1>) -> tensor<2x2xi1>
  %0 = "tt.reduce"(%block) ({
  ^bb0(%a: i32, %b: i32):
    %c = arith.xori %a, %b : i32
    "tt.reduce.return"(%c) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %1 = "tt.expand_dims"(%0) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %2 = "tt.broadcast"(%1) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %y = arith.xori %block, %2 : tensor<2x2xi32>
  %3 = arith.cmpi sgt, %block, %y : tensor<2x2xi32>
  %4 = arith.cmpi ne, %3, %order : tensor<2x2xi1>
  %5 = arith.select %4, %y, %block : tensor<2x2xi1>, tensor<2x2xi32>
  return %5 : tensor<2x2xi32>
}
