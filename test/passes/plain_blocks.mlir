// RUN: triton-spacemit-opt %s --plain-blocks --canonicalize --cse --split-input-file | filecheck %s

// A packed product of views is a product of windows.
// CHECK-LABEL: func.func @product
func.func @product(%a: tensor<64x32xf16>, %b: tensor<32x64xf16>, %i: i32) -> tensor<64x64xf16> {
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : tensor<32x64xf32>
  // CHECK-DAG: %[[A:.*]] = "xsmt.subview"(%arg0, %arg2, %{{.*}}) : (tensor<64x32xf16>, i32, i32) -> tensor<32x32xf16>
  // CHECK: %[[C:.*]] = "tt.dot"(%[[A]], %arg1, %[[ZERO]])
  // CHECK: arith.truncf %[[C]] : tensor<32x64xf32> to tensor<32x64xf16>
  // CHECK-NOT: xsmt.pack
  %zero = arith.constant 0 : i32
  %0 = "xsmt.pack"(%a, %i, %zero) : (tensor<64x32xf16>, i32, i32) -> tensor<4x2x8x16xf16>
  %1 = "xsmt.pack"(%b, %zero, %zero) : (tensor<32x64xf16>, i32, i32) -> tensor<2x2x16x32xf16>
  %2 = "xsmt.mmt4d"(%0, %1) {transposed = false} : (tensor<4x2x8x16xf16>, tensor<2x2x16x32xf16>) -> tensor<4x2x8x32xf16>
  %3 = "xsmt.unpack"(%2, %zero, %zero) : (tensor<4x2x8x32xf16>, i32, i32) -> tensor<64x64xf16>
  return %3 : tensor<64x64xf16>
}

// -----

// A loop carries matrices, and its sums are products' accumulators; B in its other form is transposed.
// CHECK-LABEL: func.func @sum
func.func @sum(%a: tensor<32x32xf16>, %n: index) -> tensor<32x32xf16> {
  // CHECK: %[[SUM:.*]] = scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}}) -> (tensor<32x32xf16>)
  // CHECK: %[[B:.*]] = "tt.trans"(%arg0)
  // CHECK: %[[WIDE:.*]] = arith.extf %[[OLD]] : tensor<32x32xf16> to tensor<32x32xf32>
  // CHECK: %[[NEW:.*]] = "tt.dot"(%arg0, %[[B]], %[[WIDE]])
  // CHECK: %[[NARROW:.*]] = arith.truncf %[[NEW]] : tensor<32x32xf32> to tensor<32x32xf16>
  // CHECK: scf.yield %[[NARROW]] : tensor<32x32xf16>
  // CHECK: return %[[SUM]]
  %zero = arith.constant 0 : i32
  %start = arith.constant dense<0.0> : tensor<4x2x8x16xf16>
  %first = arith.constant 0 : index
  %step = arith.constant 1 : index
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf16>, i32, i32) -> tensor<4x2x8x16xf16>
  %u = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf16>, i32, i32) -> tensor<2x2x16x16xf16>
  %sum = scf.for %i = %first to %n step %step iter_args(%old = %start) -> tensor<4x2x8x16xf16> {
    %product = "xsmt.mmt4d"(%t, %u) {transposed = true} : (tensor<4x2x8x16xf16>, tensor<2x2x16x16xf16>) -> tensor<4x2x8x16xf16>
    %new = arith.addf %old, %product : tensor<4x2x8x16xf16>
    scf.yield %new : tensor<4x2x8x16xf16>
  }
  %c = "xsmt.unpack"(%sum, %zero, %zero) : (tensor<4x2x8x16xf16>, i32, i32) -> tensor<32x32xf16>
  return %c : tensor<32x32xf16>
}

// -----

