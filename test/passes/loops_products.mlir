// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Operands that lie in memory as they are needed are read in place. A register tile of the result stays in registers over all of k; a row of it
// takes an element of A and a vector of B, which is loaded one step before.
// CHECK-LABEL: func.func @in_place
func.func @in_place(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %s: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK-NOT: llvm.store
  // CHECK: scf.for %[[ROW:.*]] = %c0_i64 to %c60_i64 step %c6_i64
  // CHECK: arith.muli %[[ROW]], %arg3
  // CHECK: %[[A:.*]] = llvm.getelementptr %arg0[
  // CHECK: %[[TILE:.*]]:[[H:[0-9]+]] = scf.for {{.*}} = %c0_i64 to %c64_i64 step %c32_i64 {{.*}}%[[PLACE:arg[0-9]+]] = %[[A]]{{[,)]}}{{.*}} -> (vector<[8]xf32>, vector<[8]xf32>
  // CHECK: %[[P:.*]] = llvm.freeze
  // CHECK: %[[R:.*]] = llvm.freeze %[[PLACE]]
  // CHECK: %[[V:.*]] = llvm.call_intrinsic "llvm.riscv.vle"(%{{.*}}, %[[P]],
  // CHECK: %[[E:.*]] = llvm.load %[[R]] {{.*}} -> f32
  // CHECK: %[[NEXT:.*]] = llvm.getelementptr %[[P]][%{{.*}}]
  // CHECK: llvm.call_intrinsic "llvm.riscv.vfmacc"(%{{.*}}, %[[E]], %[[V]],
  // CHECK-NEXT: llvm.call_intrinsic "llvm.riscv.vle"(%{{.*}}, %[[NEXT]],
  // CHECK-NOT: llvm.store
  // CHECK: scf.yield
  // CHECK: llvm.call_intrinsic "llvm.riscv.vse"(%[[TILE]]#0
  // CHECK: llvm.call_intrinsic "llvm.riscv.vse"(%[[TILE]]#1
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %s, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A that is computed, and B whose rows are not contiguous, are packed once.
// CHECK-LABEL: func.func @packed
func.func @packed(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK-DAG: %[[A:.*]] = llvm.getelementptr %arg4[20480]
  // CHECK-DAG: %[[B:.*]] = llvm.getelementptr %arg4[30720]
  // CHECK: scf.for {{.*}} to %c64_i64
  // CHECK: "tt.fp_to_fp"
  // CHECK: llvm.getelementptr %[[A]][
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} to %c32_i64
  // CHECK: "llvm.intr.experimental.vp.strided.load"
  // CHECK: llvm.getelementptr %[[B]][
  // CHECK: llvm.store
  // CHECK-NOT: llvm.getelementptr %arg{{[01]}}
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x32xbf16>
  %b = "xsmt.descriptor_load"(%y, %c1, %c32, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
  %e = "tt.fp_to_fp"(%a) : (tensor<64x32xbf16>) -> tensor<64x32xf32>
  %d = "tt.dot"(%e, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A bound along k of one operand is checked once for the block: packed with its zeros where it cuts the block, else in place.
// CHECK-LABEL: func.func @checked
func.func @checked(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[WHOLE:.*]] = arith.cmpi sge, %arg3, %c32_i64
  // CHECK: %[[A:.*]] = arith.select %[[WHOLE]], %arg0, %[[PACKED:.*]] : !llvm.ptr
  // CHECK: scf.if %[[WHOLE]] {
  // CHECK: } else {
  // CHECK: llvm.intr.masked.load
  // CHECK: llvm.store
  // CHECK: llvm.getelementptr %[[A]][
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %zero_f32 = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c64, %n, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<64x32xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Where both operands are zero from a bound on, the loops over k end there, and both are in place.
// CHECK-LABEL: func.func @short
func.func @short(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK-NOT: scf.if
  // CHECK: %[[N:.*]] = arith.maxsi %{{.*}}, %c0_i64
  // CHECK: %[[WHOLE:.*]] = arith.andi %[[N]], %c-16_i64
  // CHECK: %[[FOURS:.*]] = arith.andi %[[N]], %c-4_i64
  // CHECK: scf.for {{.*}} to %[[WHOLE]] step %c16_i64
  // CHECK: scf.for {{.*}} = %[[WHOLE]] to %[[FOURS]] step %c4_i64
  // CHECK: scf.for {{.*}} = %[[FOURS]] to %[[N]] step %c1_i64
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %zero_f32 = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c64, %n, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<64x32xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %n, %c64, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<32x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Where the bound is a multiple of 16, no steps of k are left over, and no columns that a narrower tile would take.
// CHECK-LABEL: func.func @short_by_sixteens
func.func @short_by_sixteens(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64 {tt.divisibility = 16 : i32}) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[K:.*]] = arith.minsi %arg3, %c32_i64
  // CHECK: %[[N:.*]] = arith.maxsi %[[K]], %c0_i64
  // CHECK-NOT: vector<[2]xf32>
  // CHECK: = scf.for {{.*}} to %[[N]] step %c16_i64
  // CHECK-NOT: = scf.for
  // CHECK: llvm.riscv.vse
  // CHECK-NOT: vector<[2]xf32>
  // CHECK: = scf.for {{.*}} to %[[N]] step %c4_i64
  // CHECK-NOT: = scf.for
  // CHECK-NOT: vector<[2]xf32>
  // CHECK: return
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %zero_f32 = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c64, %n, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<64x32xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %n, %c64, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<32x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %n) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A multiple of 8 is not enough for either.
// CHECK-LABEL: func.func @short_by_eights
func.func @short_by_eights(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64 {tt.divisibility = 8 : i32}) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[K:.*]] = arith.minsi %arg3, %c32_i64
  // CHECK: %[[N:.*]] = arith.maxsi %[[K]], %c0_i64
  // CHECK: %[[WHOLE:.*]] = arith.andi %[[N]], %c-16_i64
  // CHECK: vector<[2]xf32>
  // CHECK: = scf.for {{.*}} to %[[WHOLE]] step %c16_i64
  // CHECK: = scf.for {{.*}} = %[[WHOLE]] to %[[N]] step %c4_i64
  // CHECK: return
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %zero_f32 = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c64, %n, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<64x32xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %n, %c64, %zero_f32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<32x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %n) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Rows that wrap around (a remainder in their index) are in place where none of the block's rows does.
// CHECK-LABEL: func.func @wrap_around
func.func @wrap_around(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %first: i32, %rows: i32, %s: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[ROWS:.*]] = arith.extsi %arg4
  // CHECK: %[[FIRST:.*]] = arith.remsi %{{.*}}, %[[ROWS]] : i64
  // CHECK: %[[END:.*]] = arith.addi %[[FIRST]], %c64_i64
  // CHECK: arith.cmpi sle, %[[END]], %[[ROWS]]
  // The sum of which it is the remainder must not wrap around either.
  // CHECK: %[[SMALL:.*]] = arith.cmpi sle, %{{.*}}, %c2147483584_i64
  // CHECK: %[[INSIDE:.*]] = arith.andi %{{.*}}, %[[SMALL]] : i1
  // CHECK: scf.if %[[INSIDE]] {
  // CHECK: } else {
  // CHECK: llvm.load
  // CHECK: llvm.store
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %i = "tt.make_range"() {end = 64 : i32, start = 0 : i32} : () -> tensor<64xi32>
  %f = "tt.splat"(%first) : (i32) -> tensor<64xi32>
  %g = arith.addi %f, %i : tensor<64xi32>
  %m = "tt.splat"(%rows) : (i32) -> tensor<64xi32>
  %w = arith.remsi %g, %m : tensor<64xi32>
  %e = "tt.expand_dims"(%w) {axis = 1 : i32} : (tensor<64xi32>) -> tensor<64x1xi32>
  %t = "tt.splat"(%s) : (i32) -> tensor<64x1xi32>
  %u = arith.muli %e, %t : tensor<64x1xi32>
  %v = "tt.broadcast"(%u) : (tensor<64x1xi32>) -> tensor<64x32xi32>
  %a = "xsmt.gather"(%x, %v, %c0, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<64x32xi32>, i64, i64, i64, i64, i64, i64) -> tensor<64x32xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A start that is a carried block times a number for each row is multiplied as its tiles are loaded.
