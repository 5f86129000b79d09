// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// What a loop leaves in registers is stored from there, at places that a stride known at run time decides.
// CHECK-LABEL: func.func @straight
// CHECK-NOT: llvm.alloca
// CHECK: arith.muli {{.*}} : vector<[8]xi64>
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"({{.*}}vector<[8]xi64>, !llvm.ptr, vector<[8]xi64>
// CHECK-NOT: vsuxei
// CHECK-NOT: llvm.store
// CHECK: return
func.func @straight(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %stride, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Both sides of a branch store it: all of it, or from memory up to a bound.
// CHECK-LABEL: func.func @edge
// CHECK: llvm.alloca
// CHECK: scf.if
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"
// CHECK-NOT: scf.for
// CHECK: else
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"
// CHECK: llvm.inline_asm has_side_effects
// CHECK: scf.for
// CHECK: return
func.func @edge(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64, %rows: i64, %whole: i1) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  scf.if %whole {
    "xsmt.descriptor_store"(%out, %r, %stride, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  } else {
    "xsmt.descriptor_store"(%out, %r, %stride, %c1, %c0, %c0, %rows, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  }
  return
}

// -----

// Rows whose elements are no neighbours: from memory.
// CHECK-LABEL: func.func @apart
// CHECK: llvm.alloca
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"
// CHECK: scf.for
// CHECK: return
func.func @apart(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %stride, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Something else needs it too: it is in memory for both.
// CHECK-LABEL: func.func @needed
// CHECK: llvm.alloca
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"({{.*}}vector<[8]xi64>, !llvm.ptr, vector<[8]xi32>
// CHECK-NOT: vsuxei
// CHECK: scf.for
// CHECK: return
func.func @needed(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  %twice = arith.addf %r, %r : tensor<4x16xf32>
  "xsmt.descriptor_store"(%out, %r, %stride, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%z, %twice, %stride, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A loop behind it stores it in every turn: it is in memory, where that loop reads it.
// CHECK-LABEL: func.func @in_a_loop
// CHECK: llvm.alloca
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"({{.*}}vector<[8]xi64>, !llvm.ptr, vector<[8]xi32>
// CHECK: scf.for
// CHECK-NOT: vsuxei
// CHECK: return
func.func @in_a_loop(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  scf.for %k = %c0 to %n step %c1 : i64 {
    "xsmt.descriptor_store"(%out, %r, %stride, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  }
  return
}

// -----

// Of two stores that could share a loop one stores what is held: they have none in common.
// CHECK-LABEL: func.func @beside
// CHECK: scf.for
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"({{.*}}vector<[8]xi64>, !llvm.ptr, vector<[8]xi32>
// CHECK: return
func.func @beside(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64, %stride: i64, %rows: i64, %whole: i1) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  %c1024 = arith.constant 1024 : i64
  %further = arith.addi %n, %c1024 : i64
  %here = llvm.getelementptr %out[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %behind = llvm.getelementptr %out[%further] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%behind, %zero, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%here, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
