// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// Reductions over one block share its loop, each with one vector accumulator; lanes are combined once, behind the loop: those of eight
// registers by halves, down to one.
// CHECK-LABEL: func.func @sums
func.func @sums(%x: !llvm.ptr, %y: !llvm.ptr, %z: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[R:.*]]:2 = scf.for {{.*}} -> (vector<[[W:[0-9]+]]xf32>, vector<[[W]]xf32>)
  // CHECK: %[[A:.*]] = llvm.load
  // CHECK: %[[Q:.*]] = arith.mulf %[[A]], %[[A]]
  // CHECK-NOT: llvm.load
  // CHECK-DAG: arith.addf %{{.*}}, %[[A]]
  // CHECK-DAG: arith.addf %{{.*}}, %[[Q]]
  // CHECK-NOT: vector.reduction
  // CHECK: scf.yield
  // CHECK-NOT: scf.for
  // CHECK: vector.shuffle %[[R]]#0
  // CHECK: %[[S:.*]] = vector.reduction <add>, {{.*}} : vector<8xf32>
  // CHECK-NEXT: %[[SS:.*]] = llvm.inline_asm {{.*}} %[[S]]
  // CHECK: vector.shuffle %[[R]]#1
  // CHECK: %[[T:.*]] = vector.reduction <add>, {{.*}} : vector<8xf32>
  // CHECK-NEXT: %[[TS:.*]] = llvm.inline_asm {{.*}} %[[T]]
  // CHECK-DAG: llvm.store %[[SS]], %arg1
  // CHECK-DAG: llvm.store %[[TS]], %arg2
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %q = arith.mulf %a, %a : tensor<1024xf32>
  %t = "tt.reduce"(%q) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  llvm.store %s, %y : f32, !llvm.ptr
  llvm.store %t, %z : f32, !llvm.ptr
  return
}

// -----

