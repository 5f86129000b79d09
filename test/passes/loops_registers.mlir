// RUN: triton-spacemit-opt %s --loops --chip x60 --remarks --split-input-file --verify-diagnostics

// Rows of A, and columns of B, lie in memory as an instruction takes them: all stays in registers.
func.func @held(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  // expected-remark@+1 {{loop in registers}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Sums that are carried as the tiles of the product stay in its registers.
func.func @in_tiles(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<4x16xf32>
  // expected-remark@+1 {{loop in registers}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<4x16xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %s = arith.addf %acc, %f : tensor<4x16xf32>
    scf.yield %s : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A turn that does something that shows is not taken apart.
func.func @asserts(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  // expected-remark@+1 {{loop not in registers: tt.assert is in it}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %c = arith.cmpi slt, %i, %n : i32
    "tt.assert"(%c) {message = "a turn too many"} : (i1) -> ()
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    // expected-remark@+1 {{product of 4 x 8 and 8 x 16}}
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Rows of B side by side would have to be taken apart.
func.func @across(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  // expected-remark@+1 {{loop not in registers: 32 elements of i8 lie apart}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c16, %c1, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    // expected-remark@+1 {{product of 4 x 8 and 8 x 16}}
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// The place of a column is not known.
func.func @any_distance(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32, %any: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  // expected-remark@+1 {{loop not in registers: a stride is not a constant}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %any, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    // expected-remark@+1 {{product of 4 x 8 and 8 x 16}}
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Rows behind a bound may not be read.
func.func @bounded(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32, %any: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  // expected-remark@+1 {{loop not in registers: an access has an upper bound}}
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %any, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    // expected-remark@+1 {{product of 4 x 8 and 8 x 16}}
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// What a turn writes, the next one may read.
func.func @written(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %i0 = arith.constant 0 : i32
  %i1 = arith.constant 1 : i32
  %zero = arith.constant dense<0> : tensor<4x16xi32>
  %start = arith.constant dense<0.0> : tensor<64xf32>
  %r = scf.for %i = %i0 to %n step %i1 iter_args(%acc = %start) -> (tensor<64xf32>) : i32 {
    %a = "xsmt.descriptor_load"(%x, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%y, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    // expected-remark@+1 {{product of 4 x 8 and 8 x 16}}
    %d = "tt.dot"(%a, %b, %zero) : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.reshape"(%f) : (tensor<4x16xf32>) -> tensor<64xf32>
    %s = arith.addf %acc, %row : tensor<64xf32>
    "xsmt.descriptor_store"(%x, %a, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x8xi8>, i64, i64, i64, i64, i64, i64) -> ()
    scf.yield %s : tensor<64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}