// CHECK-LABEL: func.func @scaled_start
func.func @scaled_start(%x: !llvm.ptr, %y: !llvm.ptr, %s: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c96 = arith.constant 96 : i64
  %zero = arith.constant dense<0.0> : tensor<96x32xf32>
  // CHECK: scf.for
  // CHECK-NOT: arith.mulf
  // CHECK: scf.for {{.*}} = %c0_i64 to %c96_i64 step %c6_i64
  // CHECK: "llvm.riscv.vle"
  // CHECK: %[[F:.*]] = llvm.load {{.*}} -> f32
  // CHECK: "llvm.riscv.vfmul"
  // CHECK: "llvm.riscv.vfmacc"
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<96x32xf32>) : i64 {
    %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c96, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<96x32xf32>
    %b = "xsmt.descriptor_load"(%y, %c32, %c1, %c0, %c0, %c32, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x32xf32>
    %f = "xsmt.descriptor_load"(%s, %c1, %c0, %c96) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<96xf32>
    %e = "tt.expand_dims"(%f) {axis = 1 : i32} : (tensor<96xf32>) -> tensor<96x1xf32>
    %g = "tt.broadcast"(%e) : (tensor<96x1xf32>) -> tensor<96x32xf32>
    %m = arith.mulf %acc, %g : tensor<96x32xf32>
    %d = "tt.dot"(%a, %b, %m) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<96x32xf32>, tensor<32x32xf32>, tensor<96x32xf32>) -> tensor<96x32xf32>
    scf.yield %d : tensor<96x32xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c32, %c1, %c0, %c0, %c96, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<96x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// One that is a carried block times a number for each column is stored first.
// CHECK-LABEL: func.func @scaled_by_columns
func.func @scaled_by_columns(%x: !llvm.ptr, %y: !llvm.ptr, %s: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c96 = arith.constant 96 : i64
  %zero = arith.constant dense<0.0> : tensor<96x32xf32>
  // CHECK: arith.mulf
  // CHECK-NOT: "llvm.riscv.vfmul"
  // CHECK: "llvm.riscv.vfmacc"
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<96x32xf32>) : i64 {
    %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c96, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<96x32xf32>
    %b = "xsmt.descriptor_load"(%y, %c32, %c1, %c0, %c0, %c32, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x32xf32>
    %f = "xsmt.descriptor_load"(%s, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<32xf32>
    %e = "tt.expand_dims"(%f) {axis = 0 : i32} : (tensor<32xf32>) -> tensor<1x32xf32>
    %g = "tt.broadcast"(%e) : (tensor<1x32xf32>) -> tensor<96x32xf32>
    %m = arith.mulf %acc, %g : tensor<96x32xf32>
    %d = "tt.dot"(%a, %b, %m) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<96x32xf32>, tensor<32x32xf32>, tensor<96x32xf32>) -> tensor<96x32xf32>
    scf.yield %d : tensor<96x32xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c32, %c1, %c0, %c0, %c96, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<96x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Half precision and bytes are widened as they are multiplied, and summed in 32 bits.
// CHECK-LABEL: func.func @half
func.func @half(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  // CHECK: "llvm.riscv.vle"({{.*}} -> vector<[8]xf16>
  // CHECK: "llvm.riscv.vfwmacc"({{.*}} -> vector<[8]xf32>
  %zero = arith.constant dense<0.0> : tensor<16x32xf32>
  %a = "xsmt.descriptor_load"(%x, %c16, %c1, %c0, %c0, %c16, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x16xf16>
  %b = "xsmt.descriptor_load"(%y, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf16>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<16x16xf16>, tensor<16x32xf16>, tensor<16x32xf32>) -> tensor<16x32xf32>
  "xsmt.descriptor_store"(%z, %d, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Bytes where the chip's matrix instructions may not be used.
// CHECK-LABEL: func.func @bytes
module attributes {xsmt.allow_ime = false} {
func.func @bytes(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  // CHECK: arith.extsi {{.*}}xi8> to vector<{{.*}}xi16>
  // CHECK: "llvm.riscv.vwmacc"({{.*}} -> vector<[8]xi32>
  %zero = arith.constant dense<0> : tensor<16x32xi32>
  %a = "xsmt.descriptor_load"(%x, %c16, %c1, %c0, %c0, %c16, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x16xi8>
  %b = "xsmt.descriptor_load"(%y, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xi8>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<16x16xi8>, tensor<16x32xi8>, tensor<16x32xi32>) -> tensor<16x32xi32>
  "xsmt.descriptor_store"(%z, %d, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xi32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
}

// -----

// A product that a loop accumulates: for a chunk of turns, of as many steps as half of the first cache holds of B, the operands are located
// first; a turn whose operands lie where those of the turn before end goes on with that one's steps. Then each tile stays in registers over
// the chunk. Only the rows and columns that the store behind the loop wants are computed.
// CHECK-LABEL: func.func @accumulating
func.func @accumulating(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64, %rows: i64, %columns: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[ROWS:.*]] = arith.minsi %arg4, %c64_i64
  // CHECK: %[[R:.*]] = arith.maxsi %[[ROWS]], %c0_i64
  // CHECK: %[[COLUMNS:.*]] = arith.minsi %arg5, %c64_i64
  // CHECK: %[[C:.*]] = arith.maxsi %[[COLUMNS]], %c0_i64
  // CHECK: arith.divsi %{{.*}}, %c32_i64
  // The result is not stored before the tiles run: those of the first chunk begin at zero, so that one without turns is there where the loop has none.
  // CHECK: %[[END:.*]] = arith.maxsi %{{.*}}, %c1_i64
  // CHECK-NOT: llvm.store
  // CHECK: scf.for %[[CHUNK:.*]] = %c0_i64 to %[[END]] step %c4_i64
  // Before the first turn, no operand ends anywhere: not at 0, where tensors without elements begin.
  // CHECK: %[[RUNS:.*]]:{{.*}} = scf.for %[[TURN:.*]] = %c0_i64 to %{{.*}} step %c1_i64 iter_args(%[[NUMBER:[a-z0-9]*]] = %c0_i64, %[[STEPS:[a-z0-9]*]] = %c0_i64, {{.*}} = %c-1_i64, {{.*}} = %c-1_i64,
  // CHECK: %[[SAME_A:.*]] = arith.cmpi eq
  // CHECK: %[[SAME_B:.*]] = arith.cmpi eq
  // CHECK: %[[BOTH:.*]] = arith.andi %[[SAME_A]], %[[SAME_B]]
  // CHECK: %[[ON:.*]] = arith.andi %[[BOTH]]
  // CHECK: %[[LAST:.*]] = arith.subi %[[NUMBER]], %c1_i64
  // CHECK: %[[ENTRY:.*]] = arith.select %[[ON]], %[[LAST]], %[[NUMBER]]
  // CHECK: %[[TOTAL:.*]] = arith.addi %[[STEPS]], %c32_i64
  // CHECK: arith.select %[[ON]], %[[TOTAL]], %c32_i64
  // CHECK: llvm.store %{{.*}} !llvm.ptr, !llvm.ptr
  // CHECK: %[[FIRST:.*]] = arith.cmpi eq, %[[CHUNK]], %c0_i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[C]] step
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[MOST:.*]] step %c6_i64
  // CHECK: %[[SUMS:.*]]:6 = scf.if %[[FIRST]]
  // CHECK-NOT: vle
  // CHECK: else
  // CHECK: "llvm.riscv.vle"
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[RUNS]]#0 step %c1_i64 iter_args({{.*}} = %[[SUMS]]#0
  // CHECK: llvm.load {{.*}} -> !llvm.ptr
  // CHECK: "llvm.riscv.vfmacc"
  // CHECK: scf.for {{.*}} to %[[R]] step %c6_i64
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %r = scf.for %k = %c0 to %n step %c32 iter_args(%acc = %zero) -> (tensor<64x64xf32>) : i64 {
    %p = llvm.getelementptr %x[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %n, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x32xf32>
    %o = arith.muli %k, %c64 : i64
    %q = llvm.getelementptr %y[%o] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %b = "xsmt.descriptor_load"(%q, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
    %d = "tt.dot"(%a, %b, %acc) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
    scf.yield %d : tensor<64x64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c64, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Where the start is not zero, all tiles begin with what is in memory.
// CHECK-LABEL: func.func @accumulating_on
func.func @accumulating_on(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: llvm.store
  // CHECK: scf.for %[[CHUNK:.*]] = %c0_i64 to %{{.*}} step %c4_i64
  // CHECK-NOT: arith.cmpi eq, %[[CHUNK]]
  // CHECK: "llvm.riscv.vfmacc"
  %one = arith.constant dense<1.0> : tensor<64x64xf32>
  %r = scf.for %k = %c0 to %n step %c32 iter_args(%acc = %one) -> (tensor<64x64xf32>) : i64 {
    %p = llvm.getelementptr %x[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a = "xsmt.descriptor_load"(%p, %n, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x32xf32>
    %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
    %d = "tt.dot"(%a, %b, %acc) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
    scf.yield %d : tensor<64x64xf32>
  }
  "xsmt.descriptor_store"(%z, %r, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A store at an index wants what is below its bounds, too.
// CHECK-LABEL: func.func @scattered
func.func @scattered(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %p: !llvm.ptr, %rows: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[ROWS:.*]] = arith.minsi %arg4, %c64_i64
  // CHECK: %[[R:.*]] = arith.maxsi %[[ROWS]], %c0_i64
  // CHECK: scf.for {{.*}} step %c6_i64
  // CHECK: "llvm.riscv.vfmacc"
  // CHECK: scf.for {{.*}} to %[[R]] step %c6_i64
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  %row = "xsmt.descriptor_load"(%p, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi64>
  %column = "tt.expand_dims"(%row) {axis = 1 : i32} : (tensor<64xi64>) -> tensor<64x1xi64>
  %places = "tt.broadcast"(%column) : (tensor<64x1xi64>) -> tensor<64x64xi64>
  %none = arith.constant dense<0> : tensor<64x64xi64>
  %mask = arith.cmpi sge, %places, %none : tensor<64x64xi64>
  "xsmt.scatter"(%z, %places, %d, %c0, %c1, %c0, %c0, %rows, %c64, %mask) {operandSegmentSizes = array<i32: 1, 1, 1, 2, 2, 2, 1>, unit = 4 : i64} : (!llvm.ptr, tensor<64x64xi64>, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64, tensor<64x64xi1>) -> ()
  return
}

// -----

// Where the result itself decides what is stored, it goes to more than the value of one store: all of it is computed.
// CHECK-LABEL: func.func @decides
func.func @decides(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %p: !llvm.ptr, %rows: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK-NOT: arith.minsi %arg4
  // CHECK: scf.for {{.*}} to %c{{[0-9]+}}_i64 step %c6_i64
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %b = "xsmt.descriptor_load"(%y, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %d = "tt.dot"(%a, %b, %zero) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32} : (tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  %row = "xsmt.descriptor_load"(%p, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi64>
  %column = "tt.expand_dims"(%row) {axis = 1 : i32} : (tensor<64xi64>) -> tensor<64x1xi64>
  %places = "tt.broadcast"(%column) : (tensor<64x1xi64>) -> tensor<64x64xi64>
  %mask = arith.cmpf ogt, %d, %zero : tensor<64x64xf32>
  "xsmt.scatter"(%z, %places, %d, %c0, %c1, %c0, %c0, %rows, %c64, %mask) {operandSegmentSizes = array<i32: 1, 1, 1, 2, 2, 2, 1>, unit = 4 : i64} : (!llvm.ptr, tensor<64x64xi64>, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64, tensor<64x64xi1>) -> ()
  return
}

// -----

// Microscaling formats become float32 blocks: e2m1 elements by their bits, a scale as the exponent of a power of two, for each group along k.
// CHECK-LABEL: func.func @scaled
func.func @scaled(%x: !llvm.ptr, %y: !llvm.ptr, %s: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c16 = arith.constant 16 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: arith.shli %{{.*}}, %c23_i32
  // CHECK: arith.extui {{.*}}xi8> to vector<[[W:.*]]xi32>
  // CHECK: arith.andi %{{.*}}, %{{.*}} : vector<[[W]]xi32>
  // CHECK: arith.bitcast {{.*}} to vector<[[W]]xf32>
  // CHECK: vector.interleave
  // CHECK: arith.mulf
  // CHECK: arith.extf {{.*}}xbf16>
  // CHECK: "llvm.riscv.vfmacc"
  %zero = arith.constant dense<0.0> : tensor<16x32xf32>
  %a = "xsmt.descriptor_load"(%x, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xi8>
  %as = "xsmt.descriptor_load"(%s, %c2, %c1, %c0, %c0, %c16, %c2) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x2xi8>
  %b = "xsmt.descriptor_load"(%y, %c32, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x32xbf16>
  %d = "tt.dot_scaled"(%a, %b, %zero, %as) {a_elem_type = 4 : i32, b_elem_type = 5 : i32, fastMath = false, lhs_k_pack = true, rhs_k_pack = true, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0>} : (tensor<16x32xi8>, tensor<64x32xbf16>, tensor<16x32xf32>, tensor<16x2xi8>) -> tensor<16x32xf32>
  "xsmt.descriptor_store"(%z, %d, %c32, %c1, %c0, %c0, %c16, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A register tile is no larger than its product's hints: here 2 rows of 8 columns.
// CHECK-LABEL: func.func @hints
func.func @hints(%x: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for {{.*}} to %c64_i64 step %c8_i64
  // CHECK: scf.for {{.*}} to %c64_i64 step %c2_i64
  // CHECK: scf.for {{.*}} -> (vector<[2]xf32>, vector<[2]xf32>, vector<[2]xf32>, vector<[2]xf32>, !llvm.ptr, !llvm.ptr)
  %zero = arith.constant dense<0.0> : tensor<64x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %d = "tt.dot"(%a, %a, %zero) {xsmt.mr = 2 : i32, xsmt.nr = 9 : i32} : (tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%z, %d, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A window reads memory itself: what it is a part of is not stored. A load may pass a wait; it is carried out before an arrival.
// CHECK-LABEL: func.func @windows
func.func @windows(%x: !llvm.ptr, %z: !llvm.ptr, %i: i32, %bar: i64, %last: i1) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  // CHECK-NOT: scf.for
  // CHECK: llvm.call
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %w = "xsmt.subview"(%a, %i, %zero) : (tensor<64x64xf32>, i32, i32) -> tensor<16x64xf32>
  "xsmt.barrier_wait"(%bar, %one, %zero) : (i64, i32, i32) -> ()
  // CHECK: scf.for {{.*}} to %c16_i64
  // CHECK: llvm.call
  // CHECK: scf.for {{.*}} to %c16_i64
  // CHECK-NOT: scf.for {{.*}} to %c64_i64 step %c1_i64
  "xsmt.barrier_arrive"(%bar) : (i64) -> ()
  "xsmt.descriptor_store"(%z, %w, %c64, %c1, %c0, %c0, %c16, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}