// A costly value that two loops need is stored by the first of them, and read by the other.
// CHECK-LABEL: func.func @softmax
func.func @softmax(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: arith.maxnumf
  // CHECK: vector.reduction <maxnumf>
  // CHECK: scf.for
  // CHECK: %[[E:.*]] = math.exp
  // CHECK: llvm.getelementptr %[[BUFFER:.*]][%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  // CHECK: llvm.store %[[E]]
  // CHECK: arith.addf %{{.*}}, %[[E]]
  // CHECK: vector.reduction <add>
  // CHECK-NOT: math.exp
  // CHECK: llvm.getelementptr %[[BUFFER]][
  // CHECK: %[[F:.*]] = llvm.load
  // CHECK: arith.divf %[[F]]
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %m = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.maxnumf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %mm = "tt.splat"(%m) : (f32) -> tensor<1024xf32>
  %d = arith.subf %a, %mm : tensor<1024xf32>
  %e = math.exp %d : tensor<1024xf32>
  %s = "tt.reduce"(%e) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  %ss = "tt.splat"(%s) : (f32) -> tensor<1024xf32>
  %q = arith.divf %e, %ss : tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %q, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Two operands with a function of their own: an accumulator each, started from the first vector, and halves combined with halves.
// CHECK-LABEL: func.func @two
func.func @two(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[FIRST:.*]] = llvm.load %arg0
  // CHECK: %[[R:.*]]:2 = scf.for {{.*}} iter_args(%{{.*}} = %[[FIRST]], %{{.*}} = %{{.*}}) -> (vector<[[W:[0-9]+]]xf32>, vector<[[W]]xi32>)
  // CHECK: arith.mulf
  // CHECK: arith.maxsi
  // CHECK: scf.yield
  // CHECK: vector.shuffle %[[R]]#0
  // CHECK: vector.shuffle %[[R]]#1
  // CHECK: %[[INDEX:.*]] = vector.extract {{.*}} : i32
  // CHECK: llvm.store %[[INDEX]], %arg1
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %i = "tt.make_range"() {end = 1024 : i32, start = 0 : i32} : () -> tensor<1024xi32>
  %m:2 = "tt.reduce"(%a, %i) ({
  ^bb0(%l: f32, %li: i32, %r: f32, %ri: i32):
    %v = arith.mulf %l, %r : f32
    %w = arith.maxsi %li, %ri : i32
    "tt.reduce.return"(%v, %w) : (f32, i32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>, tensor<1024xi32>) -> (f32, i32)
  llvm.store %m#1, %y : i32, !llvm.ptr
  llvm.store %m#0, %x : f32, !llvm.ptr
  return
}

// -----

// A choice by value and index: one comparison a step, of numbers only, and the position of the vector as the index; behind the loop the least
// index of the best lanes. Where nothing left the start, all was NaN or infinite: then element by element.
// CHECK-LABEL: func.func @argmin
func.func @argmin(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: %[[R:.*]]:2 = scf.for %[[I:.*]] = %c0_i64 to %c1024_i64 {{.*}} -> (vector<[[W:[0-9]+]]xf32>, vector<[[W]]xi32>)
  // CHECK: %[[P:.*]] = arith.trunci %[[I]]
  // CHECK: %[[V:.*]] = vector.broadcast %[[P]]
  // CHECK-NOT: arith.cmpi
  // CHECK: %[[TAKEN:.*]] = arith.cmpf ogt
  // CHECK-NOT: arith.cmpi
  // CHECK: arith.select %[[TAKEN]], {{.*}} : vector<[[W]]xi1>, vector<[[W]]xf32>
  // CHECK: arith.select %[[TAKEN]], %[[V]], {{.*}} : vector<[[W]]xi1>, vector<[[W]]xi32>
  // CHECK: scf.yield
  // CHECK: arith.addi %[[R]]#1
  // CHECK: %[[BEST:.*]] = vector.reduction <minnumf>, %[[R]]#0
  // CHECK: %[[INDEX:.*]] = vector.reduction <minsi>
  // CHECK: %[[START:.*]] = arith.cmpf oeq, %[[BEST]]
  // CHECK: %[[RESULT:.*]] = scf.if %[[START]]
  // CHECK: arith.cmpf ugt, {{.*}} : f32
  // CHECK: scf.yield %[[INDEX]]
  // CHECK: llvm.store %[[RESULT]], %arg1
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %i = "tt.make_range"() {end = 1024 : i32, start = 0 : i32} : () -> tensor<1024xi32>
  %m:2 = "tt.reduce"(%a, %i) ({
  ^bb0(%l: f32, %li: i32, %r: f32, %ri: i32):
    %less = arith.cmpf olt, %l, %r : f32
    %equal = arith.cmpf oeq, %l, %r : f32
    %first = arith.cmpi slt, %li, %ri : i32
    %tie = arith.andi %equal, %first : i1
    %left = arith.ori %less, %tie : i1
    %v = arith.select %left, %l, %r : f32
    %w = arith.select %left, %li, %ri : i32
    "tt.reduce.return"(%v, %w) : (f32, i32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>, tensor<1024xi32>) -> (f32, i32)
  llvm.store %m#1, %y : i32, !llvm.ptr
  return
}

// -----

// Over the outer dimension: every lane is a column of its own, and lanes are never combined. Two vectors of columns share a loop.
// CHECK-LABEL: func.func @columns
func.func @columns(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c128 = arith.constant 128 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: %[[S:.*]]:2 = scf.for {{.*}} = %c0_i64 to %c256_i64 step %c1_i64 {{.*}} -> (vector<64xf32>, vector<64xf32>)
  // CHECK: llvm.load {{.*}} -> vector<
  // CHECK: arith.addf
  // CHECK: llvm.store %[[S]]#0
  // CHECK: llvm.store %[[S]]#1
  // CHECK-NOT: vector.reduction
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c128, %c1, %c0, %c0, %c256, %c128) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<256x128xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<256x128xf32>) -> tensor<128xf32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<128xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Rows behind the bound hold the sum's neutral element: the loop over rows ends there.
// CHECK-LABEL: func.func @few_rows
func.func @few_rows(%x: !llvm.ptr, %y: !llvm.ptr, %m: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[END:.*]] = arith.minsi %arg2, %c256_i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[END]] step %c1_i64
  // CHECK-NOT: to %c256_i64
  // CHECK: return
  %other = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %m, %c64, %other) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<256x64xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<256x64xf32>) -> tensor<64xf32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A number that changes the sum counts in every row: those up to the bound are read without masks, then the rest.
