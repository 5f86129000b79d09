// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Sums of bytes stay in registers while they are scaled, and so does what the loop carries. A row of a tile of sums has four columns: their scales
// come by one load of 64 bits at a time, the same for every row.
// The next turn's sums begin at zero in the registers of this one's.
// CHECK-LABEL: func.func @scaled
// CHECK: scf.for {{.*}} iter_args(%[[ACC:.*]] = %{{.*}}, %{{.*}} = %{{.*}}) -> (vector<[16]xf32>, vector<[16]xi32>)
// CHECK-DAG: llvm.load %{{.*}} -> vector<[8]xi8>
// CHECK-DAG: llvm.load %{{.*}} -> vector<[32]xi8>
// CHECK-COUNT-4: llvm.call_intrinsic "llvm.riscv.sf.vc.v.vvw"
// CHECK: llvm.call_intrinsic "llvm.riscv.vluxei"({{.*}} -> vector<[8]xi64>
// CHECK: llvm.call_intrinsic "llvm.riscv.vfcvt.f.x.v"({{.*}} -> vector<[16]xf32>
// CHECK: %[[NEXT:.*]] = llvm.call_intrinsic "llvm.riscv.vfmacc"(%[[ACC]]{{.*}} -> vector<[16]xf32>
// CHECK: %[[ZERO:.*]] = llvm.call_intrinsic "llvm.riscv.vxor"
// CHECK: scf.yield %[[NEXT]], %[[ZERO]]
// CHECK: llvm.call_intrinsic "llvm.riscv.vsuxei"
func.func @scaled(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A scale that was loaded before the loop is not there in lanes: a store between could change what is read.
// CHECK-LABEL: func.func @a_scale_before
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @a_scale_before(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c4 = arith.constant 4 : i64
  %c8 = arith.constant 8 : i64
  %c16 = arith.constant 16 : i64
  %none = arith.constant dense<0> : tensor<4x16xi32>
  %zero = arith.constant dense<0.0> : tensor<4x16xf32>
  %c32 = arith.constant 32 : i64
  %c128 = arith.constant 128 : i64
  %s0 = "xsmt.descriptor_load"(%z, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<4x16xf32>) : i64 {
    %i32 = arith.muli %i, %c32 : i64
    %i128 = arith.muli %i, %c128 : i64
    %xi = llvm.getelementptr %x[%i32] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %yi = llvm.getelementptr %y[%i128] : (!llvm.ptr, i64) -> !llvm.ptr, i8
    %i16 = arith.muli %i, %c16 : i64
    %zi = llvm.getelementptr %z[%i16] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%xi, %c8, %c1, %c0, %c0, %c4, %c8) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<4x8xi8>
    %b = "xsmt.descriptor_load"(%yi, %c1, %c8, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = arith.addf %s0, %s0 : tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// The loop writes memory, in which the next turn's scales may lie.
// CHECK-LABEL: func.func @writes
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @writes(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    "xsmt.descriptor_store"(%zi, %s, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<16xf32>, i64, i64, i64) -> ()
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A bound may keep scales from being read.
// CHECK-LABEL: func.func @bounded
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @bounded(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// It is not known how far columns of B lie apart.
// CHECK-LABEL: func.func @runtime_stride
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @runtime_stride(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    %b = "xsmt.descriptor_load"(%yi, %c1, %n, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Columns of B lie apart: their bytes are no registers.
// CHECK-LABEL: func.func @narrow_stride
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @narrow_stride(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    %b = "xsmt.descriptor_load"(%yi, %c16, %c1, %c0, %c0, %c8, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<8x16xi8>
    %s = "xsmt.descriptor_load"(%zi, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xf32>
    %d = "tt.dot"(%a, %b, %none) {inputPrecision = 0 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<4x8xi8>, tensor<8x16xi8>, tensor<4x16xi32>) -> tensor<4x16xi32>
    %f = arith.sitofp %d : tensor<4x16xi32> to tensor<4x16xf32>
    %row = "tt.expand_dims"(%s) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %all = "tt.broadcast"(%row) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// What the loop carries is read at another place than its own.
// CHECK-LABEL: func.func @carried_elsewhere
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @carried_elsewhere(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    %rows = "tt.trans"(%acc) {order = array<i32: 1, 0>} : (tensor<4x16xf32>) -> tensor<16x4xf32>
    %sum = "tt.reduce"(%rows) ({
    ^bb0(%p: f32, %q: f32):
      %t = arith.addf %p, %q : f32
      "tt.reduce.return"(%t) : (f32) -> ()
    }) {axis = 1 : i32} : (tensor<16x4xf32>) -> tensor<16xf32>
    %sums = "tt.expand_dims"(%sum) {axis = 0 : i32} : (tensor<16xf32>) -> tensor<1x16xf32>
    %whole = "tt.broadcast"(%sums) : (tensor<1x16xf32>) -> tensor<4x16xf32>
    %next = math.fma %f, %all, %whole : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// An operation that is not one instruction on lanes.
// CHECK-LABEL: func.func @divided
// CHECK-NOT: -> (vector<[16]xf32>
// CHECK: return
func.func @divided(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %y: !llvm.ptr {tt.divisibility = 16 : i32}, %z: !llvm.ptr {tt.divisibility = 16 : i32}, %out: !llvm.ptr, %n: i64) {
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
    %e = math.exp %f : tensor<4x16xf32>
    %next = math.fma %e, %all, %acc : tensor<4x16xf32>
    scf.yield %next : tensor<4x16xf32>
  }
  "xsmt.descriptor_store"(%out, %r, %c16, %c1, %c0, %c0, %c4, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<4x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
