// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// A store is the root of one loop: loads and arithmetic run in it, and a block that is read in the same lanes is updated in place.
// CHECK-LABEL: func.func @fused
func.func @fused(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to %c1024_i64
  // CHECK: %[[P:.*]] = llvm.getelementptr %arg0[%[[I]]]
  // CHECK: %[[A:.*]] = llvm.load %[[P]]{{.*}} -> vector<
  // CHECK: %[[B:.*]] = arith.mulf %[[A]], %[[A]]
  // CHECK: %[[C:.*]] = arith.addf %[[B]], %[[A]]
  // CHECK: llvm.store %[[C]], %[[P]]
  // CHECK-NOT: scf.for
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.mulf %a, %a : tensor<1024xf32>
  %c = arith.addf %b, %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %c, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// An upper bound limits a main loop of whole vectors; the rest is masked. Nothing is done behind the bound.
// CHECK-LABEL: func.func @bounded
func.func @bounded(%x: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK-DAG: %[[LEAST:.*]] = arith.minsi %arg1, %c1024_i64
  // CHECK-DAG: %[[MAIN:.*]] = arith.andi %{{.*}}, %c-[[W:[0-9]+]]_i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[MAIN]] step %c[[W]]_i64
  // CHECK: llvm.load
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} = %[[MAIN]] to %{{[0-9]+}} step %c[[W]]_i64
  // CHECK: llvm.intr.masked.load
  // CHECK: llvm.intr.masked.store
  // CHECK-NOT: scf.for
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.mulf %a, %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %b, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// The bound of an outer dimension ends the loop over it, rather than mask every element.
// CHECK-LABEL: func.func @bounded_rows
func.func @bounded_rows(%x: !llvm.ptr, %s: i64, %m: i64, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: %[[LEAST:.*]] = arith.minsi %arg2, %c16_i64
  // CHECK: %[[END:.*]] = arith.maxsi %[[LEAST]], %c0_i64
  // CHECK: scf.for %{{.*}} = %c0_i64 to %[[END]]
  // CHECK: scf.for
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: llvm.intr.masked.store
  %z = arith.constant dense<0.0> : tensor<16x256xf32>
  "xsmt.descriptor_store"(%x, %z, %s, %c1, %c0, %c0, %m, %n) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x256xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A lower bound is a mask too; lanes below it touch no memory.
// CHECK-LABEL: func.func @lower_bound
func.func @lower_bound(%x: !llvm.ptr, %first: i64, %last: i64) {
  %c1 = arith.constant 1 : i64
  // CHECK: arith.subi %arg2,
  // CHECK: arith.subi %arg1,
  // CHECK: %[[MASK:.*]] = arith.andi {{.*}} : vector<{{.*}}xi1>
  // CHECK: llvm.intr.masked.store %{{.*}}, %{{.*}}, %[[MASK]]
  %z = arith.constant dense<0.0> : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %z, %c1, %first, %last) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Whether a load may see what the store writes is found at run time: then, and only then, the block is copied first.
// CHECK-LABEL: func.func @may_overlap
func.func @may_overlap(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK-DAG: %[[X:.*]] = llvm.ptrtoint %arg0
  // CHECK-DAG: %[[Y:.*]] = llvm.ptrtoint %arg1
  // CHECK: %[[OVERLAP:.*]] = arith.andi %{{.*}}, %{{.*}} : i1
  // The very same elements are no overlap.
  // CHECK: %[[OTHER:.*]] = arith.cmpi ne, %[[X]], %[[Y]]
  // CHECK: %[[COPIED:.*]] = arith.andi %[[OVERLAP]], %[[OTHER]] : i1
  // CHECK: %[[SOURCE:.*]] = scf.if %[[COPIED]] -> (!llvm.ptr) {
  // CHECK: llvm.load %{{.*}} -> f32
  // CHECK: llvm.getelementptr %arg3
  // CHECK: llvm.store
  // CHECK: %[[COPY:.*]] = llvm.freeze %arg3
  // CHECK: scf.yield %[[COPY]]
  // CHECK: scf.yield %arg0
  // CHECK: scf.for
  // CHECK: llvm.getelementptr %[[SOURCE]]
  // CHECK: llvm.load %{{.*}} -> vector<
  // CHECK: llvm.getelementptr %arg1
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Nor is it copied where its rows, 128 of 384 bytes, lie between those of the store: their distance decides, modulo 384.
// CHECK-LABEL: func.func @between
func.func @between(%x: !llvm.ptr, %y: !llvm.ptr) {
  // CHECK-DAG: %[[X:.*]] = llvm.ptrtoint %arg0
  // CHECK-DAG: %[[Y:.*]] = llvm.ptrtoint %arg1
  // CHECK: %[[MEET:.*]] = arith.andi %{{.*}}, %{{.*}} : i1
  // CHECK: %[[DISTANCE:.*]] = arith.subi %[[Y]], %[[X]]
  // CHECK: %[[REST:.*]] = arith.remsi %[[DISTANCE]], %c384
  // CHECK: %[[BELOW:.*]] = arith.cmpi slt, %[[REST]], %c0
  // CHECK: %[[MORE:.*]] = arith.addi %[[REST]], %c384
  // CHECK: %[[PLACE:.*]] = arith.select %[[BELOW]], %[[MORE]], %[[REST]]
  // CHECK-DAG: %[[BEFORE:.*]] = arith.cmpi slt, %[[PLACE]], %c128
  // CHECK-DAG: %[[BEHIND:.*]] = arith.cmpi sgt, %[[PLACE]], %c256
  // CHECK: %[[INSIDE:.*]] = arith.ori %[[BEFORE]], %[[BEHIND]]
  // CHECK: arith.andi %[[MEET]], %[[INSIDE]]
  // CHECK: scf.if
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %columns = arith.constant 32 : i64
  %c96 = arith.constant 96 : i64
  %a = "xsmt.descriptor_load"(%x, %c96, %c1, %c0, %c0, %c16, %columns) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x32xf32>
  "xsmt.descriptor_store"(%y, %a, %c96, %c1, %c0, %c0, %c16, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x32xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Rows of 256 of 384 bytes have no room for each other.
// CHECK-LABEL: func.func @no_room_between
func.func @no_room_between(%x: !llvm.ptr, %y: !llvm.ptr) {
  // CHECK-NOT: arith.remsi
  // CHECK: scf.if
  // CHECK: return
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  %columns = arith.constant 64 : i64
  %c96 = arith.constant 96 : i64
  %a = "xsmt.descriptor_load"(%x, %c96, %c1, %c0, %c0, %c16, %columns) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<16x64xf32>
  "xsmt.descriptor_store"(%y, %a, %c96, %c1, %c0, %c0, %c16, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<16x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A block that is stored transposed over itself is read as a whole before any of it is written.
// CHECK-LABEL: func.func @transposed_in_place
func.func @transposed_in_place(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: llvm.getelementptr %arg0
  // CHECK: %[[A:.*]] = llvm.load
  // CHECK: llvm.store %[[A]]
  // CHECK: scf.for
  // CHECK: llvm.getelementptr %arg2
  // CHECK: "llvm.intr.experimental.vp.strided.load"
  // CHECK: llvm.store
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x64xf32>
  %t = "tt.trans"(%a) {order = array<i32: 1, 0>} : (tensor<64x64xf32>) -> tensor<64x64xf32>
  "xsmt.descriptor_store"(%x, %t, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// What is needed after its memory is overwritten is kept in a buffer.
// CHECK-LABEL: func.func @needed_later
func.func @needed_later(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: llvm.getelementptr %arg0
  // CHECK: llvm.getelementptr %arg3
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK: arith.mulf
  // CHECK: llvm.getelementptr %arg0
  // CHECK: llvm.store
  // CHECK: scf.for
  // CHECK-NOT: llvm.getelementptr %arg0
  // CHECK: llvm.getelementptr %arg3
  // CHECK: llvm.getelementptr %arg1
  // CHECK: llvm.store
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.mulf %a, %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %b, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A scalar store hardly ever hits a block that is still to be loaded: one comparison at run time decides whether it is copied.
// CHECK-LABEL: func.func @scalar_store
func.func @scalar_store(%x: !llvm.ptr, %y: !llvm.ptr, %v: f32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[HIT:.*]] = arith.andi
  // CHECK: scf.if %[[HIT]] -> (!llvm.ptr)
  // CHECK: scf.yield %arg0
  // CHECK: llvm.store %arg2, %arg1
  // CHECK: llvm.load %{{.*}} -> vector<
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  llvm.store %v, %y : f32, !llvm.ptr
  "xsmt.descriptor_store"(%x, %a, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// One to where the block begins does: the load comes before it.
// CHECK-LABEL: func.func @scalar_store_into_it
func.func @scalar_store_into_it(%x: !llvm.ptr, %y: !llvm.ptr, %v: f32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK-NOT: scf.if
  // CHECK: llvm.load %{{.*}} -> vector<
  // CHECK: llvm.store %arg2, %arg0
  // CHECK: llvm.load %{{.*}} -> vector<
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  llvm.store %v, %x : f32, !llvm.ptr
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A stride other than one: loads and stores with a stride, in bytes.
// CHECK-LABEL: func.func @strided
func.func @strided(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c3 = arith.constant 3 : i64
  %c256 = arith.constant 256 : i64
  // CHECK-NOT: scf.if
  // CHECK: scf.for %[[I:.*]] = %c0_i64 to
  // CHECK: arith.muli %[[I]], %c3_i64
  // CHECK: "llvm.intr.experimental.vp.strided.load"(%[[P:.*]], %c12_i64,
  // CHECK: "llvm.intr.experimental.vp.strided.store"(%{{.*}}, %[[P]], %c12_i64,
  %a = "xsmt.descriptor_load"(%x, %c3, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  "xsmt.descriptor_store"(%x, %a, %c3, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// An update in place whose stride is known at run time only: where it is 0 all lanes share one element, so the block is copied first.
// CHECK-LABEL: func.func @maybe_shared
func.func @maybe_shared(%x: !llvm.ptr, %s: i64) {
  %c0 = arith.constant 0 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: %[[NEGATED:.*]] = arith.subi %c0_i64, %arg1
  // CHECK: %[[DISTANCE:.*]] = arith.maxsi %arg1, %[[NEGATED]]
  // CHECK: %[[SHARED:.*]] = arith.cmpi sle, %[[DISTANCE]], %c0_i64
  // CHECK: %[[COPY:.*]] = arith.andi %{{.*}}, %[[SHARED]]
  // CHECK: scf.if %[[COPY]]
  // CHECK: "llvm.intr.experimental.vp.strided.load"
  // CHECK: "llvm.intr.experimental.vp.strided.store"
  %a = "xsmt.descriptor_load"(%x, %s, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  "xsmt.descriptor_store"(%x, %a, %s, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Every lane at one place: one load; of the stores the last one.
// CHECK-LABEL: func.func @one_place
func.func @one_place(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[LAST:.*]] = vector.extract %{{.*}}[{{[0-9]+}}] : i32
  // CHECK: llvm.store %[[LAST]], %arg1
  %r = "tt.make_range"() {end = 64 : i32, start = 0 : i32} : () -> tensor<64xi32>
  "xsmt.descriptor_store"(%y, %r, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}

// -----

// An index: gathers and scatters, and the mask that varies stays a mask.
// CHECK-LABEL: func.func @indexed
func.func @indexed(%x: !llvm.ptr, %i: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[MASK:.*]] = arith.cmpi sge
  // CHECK: llvm.getelementptr %arg0[%{{.*}}] : (!llvm.ptr, vector<{{.*}}xi32>) -> vector<{{.*}}x!llvm.ptr>, f32
  // CHECK: llvm.intr.masked.gather %{{.*}}, %[[MASK]],
  // CHECK: llvm.call_intrinsic "llvm.vp.scatter"
  %index = "xsmt.descriptor_load"(%i, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi32>
  %zero = arith.constant dense<0> : tensor<64xi32>
  %mask = arith.cmpi sge, %index, %zero : tensor<64xi32>
  %a = "xsmt.gather"(%x, %index, %c0, %c0, %c64, %mask) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64, tensor<64xi1>) -> tensor<64xf32>
  "xsmt.scatter"(%x, %index, %a, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// An index in bytes next to a stride in elements.
// CHECK-LABEL: func.func @byte_index
func.func @byte_index(%x: !llvm.ptr, %i: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[SUM:.*]] = arith.addi %{{.*}}, %{{.*}} : vector<{{.*}}xi64>
  // CHECK: llvm.getelementptr %{{.*}}[%[[SUM]]] : {{.*}}, i8
  // CHECK: llvm.intr.masked.gather
  %index = "xsmt.descriptor_load"(%i, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xi64>
  %a = "xsmt.gather"(%x, %index, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 1 : i64} : (!llvm.ptr, tensor<64xi64>, i64, i64, i64) -> tensor<64xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Floats of 8 bits and truth values are bytes in memory.
// CHECK-LABEL: func.func @bytes
func.func @bytes(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[A:.*]] = llvm.load %{{.*}} -> vector<[[W:[0-9]+]]xi8>
  // CHECK: arith.bitcast %[[A]] : vector<[[W]]xi8> to vector<[[W]]xf8E5M2>
  // CHECK: %[[C:.*]] = arith.cmpf
  // CHECK: %[[D:.*]] = arith.extui %[[C]] : vector<[[W]]xi1> to vector<[[W]]xi8>
  // CHECK: llvm.store %[[D]]
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf8E5M2>
  %b = "tt.fp_to_fp"(%a) : (tensor<64xf8E5M2>) -> tensor<64xf32>
  %zero = arith.constant dense<0.0> : tensor<64xf32>
  %c = arith.cmpf olt, %b, %zero : tensor<64xf32>
  "xsmt.descriptor_store"(%y, %c, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi1>, i64, i64, i64) -> ()
  return
}

// -----

// A poison block is poison lanes, and so is what is computed from it.
// CHECK-LABEL: func.func @poison
func.func @poison(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[POISON:.*]] = ub.poison : vector<
  // CHECK: llvm.store %[[POISON]]
  %a = ub.poison : tensor<1024xf32>
  %b = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %c = arith.addf %a, %b : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %c, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// The main part of a block with a lower bound is for where it does not cut the block; so is that of a mask that a scalar makes true everywhere.
// CHECK-LABEL: func.func @conditions
func.func @conditions(%x: !llvm.ptr, %y: !llvm.ptr, %low: i64, %n: i64, %whole: i1, %seed: i32) {
  // CHECK: %[[UNCUT:.*]] = arith.cmpi sle, %arg2, %c0_i64
  // CHECK: %[[END:.*]] = arith.select %[[UNCUT]], %arg3, %c0_i64
  // CHECK: %[[ALL:.*]] = arith.select %arg4, %c1024_i64, %c0_i64
  // CHECK: arith.minsi %{{.*}}, %[[ALL]]
  // CHECK: %[[MAIN:.*]] = arith.andi %{{.*}}, %c-[[W:[0-9]+]]_i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[MAIN]] step %c[[W]]_i64
  // CHECK: llvm.load
  // CHECK: llvm.store
  // CHECK: scf.for {{.*}} = %[[MAIN]] to %c1024_i64 step %c[[W]]_i64
  // CHECK: llvm.intr.masked.load
  // CHECK: arith.ori
  // CHECK: llvm.intr.masked.store
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %low, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %i = "tt.make_range"() {start = 0 : i32, end = 1024 : i32} : () -> tensor<1024xi32>
  %s = "tt.splat"(%seed) : (i32) -> tensor<1024xi32>
  %rest = arith.cmpi slt, %s, %i : tensor<1024xi32>
  %all = "tt.splat"(%whole) : (i1) -> tensor<1024xi1>
  %mask = arith.ori %all, %rest : tensor<1024xi1>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c1024, %mask) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64, tensor<1024xi1>) -> ()
  return
}

// -----

// A disjunction of two blocks is a mask in every turn: there is no other loop.
// CHECK-LABEL: func.func @disjunction
func.func @disjunction(%y: !llvm.ptr, %m: i32, %n: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  %i = "tt.make_range"() {start = 0 : i32, end = 1024 : i32} : () -> tensor<1024xi32>
  %s = "tt.splat"(%m) : (i32) -> tensor<1024xi32>
  %t = "tt.splat"(%n) : (i32) -> tensor<1024xi32>
  %a = arith.cmpi slt, %s, %i : tensor<1024xi32>
  %b = arith.cmpi slt, %t, %i : tensor<1024xi32>
  %either = arith.ori %a, %b : tensor<1024xi1>
  // CHECK: scf.for {{.*}} = %c0_i64 to %c1024_i64
  // CHECK: llvm.intr.masked.store
  // CHECK-NOT: scf.for
  // CHECK: return
  %v = arith.constant dense<1.0> : tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %v, %c1, %c0, %c1024, %either) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64, tensor<1024xi1>) -> ()
  return
}

// -----

// A block that is one vector is loaded before the store, and is not compared with it; nor is what the store alone needs, in one turn.
// CHECK-LABEL: func.func @one_vector
func.func @one_vector(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c32 = arith.constant 32 : i64
  // CHECK-NOT: scf.if
  // CHECK: %[[A:.*]] = llvm.load %arg0
  // CHECK: llvm.store %[[A]]
  // CHECK: llvm.store %{{.*}}, %arg1
  // CHECK-NOT: scf.if
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<32xf32>
  %b = arith.mulf %a, %a : tensor<32xf32>
  "xsmt.descriptor_store"(%y, %b, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<32xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c32) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<32xf32>, i64, i64, i64) -> ()
  return
}

// -----

// One of two vectors is compared.
// CHECK-LABEL: func.func @two_vectors
func.func @two_vectors(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: arith.cmpi ult
  // CHECK: scf.if
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %b = arith.mulf %a, %a : tensor<64xf32>
  "xsmt.descriptor_store"(%y, %b, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A row that is not there is not loaded: a branch, beside the mask that all rows share.
// CHECK-LABEL: func.func @rows_around
func.func @rows_around(%x: !llvm.ptr, %y: !llvm.ptr, %rows: i64, %columns: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %zero = arith.constant 0.0 : f32
  // CHECK: scf.if %{{.*}} -> (vector<{{.*}}xf32>)
  // CHECK-NEXT: llvm.intr.masked.load
  // CHECK-NEXT: scf.yield
  %a = "xsmt.descriptor_load"(%x, %columns, %c1, %c1, %c1, %rows, %columns, %zero) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<32x64xf32>
  "xsmt.descriptor_store"(%y, %a, %columns, %c1, %c0, %c0, %rows, %columns) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Where each row has a mask of its own, the row's condition is part of it.
// CHECK-LABEL: func.func @masked_rows
func.func @masked_rows(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr, %rows: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %zero = arith.constant 0.0 : f32
  %limit = arith.constant dense<0.0> : tensor<32x64xf32>
  // CHECK: %[[BOTH:.*]] = arith.andi {{.*}} : vector<{{.*}}xi1>
  // CHECK: llvm.intr.masked.load %{{.*}}, %[[BOTH]]
  %m = "xsmt.descriptor_load"(%z, %c64, %c1, %c0, %c0, %c64, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<32x64xf32>
  %mask = arith.cmpf ogt, %m, %limit : tensor<32x64xf32>
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c1, %c0, %rows, %c64, %mask, %zero) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 1, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, tensor<32x64xi1>, f32) -> tensor<32x64xf32>
  "xsmt.descriptor_store"(%y, %a, %c64, %c1, %c0, %c0, %rows, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<32x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// Lanes behind the bound of what is stored need no number: the load with the same bound has none for them.
// CHECK-LABEL: func.func @unseen
func.func @unseen(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %zero = arith.constant 0.0 : f32
  // CHECK: %[[LANES:.*]] = llvm.intr.masked.load %{{[0-9a-z]*}}, %{{[0-9a-z]*}} {alignment
  // CHECK-NEXT: llvm.freeze %[[LANES]]
  // CHECK: llvm.intr.masked.store
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %zero) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<256xf32>
  %b = arith.addf %a, %a : tensor<256xf32>
  "xsmt.descriptor_store"(%y, %b, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Under another bound they have: what is stored further on is computed from the load's other number.
// CHECK-LABEL: func.func @seen
func.func @seen(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64, %m: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %zero = arith.constant 0.0 : f32
  // CHECK: llvm.intr.masked.load %{{[0-9a-z]*}}, %{{[0-9a-z]*}}, %
  // CHECK-NOT: llvm.freeze {{.*}} : vector
  // CHECK: llvm.intr.masked.store
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %m, %zero) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<256xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Numbers that are places in memory are never any numbers: behind the bound they are 0.
// CHECK-LABEL: func.func @places
func.func @places(%x: !llvm.ptr, %y: !llvm.ptr, %t: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %zero = arith.constant 0 : i32
  // CHECK: llvm.intr.masked.load %{{[0-9a-z]*}}, %{{[0-9a-z]*}}, %
  // CHECK-NOT: llvm.freeze {{.*}} : vector
  // CHECK: llvm.intr.masked.store
  %i = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %zero) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, i32) -> tensor<256xi32>
  %all = arith.constant 256 : i64
  %a = "xsmt.gather"(%t, %i, %c0, %c0, %all) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<256xi32>, i64, i64, i64) -> tensor<256xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xf32>, i64, i64, i64) -> ()
  return
}

// -----

// An index that is linear unless a number in it is negative: then, and only then, the block is copied first.
// CHECK-LABEL: func.func @counted
func.func @counted(%x: !llvm.ptr, %y: !llvm.ptr, %block: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %k = arith.constant 64 : i32
  %d = arith.constant dense<256> : tensor<64xi32>
  // CHECK: %[[FIRST:.*]] = arith.extsi %{{.*}} : i32 to i64
  // CHECK: %[[SIGN:.*]] = arith.cmpi sge, %[[FIRST]], %c0
  // CHECK: %[[SOURCE:.*]] = scf.if %[[SIGN]] -> (!llvm.ptr) {
  // CHECK: } else {
  // CHECK: llvm.load %{{.*}} -> i32
  // CHECK: llvm.store
  // CHECK: %[[COPY:.*]] = llvm.freeze
  // CHECK: scf.yield %[[COPY]]
  // CHECK: llvm.load %{{.*}} -> vector<
  // CHECK-NOT: vector<{{.*}}x!llvm.ptr>
  %first = arith.muli %block, %k : i32
  %s = "tt.splat"(%first) : (i32) -> tensor<64xi32>
  %i = "tt.make_range"() {start = 0 : i32, end = 64 : i32} : () -> tensor<64xi32>
  %r = arith.addi %s, %i : tensor<64xi32>
  %at = arith.remsi %r, %d : tensor<64xi32>
  %a = "xsmt.gather"(%x, %at, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xi32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}

// -----

// It is not where the remainder may begin anew within the block.
// CHECK-LABEL: func.func @begins_anew
func.func @begins_anew(%x: !llvm.ptr, %y: !llvm.ptr, %block: i32) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %k = arith.constant 64 : i32
  %d = arith.constant dense<96> : tensor<64xi32>
  // CHECK-NOT: scf.if
  // CHECK: vector<{{.*}}x!llvm.ptr>
  %first = arith.muli %block, %k : i32
  %s = "tt.splat"(%first) : (i32) -> tensor<64xi32>
  %i = "tt.make_range"() {start = 0 : i32, end = 64 : i32} : () -> tensor<64xi32>
  %r = arith.addi %s, %i : tensor<64xi32>
  %at = arith.remsi %r, %d : tensor<64xi32>
  %a = "xsmt.gather"(%x, %at, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 4 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xi32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}