// CHECK-LABEL: func.func @rows_that_count
func.func @rows_that_count(%x: !llvm.ptr, %y: !llvm.ptr, %m: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[END:.*]] = arith.maxsi
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[END]] step %c1_i64
  // CHECK: scf.for {{.*}} = %[[END]] to %c256_i64 step %c1_i64
  // CHECK: %[[BELOW:.*]] = arith.cmpi slt, %{{.*}}, %arg2
  // CHECK: scf.if %[[BELOW]] -> (vector<{{.*}}xf32>)
  // CHECK: llvm.load
  %other = arith.constant 1.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %m, %c64, %other) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<256x64xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<256x64xf32>) -> tensor<64xf32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// So does the sum's neutral element in a maximum.
// CHECK-LABEL: func.func @rows_of_another_kind
func.func @rows_of_another_kind(%x: !llvm.ptr, %y: !llvm.ptr, %m: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  // CHECK: %[[END:.*]] = arith.maxsi
  // CHECK: scf.for {{.*}} = %c0_i64 to %[[END]] step %c1_i64
  // CHECK: scf.for {{.*}} = %[[END]] to %c256_i64 step %c1_i64
  // CHECK: scf.if %{{.*}} -> (vector<{{.*}}xf32>)
  %other = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %m, %c64, %other) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 1>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64, f32) -> tensor<256x64xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.maxnumf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<256x64xf32>) -> tensor<64xf32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Over the inner dimension: lanes are combined once for each row.
// CHECK-LABEL: func.func @rows
func.func @rows(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c128 = arith.constant 128 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %c256_i64 step %c1_i64
  // CHECK: %[[V:.*]] = scf.for {{.*}} = %c0_i64 to %c128_i64 {{.*}} -> (vector<{{.*}}xi32>)
  // CHECK: arith.addi %{{.*}}, %{{.*}} : vector
  // CHECK: vector.shuffle %[[V]]
  // CHECK: %[[S:.*]] = vector.reduction <add>
  // CHECK-NEXT: %[[SS:.*]] = llvm.inline_asm {{.*}} %[[S]]
  // CHECK: llvm.store %[[SS]]
  %a = "xsmt.descriptor_load"(%x, %c128, %c1, %c0, %c0, %c256, %c128) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<256x128xi32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: i32, %r: i32):
    %o = arith.addi %l, %r : i32
    "tt.reduce.return"(%o) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<256x128xi32>) -> tensor<256xi32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c256) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<256xi32>, i64, i64, i64) -> ()
  return
}

// -----

// Narrow floats are summed in float32, and rounded once.
// CHECK-LABEL: func.func @narrow
func.func @narrow(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for {{.*}} -> (vector<{{.*}}xf32>)
  // CHECK: arith.extf {{.*}}xf16> to
  // CHECK-NOT: arith.truncf
  // CHECK: arith.addf {{.*}}xf32>
  // CHECK: %[[S:.*]] = vector.reduction <add>
  // CHECK-NEXT: %[[SS:.*]] = llvm.inline_asm {{.*}} %[[S]]
  // CHECK: %[[H:.*]] = arith.truncf %[[SS]] : f32 to f16
  // CHECK: llvm.store %[[H]], %arg1
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf16>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f16, %r: f16):
    %o = arith.addf %l, %r : f16
    "tt.reduce.return"(%o) : (f16) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf16>) -> f16
  llvm.store %s, %y : f16, !llvm.ptr
  return
}

// -----

