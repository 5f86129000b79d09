// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --expand-math | filecheck %s
// RUN: triton-spacemit-opt %s --chip a100 --split-input-file --expand-math | filecheck %s --check-prefix=ROUNDED
// RUN: triton-spacemit-opt %s --chip host --split-input-file --expand-math | filecheck %s --check-prefix=HOST

// One instruction on every chip: kept.
// CHECK-LABEL: func.func @kept
func.func @kept(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: math.sqrt
  %a = math.sqrt %x : vector<8xf32>
  // CHECK: math.fma
  %b = math.fma %a, %x, %x : vector<8xf32>
  return %b : vector<8xf32>
}

// -----

// Constants are made once, at the function's start; the exponential is a chain of fused multiply-adds behind one sum. Large results take a
// branch.
// CHECK-LABEL: func.func @exp
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: arith.constant
  // CHECK: arith.cmpf olt
  // CHECK: arith.mulf
  // CHECK-COUNT-2: math.fma
  // CHECK-NEXT: arith.addf
  // CHECK-COUNT-5: math.fma
  // CHECK: "llvm.riscv.vmacc"
  // CHECK: arith.cmpf ogt
  // CHECK: scf.if
  // CHECK: arith.select
  // CHECK-NOT: math.exp
  %a = math.exp %x : vector<8xf32>
  return %a : vector<8xf32>
}

// -----

// Scalars as vectors; float16 in float32, rounded once.
// CHECK-LABEL: func.func @scalar
func.func @scalar(%x: f16) -> f16 {
  // CHECK: arith.extf %arg0 : f16 to f32
  // CHECK: arith.truncf %{{.*}} : f32 to f16
  %a = math.log2 %x : f16
  return %a : f16
}

// -----

// Angles for which the reduction is not exact take a branch.
// CHECK-LABEL: func.func @sin
func.func @sin(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: vector.reduction <or>
  // CHECK: scf.if
  // CHECK: arith.extf %{{.*}} : vector<8xf32> to vector<8xf64>
  %a = math.sin %x : vector<8xf32>
  return %a : vector<8xf32>
}

// -----

// Element-wise Triton ops.
// CHECK-LABEL: func.func @triton
func.func @triton(%x: vector<8xf32>, %y: vector<8xf32>, %i: vector<8xi32>) -> (vector<8xf32>, vector<8xf32>, vector<8xi32>) {
  // CHECK: arith.divf
  %a = "tt.precise_divf"(%x, %y) : (vector<8xf32>, vector<8xf32>) -> vector<8xf32>
  // CHECK: arith.bitcast
  %b = "tt.bitcast"(%i) : (vector<8xi32>) -> vector<8xf32>
  // CHECK: arith.shrui
  %c = "tt.mulhiui"(%i, %i) : (vector<8xi32>, vector<8xi32>) -> vector<8xi32>
  return %a, %b, %c : vector<8xf32>, vector<8xf32>, vector<8xi32>
}

// A square is a product; no other power is.
// CHECK-LABEL: func.func @square
func.func @square(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: %[[S:.*]] = arith.mulf %arg0, %arg0
  // CHECK-NEXT: return %[[S]]
  %two = arith.constant dense<2.0> : vector<8xf32>
  %y = math.powf %x, %two : vector<8xf32>
  return %y : vector<8xf32>
}

// CHECK-LABEL: func.func @cube
func.func @cube(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: arith.divf
  // CHECK: return
  %three = arith.constant dense<3.0> : vector<8xf32>
  %y = math.powf %x, %three : vector<8xf32>
  return %y : vector<8xf32>
}

// -----

// RISC-V's cores round by their mode, which is that: an instruction that says so would set it and set it back.
// CHECK-LABEL: func.func @rounded
// ROUNDED-LABEL: func.func @rounded
// HOST-LABEL: func.func @rounded
func.func @rounded(%x: vector<8xf32>) -> vector<8xf32> {
  // CHECK: llvm.intr.rint
  // ROUNDED: llvm.intr.rint
  // HOST: math.roundeven
  %y = "tt.extern_elementwise"(%x) {libname = "", libpath = "", symbol = "__xsmt_rint", pure = true} : (vector<8xf32>) -> vector<8xf32>
  return %y : vector<8xf32>
}

// -----

// x / 2 (1 + erf(x / sqrt 2)) of which only a bfloat16 is used: 7 and 4 coefficients, the last of both about 1.4e-5 and 9.6e-3.
// HOST-LABEL: func.func @rounded_gelu
func.func @rounded_gelu(%x: vector<8xf32>) -> vector<8xbf16> {
  // HOST-DAG: arith.constant dense<0.00958285388>
  // HOST-COUNT-12: math.fma
  // HOST: arith.truncf
  %half = arith.constant dense<0.5> : vector<8xf32>
  %one = arith.constant dense<1.0> : vector<8xf32>
  %root = arith.constant dense<0.70710678> : vector<8xf32>
  %a = arith.mulf %x, %root : vector<8xf32>
  %b = math.erf %a : vector<8xf32>
  %c = arith.addf %b, %one : vector<8xf32>
  %d = arith.mulf %x, %half : vector<8xf32>
  %e = arith.mulf %d, %c : vector<8xf32>
  %f = arith.truncf %e : vector<8xf32> to vector<8xbf16>
  return %f : vector<8xbf16>
}

// -----

// The float32 is used as well: its polynomials.
// HOST-LABEL: func.func @rounded_and_wide
func.func @rounded_and_wide(%x: vector<8xf32>) -> (vector<8xbf16>, vector<8xf32>) {
  // HOST-NOT: 0.00958285388
  // HOST: arith.truncf
  %half = arith.constant dense<0.5> : vector<8xf32>
  %one = arith.constant dense<1.0> : vector<8xf32>
  %root = arith.constant dense<0.70710678> : vector<8xf32>
  %a = arith.mulf %x, %root : vector<8xf32>
  %b = math.erf %a : vector<8xf32>
  %c = arith.addf %b, %one : vector<8xf32>
  %d = arith.mulf %x, %half : vector<8xf32>
  %e = arith.mulf %d, %c : vector<8xf32>
  %f = arith.truncf %e : vector<8xf32> to vector<8xbf16>
  return %f, %e : vector<8xbf16>, vector<8xf32>
}

// -----

// float16 has three bits more.
// HOST-LABEL: func.func @rounded_to_half
func.func @rounded_to_half(%x: vector<8xf32>) -> vector<8xf16> {
  // HOST-NOT: 0.00958285388
  // HOST: arith.truncf
  %half = arith.constant dense<0.5> : vector<8xf32>
  %one = arith.constant dense<1.0> : vector<8xf32>
  %root = arith.constant dense<0.70710678> : vector<8xf32>
  %a = arith.mulf %x, %root : vector<8xf32>
  %b = math.erf %a : vector<8xf32>
  %c = arith.addf %b, %one : vector<8xf32>
  %d = arith.mulf %x, %half : vector<8xf32>
  %e = arith.mulf %d, %c : vector<8xf32>
  %f = arith.truncf %e : vector<8xf32> to vector<8xf16>
  return %f : vector<8xf16>
}