// Along a tile and then along the tiles: one reduction of rows.
// CHECK-LABEL: func.func @rows
func.func @rows(%a: tensor<32x32xf32>) -> tensor<4x8xf32> {
  // CHECK: %[[MAX:.*]] = "tt.reduce"(%arg0)
  // CHECK: {axis = 1 : i32} : (tensor<32x32xf32>) -> tensor<32xf32>
  // CHECK: "tt.reshape"(%[[MAX]]) : (tensor<32xf32>) -> tensor<4x8xf32>
  %zero = arith.constant 0 : i32
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf32>, i32, i32) -> tensor<4x2x8x16xf32>
  %0 = "tt.reduce"(%t) <{axis = 3 : i32}> ({
  ^bb0(%x: f32, %y: f32):
    %m = arith.maxnumf %x, %y : f32
    "tt.reduce.return"(%m) : (f32) -> ()
  }) : (tensor<4x2x8x16xf32>) -> tensor<4x2x8xf32>
  %1 = "tt.reduce"(%0) <{axis = 1 : i32}> ({
  ^bb0(%x: f32, %y: f32):
    %m = arith.maxnumf %x, %y : f32
    "tt.reduce.return"(%m) : (f32) -> ()
  }) : (tensor<4x2x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// -----

// Two reductions by different functions stay two.
// CHECK-LABEL: func.func @different
func.func @different(%a: tensor<32x32xf32>) -> tensor<4x8xf32> {
  // CHECK: "tt.reduce"(%{{.*}}) <{axis = 3 : i32}>
  // CHECK: (tensor<4x2x8x16xf32>) -> tensor<4x2x8xf32>
  // CHECK: "tt.reduce"(%{{.*}}) <{axis = 1 : i32}>
  // CHECK: (tensor<4x2x8xf32>) -> tensor<4x8xf32>
  %zero = arith.constant 0 : i32
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf32>, i32, i32) -> tensor<4x2x8x16xf32>
  %0 = "tt.reduce"(%t) <{axis = 3 : i32}> ({
  ^bb0(%x: f32, %y: f32):
    %m = arith.maxnumf %x, %y : f32
    "tt.reduce.return"(%m) : (f32) -> ()
  }) : (tensor<4x2x8x16xf32>) -> tensor<4x2x8xf32>
  %1 = "tt.reduce"(%0) <{axis = 1 : i32}> ({
  ^bb0(%x: f32, %y: f32):
    %m = arith.addf %x, %y : f32
    "tt.reduce.return"(%m) : (f32) -> ()
  }) : (tensor<4x2x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}

// -----

// An element-wise op of Triton's keeps its properties.
// CHECK-LABEL: func.func @properties
func.func @properties(%a: tensor<32x32xf32>) -> tensor<32x32xf32> {
  // CHECK: "tt.extern_elementwise"(%arg0) <{libname = "", libpath = "", pure = true, symbol = "silu"}> : (tensor<32x32xf32>)
  %zero = arith.constant 0 : i32
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf32>, i32, i32) -> tensor<4x2x8x16xf32>
  %0 = "tt.extern_elementwise"(%t) <{libname = "", libpath = "", pure = true, symbol = "silu"}> : (tensor<4x2x8x16xf32>) -> tensor<4x2x8x16xf32>
  %1 = "xsmt.unpack"(%0, %zero, %zero) : (tensor<4x2x8x16xf32>, i32, i32) -> tensor<32x32xf32>
  return %1 : tensor<32x32xf32>
}

// -----

// What is said of a product stays with it when it becomes a sum. Other annotations have no effect.
// CHECK-LABEL: func.func @hints
func.func @hints(%a: tensor<32x32xf16>, %c: tensor<32x32xf16>) -> tensor<32x32xf16> {
  // CHECK: %[[C:.*]] = arith.extf %arg1
  // CHECK: "tt.dot"(%arg0, %arg0, %[[C]]) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32, xsmt.mr = 4 : i32, xsmt.nr = 16 : i32
  // CHECK-NOT: "xsmt.annotation"
  // CHECK: return
  %zero = arith.constant 0 : i32
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf16>, i32, i32) -> tensor<4x4x8x8xf16>
  %u = "xsmt.pack"(%c, %zero, %zero) : (tensor<32x32xf16>, i32, i32) -> tensor<4x4x8x8xf16>
  "xsmt.annotation"(%t) {hint = "kb", value = 4 : i32} : (tensor<4x4x8x8xf16>) -> ()
  %0 = "xsmt.mmt4d"(%t, %t) {transposed = false} : (tensor<4x4x8x8xf16>, tensor<4x4x8x8xf16>) -> tensor<4x4x8x8xf16>
  "xsmt.annotation"(%0) {hint = "mr", value = 4 : i32} : (tensor<4x4x8x8xf16>) -> ()
  "xsmt.annotation"(%0) {hint = "nr", value = 16 : i32} : (tensor<4x4x8x8xf16>) -> ()
  %1 = arith.addf %u, %0 : tensor<4x4x8x8xf16>
  %2 = "xsmt.unpack"(%1, %zero, %zero) : (tensor<4x4x8x8xf16>, i32, i32) -> tensor<32x32xf16>
  return %2 : tensor<32x32xf16>
}

// -----

// An op on the tiles themselves gets them, and gives them back.
// CHECK-LABEL: func.func @tiles
func.func @tiles(%a: tensor<32x32xf32>) -> tensor<32x32xf32> {
  // CHECK: %[[T:.*]] = "xsmt.pack"(%arg0
  // CHECK: %[[S:.*]] = "tt.join"(%[[T]], %[[T]])
  // CHECK: %[[PARTS:.*]]:2 = "tt.split"(%[[S]])
  // CHECK: "xsmt.unpack"(%[[PARTS]]#0
  %zero = arith.constant 0 : i32
  %t = "xsmt.pack"(%a, %zero, %zero) : (tensor<32x32xf32>, i32, i32) -> tensor<4x2x8x16xf32>
  %0 = "tt.join"(%t, %t) : (tensor<4x2x8x16xf32>, tensor<4x2x8x16xf32>) -> tensor<4x2x8x16x2xf32>
  %1, %2 = "tt.split"(%0) : (tensor<4x2x8x16x2xf32>) -> (tensor<4x2x8x16xf32>, tensor<4x2x8x16xf32>)
  %3 = "xsmt.unpack"(%1, %zero, %zero) : (tensor<4x2x8x16xf32>, i32, i32) -> tensor<32x32xf32>
  return %3 : tensor<32x32xf32>
}
