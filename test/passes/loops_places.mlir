// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// What counts the elements is equal to a scalar in one place: the lanes' numbers are compared with its distance, in few bits.
// CHECK-LABEL: func.func @place
func.func @place(%x: !llvm.ptr, %target: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c256_i64
  // CHECK: %[[DISTANCE:.*]] = arith.subi %arg1, %[[I]] : i64
  // CHECK: %[[LEAST:.*]] = arith.minui %[[DISTANCE]], %c{{[0-9]+}}_i64
  // CHECK: %[[LANE:.*]] = arith.trunci %[[LEAST]] : i64 to i8
  // CHECK: %[[LANES:.*]] = vector.broadcast %[[LANE]]
  // CHECK: arith.cmpi eq, %[[LANES]], %{{.*}} : vector<{{.*}}xi8>
  %i = "tt.make_range"() {end = 256 : i32, start = 0 : i32} : () -> tensor<256xi32>
  %wide = arith.extsi %i : tensor<256xi32> to tensor<256xi64>
  %t = "tt.splat"(%target) : (i64) -> tensor<256xi64>
  %hit = arith.cmpi eq, %wide, %t : tensor<256xi64>
  "xsmt.descriptor_store"(%x, %hit, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xi1>, i64, i64, i64) -> ()
  return
}

// -----

// Numbers that may wrap around, and so begin anew within the block, are compared as they are.
// CHECK-LABEL: func.func @wraps
func.func @wraps(%x: !llvm.ptr, %first: i32, %target: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  // CHECK-NOT: arith.minui
  // CHECK: arith.cmpi eq, %{{.*}} : vector<{{.*}}xi32>
  %i = "tt.make_range"() {end = 256 : i32, start = 0 : i32} : () -> tensor<256xi32>
  %f = "tt.splat"(%first) : (i32) -> tensor<256xi32>
  %n = arith.addi %f, %i : tensor<256xi32>
  %t = "tt.splat"(%target) : (i32) -> tensor<256xi32>
  %hit = arith.cmpi eq, %n, %t : tensor<256xi32>
  "xsmt.descriptor_store"(%x, %hit, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xi1>, i64, i64, i64) -> ()
  return
}

// -----

// Numbers that count in steps of two are equal to none, or to every second.
// CHECK-LABEL: func.func @steps
func.func @steps(%x: !llvm.ptr, %target: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c256 = arith.constant 256 : i64
  %c2 = arith.constant dense<2> : tensor<256xi32>
  // CHECK-NOT: arith.minui
  // CHECK: arith.cmpi ne, %{{.*}} : vector<{{.*}}xi32>
  %i = "tt.make_range"() {end = 256 : i32, start = 0 : i32} : () -> tensor<256xi32>
  %n = arith.muli %c2, %i : tensor<256xi32>
  %t = "tt.splat"(%target) : (i32) -> tensor<256xi32>
  %hit = arith.cmpi ne, %n, %t : tensor<256xi32>
  "xsmt.descriptor_store"(%x, %hit, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xi1>, i64, i64, i64) -> ()
  return
}

// -----

// Where a row has many vectors, those that do not hold the place branch around what is there alone.
// CHECK-LABEL: func.func @other_value_in_a_place
func.func @other_value_in_a_place(%x: !llvm.ptr, %z: !llvm.ptr, %target: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for {{.*}} step %c64_i64
  // CHECK: %[[X:.*]] = llvm.load {{.*}} -> vector<64xf32>
  // CHECK: %[[HOLDS:.*]] = arith.cmpi ult
  // CHECK: %[[Y:.*]] = scf.if %[[HOLDS]] -> (vector<64xf32>) {
  // CHECK: arith.select
  // CHECK: } else {
  // CHECK-NEXT: scf.yield %[[X]]
  // CHECK: llvm.store %[[Y]]
  %i = "tt.make_range"() {end = 1024 : i32, start = 0 : i32} : () -> tensor<1024xi32>
  %wide = arith.extsi %i : tensor<1024xi32> to tensor<1024xi64>
  %t = "tt.splat"(%target) : (i64) -> tensor<1024xi64>
  %hit = arith.cmpi eq, %wide, %t : tensor<1024xi64>
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %one = arith.constant dense<1.0> : tensor<1024xf32>
  %b = arith.subf %a, %one : tensor<1024xf32>
  %y = arith.select %hit, %b, %a : tensor<1024xi1>, tensor<1024xf32>
  "xsmt.descriptor_store"(%z, %y, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A block of two vectors: each second one holds the place.
// CHECK-LABEL: func.func @other_value_in_a_short_row
func.func @other_value_in_a_short_row(%x: !llvm.ptr, %z: !llvm.ptr, %target: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c128 = arith.constant 128 : i64
  // CHECK: scf.for {{.*}} step %c64_i64
  // CHECK-NOT: scf.if
  // CHECK: arith.select
  // CHECK: return
  %i = "tt.make_range"() {end = 128 : i32, start = 0 : i32} : () -> tensor<128xi32>
  %wide = arith.extsi %i : tensor<128xi32> to tensor<128xi64>
  %t = "tt.splat"(%target) : (i64) -> tensor<128xi64>
  %hit = arith.cmpi eq, %wide, %t : tensor<128xi64>
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<128xf32>
  %one = arith.constant dense<1.0> : tensor<128xf32>
  %b = arith.subf %a, %one : tensor<128xf32>
  %y = arith.select %hit, %b, %a : tensor<128xi1>, tensor<128xf32>
  "xsmt.descriptor_store"(%z, %y, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<128xf32>, i64, i64, i64) -> ()
  return
}