// Bounded loads: a main loop without masks, the accumulator goes on through the masked rest.
// CHECK-LABEL: func.func @bounded
func.func @bounded(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  // CHECK: %[[MAIN:.*]] = arith.andi
  // CHECK: %[[A:.*]] = scf.for {{.*}} = %c0_i64 to %[[MAIN]]
  // CHECK-NOT: masked
  // CHECK: scf.yield
  // CHECK: %[[B:.*]] = scf.for {{.*}} = %[[MAIN]] to %{{.*}} iter_args(%{{.*}} = %[[A]])
  // CHECK: llvm.intr.masked.load
  // CHECK: vector.shuffle %[[B]]
  // CHECK: vector.reduction <add>
  %zero = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %zero) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<1024xf32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<1024xf32>) -> f32
  llvm.store %s, %y : f32, !llvm.ptr
  return
}

// -----

// A scan of a long row: lanes hold runs of eight, which segment accesses load and store, the latter to where the only store would.
// CHECK-LABEL: func.func @long_scan
func.func @long_scan(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for {{.*}} = %c0_i64 to %c1024_i64 step %c64_i64 iter_args(%[[CARRY:.*]] = %cst) -> (vector<8xf32>)
  // CHECK: llvm.call_intrinsic "llvm.vector.deinterleave8"
  // CHECK-COUNT-7: arith.addf
  // CHECK: llvm.call_intrinsic "llvm.riscv.vslideup"
  // CHECK: %[[V:.*]] = llvm.call_intrinsic "llvm.vector.interleave8"
  // CHECK: %[[P:.*]] = llvm.getelementptr %arg1
  // CHECK: llvm.store %[[V]], %[[P]]
  // CHECK-NOT: llvm.store
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %s = "tt.scan"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.scan.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32, reverse = false} : (tensor<1024xf32>) -> tensor<1024xf32>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A scan of a short row: doubling distances within a vector, then what all vectors before add up to.
// CHECK-LABEL: func.func @scan
func.func @scan(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  // CHECK: vector.shuffle {{.*}} [0, 0, 1, 2]
  // CHECK: arith.addi
  // CHECK: arith.select
  // CHECK: vector.shuffle {{.*}} [0, 0, 0, 1]
  // CHECK: arith.addi
  // CHECK: %[[V:.*]] = arith.select
  // CHECK: %[[LAST:.*]] = vector.extract %[[V]][3]
  // CHECK: scf.for {{.*}} = %c4_i64 to %c16_i64 step %c4_i64 iter_args(%[[CARRY:.*]] = %[[LAST]]) -> (i64)
  // CHECK: vector.shuffle
  // CHECK: %[[BEFORE:.*]] = vector.broadcast %[[CARRY]]
  // CHECK: %[[NEXT:.*]] = arith.addi %[[BEFORE]],
  // CHECK: vector.extract %[[NEXT]][3]
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xi64>
  %s = "tt.scan"(%a) ({
  ^bb0(%l: i64, %r: i64):
    %o = arith.addi %l, %r : i64
    "tt.scan.return"(%o) : (i64) -> ()
  }) {axis = 0 : i32, reverse = false} : (tensor<16xi64>) -> tensor<16xi64>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<16xi64>, i64, i64, i64) -> ()
  return
}

// -----

// A reverse scan starts at the last vector, and carries the first lane.
// CHECK-LABEL: func.func @reverse
func.func @reverse(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c16 = arith.constant 16 : i64
  // CHECK: llvm.getelementptr %arg0[12]
  // CHECK: vector.shuffle {{.*}} [1, 2, 3, 3]
  // CHECK: vector.shuffle {{.*}} [2, 3, 3, 3]
  // CHECK: vector.extract %{{.*}}[0]
  // CHECK: scf.for %[[I:.*]] = %c4_i64 to %c16_i64
  // CHECK: arith.subi %c12_i64, %[[I]]
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<16xi64>
  %s = "tt.scan"(%a) ({
  ^bb0(%l: i64, %r: i64):
    %o = arith.addi %l, %r : i64
    "tt.scan.return"(%o) : (i64) -> ()
  }) {axis = 0 : i32, reverse = true} : (tensor<16xi64>) -> tensor<16xi64>
  "xsmt.descriptor_store"(%y, %s, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<16xi64>, i64, i64, i64) -> ()
  return
}

