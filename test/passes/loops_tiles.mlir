// RUN: triton-spacemit-opt %s --loops --chip x60 --remarks --split-input-file --verify-diagnostics
// RUN: not triton-spacemit-opt %s --loops --chip x60 --split-input-file --verify-diagnostics

// The chip's own multiply-add of the operands' type comes first, then the others, with what speaks against them.
func.func @half(%x: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf16>
  // expected-remark@+1 {{product of 64 x 64 and 64 x 64: llvm.riscv.vfwmacc of f16, 6 x 32 sums, 0.167 a product; llvm.riscv.vfmacc of f32, 6 x 32 sums, 0.185 a product; not llvm.riscv.vfmacc of f64: it adds up f64, not f32;}}
  %d = "tt.dot"(%a, %a, %zero) : (tensor<64x64xf16>, tensor<64x64xf16>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Two columns do not fill half a register of 256 bits, which is the least that a scalable vector holds.
func.func @narrow(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c64 = arith.constant 64 : i64
  %zero = arith.constant dense<0.0> : tensor<64x2xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %b = "xsmt.descriptor_load"(%y, %c2, %c1, %c0, %c0, %c64, %c2) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x2xf32>
  // expected-remark@+1 {{vectors of f32, 16 x 2 sums, 1.031 a product; not llvm.riscv.vfmacc of f32: 2 columns do not fill a vector register by half;}}
  %d = "tt.dot"(%a, %b, %zero) : (tensor<64x64xf32>, tensor<64x2xf32>, tensor<64x2xf32>) -> tensor<64x2xf32>
  "xsmt.descriptor_store"(%z, %d, %c2, %c1, %c0, %c0, %c64, %c2) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x2xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
