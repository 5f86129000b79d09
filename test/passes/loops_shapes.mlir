// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// A transposed block renames coordinates: the load has the stride.
// CHECK-LABEL: func.func @trans
func.func @trans(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c64_i64
  // CHECK: llvm.getelementptr %{{.*}}[%[[I]]]
  // CHECK: "llvm.intr.experimental.vp.strided.load"(%{{.*}}, %c256_i64,
  // CHECK: llvm.getelementptr %arg1
  // CHECK: llvm.store
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c32, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
  %t = "tt.trans"(%a) {order = array<i32: 1, 0>} : (tensor<32x64xf32>) -> tensor<64x32xf32>
  %i = "tt.make_range"() {end = 32 : i32, start = 0 : i32} : () -> tensor<32xi32>
  "xsmt.descriptor_store"(%y, %t, %c32, %c1, %c0, %c0, %c64, %c32) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Where what is read lies across, the vectors' loop is the outer one, with and without masks: the inner one goes along its lines.
// CHECK-LABEL: func.func @across
func.func @across(%x: !llvm.ptr, %y: !llvm.ptr, %rows: i64, %columns: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %{{.*}} step %c64_i64
  // CHECK: scf.for %[[J:.*]] = %c0_i64 to %{{.*}} step %c1_i64
  // CHECK: "llvm.intr.experimental.vp.strided.load"
  // CHECK: llvm.store
  // CHECK: scf.for %{{.*}} step %c64_i64
  // CHECK: arith.cmpi {{.*}}xi8>
  // CHECK: scf.for %{{.*}} step %c1_i64
  // CHECK: llvm.intr.masked.store
  %a = "xsmt.descriptor_load"(%x, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<128x32xf32>
  %t = "tt.trans"(%a) {order = array<i32: 1, 0>} : (tensor<128x32xf32>) -> tensor<32x128xf32>
  "xsmt.descriptor_store"(%y, %t, %rows, %c1, %c0, %c0, %columns, %rows) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x128xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A block whose rows are read along memory goes row by row.
// CHECK-LABEL: func.func @along
func.func @along(%x: !llvm.ptr, %y: !llvm.ptr, %rows: i64, %columns: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: scf.for %{{.*}} step %c1_i64
  // CHECK: scf.for %{{.*}} step %c64_i64
  %a = "xsmt.descriptor_load"(%x, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x256xf32>
  "xsmt.descriptor_store"(%y, %a, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x256xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Rows of two vectors and no more: each vector's mask is made once, and all rows go through it.
// CHECK-LABEL: func.func @short_rows
func.func @short_rows(%x: !llvm.ptr, %y: !llvm.ptr, %rows: i64, %columns: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: scf.for %{{.*}} step %c64_i64
  // CHECK: scf.for %{{.*}} step %c1_i64
  // CHECK: llvm.load
  // CHECK: scf.for %{{.*}} step %c64_i64
  // CHECK: arith.cmpi {{.*}}xi8>
  // CHECK: scf.for %{{.*}} step %c1_i64
  // CHECK-NOT: arith.cmpi
  // CHECK: llvm.intr.masked.load
  %a = "xsmt.descriptor_load"(%x, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x128xf32>
  "xsmt.descriptor_store"(%y, %a, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x128xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// What does not depend on the inner coordinate is computed outside the inner loop, on scalars.
// CHECK-LABEL: func.func @outer
func.func @outer(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c64_i64
  // CHECK: %[[ROW:.*]] = arith.trunci %[[I]] : i64 to i32
  // CHECK: arith.muli %[[ROW]], %[[ROW]] : i32
  // CHECK: scf.for
  // CHECK-NOT: arith.muli {{.*}}xi32>
  // CHECK: arith.addi {{.*}}xi32>
  // CHECK: llvm.store
  %i = "tt.make_range"() {end = 64 : i32, start = 0 : i32} : () -> tensor<64xi32>
  %r = "tt.expand_dims"(%i) {axis = 1 : i32} : (tensor<64xi32>) -> tensor<64x1xi32>
  %j = "tt.make_range"() {end = 256 : i32, start = 0 : i32} : () -> tensor<256xi32>
  %c = "tt.expand_dims"(%j) {axis = 0 : i32} : (tensor<256xi32>) -> tensor<1x256xi32>
  %rr = "tt.broadcast"(%r) : (tensor<64x1xi32>) -> tensor<64x256xi32>
  %cc = "tt.broadcast"(%c) : (tensor<1x256xi32>) -> tensor<64x256xi32>
  %q = arith.muli %rr, %rr : tensor<64x256xi32>
  %s = arith.addi %q, %cc : tensor<64x256xi32>
  "xsmt.descriptor_store"(%y, %s, %c256, %c1, %c0, %c0, %c64, %c256) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x256xi32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A reshape that changes the order of elements in a vector goes through memory; it computes each element once.
// CHECK-LABEL: func.func @reshape
func.func @reshape(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %c64 = arith.constant 64 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for {{.*}} to %c1024_i64
  // CHECK: math.exp
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} = %c0_i64 to %c64_i64
  // CHECK-NOT: math.exp
  // CHECK: "llvm.intr.experimental.vp.strided.load"(%{{.*}}, %c256_i64,
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %s = math.exp %a : tensor<1024xf32>
  %t = "tt.reshape"(%s) : (tensor<1024xf32>) -> tensor<16x64xf32>
  %u = "tt.trans"(%t) {order = array<i32: 1, 0>} : (tensor<16x64xf32>) -> tensor<64x16xf32>
  "xsmt.descriptor_store"(%y, %u, %c16, %c1, %c0, %c0, %c64, %c16) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x16xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A join interleaves in memory, both halves in one loop.
// CHECK-LABEL: func.func @join
func.func @join(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[BUFFER:.*]] = llvm.alloca
  // CHECK: %[[SECOND:.*]] = llvm.getelementptr %[[BUFFER]][1]
  // CHECK: scf.for
  // CHECK: %[[L:.*]] = llvm.load
  // CHECK: %[[R:.*]] = llvm.load
  // CHECK: "llvm.intr.experimental.vp.strided.store"(%[[L]], %{{.*}}, %c8_i64,
  // CHECK: "llvm.intr.experimental.vp.strided.store"(%[[R]], %{{.*}}, %c8_i64,
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %b = "xsmt.descriptor_load"(%y, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %j = "tt.join"(%a, %b) : (tensor<64xf32>, tensor<64xf32>) -> tensor<64x2xf32>
  %z = llvm.mlir.zero : !llvm.ptr
  "xsmt.descriptor_store"(%z, %j, %c2, %c1, %c0, %c0, %c64, %c2) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x2xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A split reads every second element, in one loop with what uses the halves.
// CHECK-LABEL: func.func @split
func.func @split(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for {{.*}} to %c64_i64 step %c{{[0-9]+}}_i64
  // CHECK: %[[L:.*]] = "llvm.intr.experimental.vp.strided.load"(%{{.*}}, %c8_i64,
  // CHECK: %[[R:.*]] = "llvm.intr.experimental.vp.strided.load"(%{{.*}}, %c8_i64,
  // CHECK: arith.subf %[[L]], %[[R]]
  %a = "xsmt.descriptor_load"(%x, %c2, %c1, %c0, %c0, %c64, %c2) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x2xf32>
  %l, %r = "tt.split"(%a) : (tensor<64x2xf32>) -> (tensor<64xf32>, tensor<64xf32>)
  %d = arith.subf %l, %r : tensor<64xf32>
  "xsmt.descriptor_store"(%y, %d, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A concatenation writes its parts one behind the other.
// CHECK-LABEL: func.func @cat
func.func @cat(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c128 = arith.constant 128 : i64
  // CHECK: %[[BUFFER:.*]] = llvm.alloca %{{.*}} x vector<128xf32>
  // CHECK: llvm.getelementptr %[[BUFFER]][%
  // CHECK: llvm.store
  // CHECK: %[[SECOND:.*]] = llvm.getelementptr %[[BUFFER]][64]
  // CHECK: scf.for
  // CHECK: arith.addf
  // CHECK: llvm.getelementptr %[[SECOND]][%
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} to %c128_i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %b = arith.addf %a, %a : tensor<64xf32>
  %l = "tt.cat"(%a, %b) : (tensor<64xf32>, tensor<64xf32>) -> tensor<128xf32>
  "xsmt.descriptor_store"(%y, %l, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<128xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A gather along an axis is an indexed load from the source, which lies in memory.
// CHECK-LABEL: func.func @gather
func.func @gather(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[BUFFER:.*]] = llvm.alloca
  // CHECK: llvm.getelementptr %[[BUFFER]]
  // CHECK: llvm.store
  // CHECK: %[[INDEX:.*]] = arith.extsi
  // CHECK: %[[P:.*]] = llvm.getelementptr %[[BUFFER]][%[[INDEX]]] : {{.*}}x!llvm.ptr>, f32
  // CHECK: llvm.intr.masked.gather %[[P]]
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %i = "xsmt.descriptor_load"(%y, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<32xi32>
  %g = "tt.gather"(%a, %i) {axis = 0 : i32} : (tensor<64xf32>, tensor<32xi32>) -> tensor<32xf32>
  "xsmt.descriptor_store"(%y, %g, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<32xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A function of scalars without loops is evaluated on vectors; both sides of a branch are computed.
// CHECK-LABEL: func.func @map
func.func @map(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[A:.*]] = llvm.load {{.*}} -> vector<
  // CHECK: %[[P:.*]] = arith.cmpf ogt, %[[A]]
  // CHECK: %[[R:.*]] = math.sqrt %[[A]] : vector
  // CHECK: arith.select %[[P]], %[[R]],
  // CHECK-NOT: scf.if
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %m = "tt.map_elementwise"(%a) ({
  ^bb0(%v: f32):
    %zero = arith.constant 0.0 : f32
    %p = arith.cmpf ogt, %v, %zero : f32
    %r = scf.if %p -> f32 {
      %e = math.sqrt %v : f32
      scf.yield %e : f32
    } else {
      scf.yield %zero : f32
    }
    "tt.map_elementwise.return"(%r) : (f32) -> ()
  }) {pack = 1 : i32} : (tensor<64xf32>) -> tensor<64xf32>
  "xsmt.descriptor_store"(%x, %m, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// One with a loop, or that takes neighbours, runs element by element.
// CHECK-LABEL: func.func @map_loop
func.func @map_loop(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c32_i64 step %c1_i64
  // CHECK: %[[J:.*]] = arith.muli %[[I]], %c2_i64
  // CHECK: %[[A:.*]] = llvm.load {{.*}} -> i32
  // CHECK: %[[B:.*]] = llvm.load {{.*}} -> i32
  // CHECK: %[[R:.*]] = scf.for {{.*}} = %c0_i32 to %[[A]] step %c1_i32 iter_args(%{{.*}} = %[[B]])
  // CHECK: llvm.store %[[R]]
  // CHECK: llvm.store %[[B]]
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi32>
  %m = "tt.map_elementwise"(%a) ({
  ^bb0(%v: i32, %w: i32):
    %zero = arith.constant 0 : i32
    %one = arith.constant 1 : i32
    %r = scf.for %i = %zero to %v step %one iter_args(%s = %w) -> i32 : i32 {
      %t = arith.muli %s, %v : i32
      scf.yield %t : i32
    }
    "tt.map_elementwise.return"(%r, %w) : (i32, i32) -> ()
  }) {pack = 2 : i32} : (tensor<64xi32>) -> tensor<64xi32>
  "xsmt.descriptor_store"(%x, %m, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}