// -----

// Where there are many independent scans, each has a lane of its own, and no lane is combined with another.
// CHECK-LABEL: func.func @scan_columns
func.func @scan_columns(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c256 = arith.constant 256 : i64
  // CHECK: %[[FIRST:.*]] = llvm.load {{.*}} -> vector<
  // CHECK: scf.for {{.*}} = %c1_i64 to %c256_i64 step %c1_i64 iter_args(%[[SUM:.*]] = %[[FIRST]])
  // CHECK: %[[NEXT:.*]] = llvm.load {{.*}} -> vector<
  // CHECK: %[[SUMS:.*]] = arith.addf %[[SUM]], %[[NEXT]]
  // CHECK: llvm.store %[[SUMS]]
  // CHECK-NOT: vector.shuffle
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c64, %c1, %c0, %c0, %c256, %c64) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<256x64xf32>
  %s = "tt.scan"(%a) ({
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.scan.return"(%o) : (f32) -> ()
  }) {axis = 0 : i32, reverse = false} : (tensor<256x64xf32>) -> tensor<256x64xf32>
  "xsmt.descriptor_store"(%y, %s, %c64, %c1, %c0, %c0, %c256, %c64) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<256x64xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A histogram counts element by element, since lanes could hit one bin; values outside are not counted.
// CHECK-LABEL: func.func @histogram
func.func @histogram(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c1024 = arith.constant 1024 : i64
  // CHECK: scf.for {{.*}} to %c64_i64
  // CHECK: llvm.store %cst
  // CHECK: scf.for {{.*}} = %c0_i64 to %c1024_i64 step %c1_i64
  // CHECK: %[[V:.*]] = llvm.load {{.*}} -> i32
  // CHECK: %[[BIN:.*]] = arith.extsi %[[V]]
  // CHECK: %[[IN:.*]] = arith.cmpi ult, %[[BIN]], %c64_i64
  // CHECK: scf.if %[[IN]]
  // CHECK: %[[OLD:.*]] = llvm.load {{.*}} -> i32
  // CHECK: arith.addi %[[OLD]], %c1_i32
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xi32>
  %h = "tt.histogram"(%a) : (tensor<1024xi32>) -> tensor<64xi32>
  "xsmt.descriptor_store"(%y, %h, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> ()
  return
}

// -----

// What costs much and is wanted for each row is computed once for all rows, by vectors.
// CHECK-LABEL: func.func @replicated
func.func @replicated(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %c128 = arith.constant 128 : i64
  // CHECK: math.exp {{.*}} : vector<
  // CHECK: scf.for
  // CHECK: scf.for
  // CHECK-NOT: math.exp
  // CHECK: return
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
  %e = math.exp %a : tensor<64xf32>
  %r = "tt.expand_dims"(%e) {axis = 1 : i32} : (tensor<64xf32>) -> tensor<64x1xf32>
  %w = "tt.broadcast"(%r) : (tensor<64x1xf32>) -> tensor<64x128xf32>
  "xsmt.descriptor_store"(%y, %w, %c128, %c1, %c0, %c0, %c64, %c128) {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 0>} : (!llvm.ptr, tensor<64x128xf32>, i64, i64, i64, i64, i64, i64) -> ()
  return
}

// -----

// A row that is filled up with -inf ends at its bound, less its maximum too, if that is greater than -inf.
// CHECK-LABEL: func.func @exponentials
func.func @exponentials(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %infinite = arith.constant 0xFF800000 : f32
  // CHECK: scf.for
  // CHECK: vector.reduction <maxnumf>
  // CHECK: %[[NUMBER:.*]] = arith.cmpf ogt, %[[MAX:.*]], %{{.*}} : f32
  // CHECK: %[[END:.*]] = arith.select %[[NUMBER]], %arg2, %c1024_i64
  // CHECK: %[[STOP:.*]] = arith.minsi %[[END]], %c1024_i64
  // CHECK: scf.for {{.*}} to %[[STOP]] step
  // CHECK: math.exp
  // CHECK: vector.reduction <add>
  %v = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %infinite) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<1024xf32>
  %m = "tt.reduce"(%v) <{axis = 0 : i32}> ({
  ^bb0(%a: f32, %b: f32):
    %r = arith.maxnumf %a, %b : f32
    "tt.reduce.return"(%r) : (f32) -> ()
  }) : (tensor<1024xf32>) -> f32
  %s = "tt.splat"(%m) : (f32) -> tensor<1024xf32>
  %d = arith.subf %v, %s : tensor<1024xf32>
  %e = math.exp %d : tensor<1024xf32>
  %t = "tt.reduce"(%e) <{axis = 0 : i32}> ({
  ^bb0(%a: f32, %b: f32):
    %r = arith.addf %a, %b : f32
    "tt.reduce.return"(%r) : (f32) -> ()
  }) : (tensor<1024xf32>) -> f32
  llvm.store %t, %y : f32, !llvm.ptr
  return
}

// -----

// Less another number for each element, any of which may be -inf or NaN, it does not end there.
// CHECK-LABEL: func.func @differences
func.func @differences(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c1024 = arith.constant 1024 : i64
  %infinite = arith.constant 0xFF800000 : f32
  // CHECK-NOT: arith.cmpf
  // CHECK: scf.for {{.*}} to %c1024_i64 step
  // CHECK: vector.reduction <add>
  %v = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %infinite) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<1024xf32>
  %w = "xsmt.descriptor_load"(%y, %c1, %c0, %c1024) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %d = arith.subf %v, %w : tensor<1024xf32>
  %e = math.exp %d : tensor<1024xf32>
  %t = "tt.reduce"(%e) <{axis = 0 : i32}> ({
  ^bb0(%a: f32, %b: f32):
    %r = arith.addf %a, %b : f32
    "tt.reduce.return"(%r) : (f32) -> ()
  }) : (tensor<1024xf32>) -> f32
  llvm.store %t, %y : f32, !llvm.ptr
  return
}

// -----

// Of two rows the second is added to the first. Of three a loop adds each to its start.
// CHECK-LABEL: func.func @two_rows
func.func @two_rows(%x: !llvm.ptr, %y: !llvm.ptr) {
  // CHECK: %[[FIRST:.*]] = llvm.load %arg0
  // CHECK: %[[SECOND:.*]] = llvm.load
  // CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[FIRST]], %[[SECOND]]
  // CHECK-NOT: scf.for
  // CHECK: llvm.store %[[SUM]]
  // CHECK: scf.for %{{.*}} = %{{.*}} to %c3_i64
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %c3 = arith.constant 3 : i64
  %c16 = arith.constant 16 : i64
  %two = "xsmt.descriptor_load"(%x, %c16, %c1, %c0, %c0, %c2, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<2x16xf32>
  %three = "xsmt.descriptor_load"(%x, %c16, %c1, %c0, %c0, %c3, %c16) {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<3x16xf32>
  %a = "tt.reduce"(%two) ({
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    "tt.reduce.return"(%s) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<2x16xf32>) -> tensor<16xf32>
  %b = "tt.reduce"(%three) ({
  ^bb0(%l: f32, %r: f32):
    %s = arith.addf %l, %r : f32
    "tt.reduce.return"(%s) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<3x16xf32>) -> tensor<16xf32>
  "xsmt.descriptor_store"(%y, %a, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<16xf32>, i64, i64, i64) -> ()
  %p = llvm.getelementptr %y[16] : (!llvm.ptr) -> !llvm.ptr, f32
  "xsmt.descriptor_store"(%p, %b, %c1, %c0, %c16) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<16xf32>, i64, i64, i64) -> ()
  return
}
