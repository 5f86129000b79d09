// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --legalize-floats | filecheck %s
// RUN: triton-spacemit-opt %s --chip a100 --split-input-file --legalize-floats | filecheck %s --check-prefix A100
// RUN: triton-spacemit-opt %s --chip host --split-input-file --legalize-floats | filecheck %s --check-prefix HOST

// Arithmetic on bfloat16 is float32's, rounded in the bits; memory and loops keep their types.
// CHECK-LABEL: func.func @loop(%arg0: !llvm.ptr, %arg1: bf16)
func.func @loop(%p: !llvm.ptr, %s: bf16) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %c1 = arith.constant 1 : index
  // CHECK: llvm.load %arg0 {{.*}} -> vector<8xbf16>
  %x = llvm.load %p : !llvm.ptr -> vector<8xbf16>
  %b = vector.broadcast %s : bf16 to vector<8xbf16>
  // CHECK: scf.for {{.*}} -> (vector<8xbf16>)
  %r = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %x) -> (vector<8xbf16>) {
    // CHECK: arith.addf %{{.*}} : vector<8xf32>
    // CHECK: llvm.call_intrinsic "llvm.riscv.vnclipu"(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) : (vector<[2]xi16>, vector<[2]xi32>, i64, i64, i64)
    // CHECK-NOT: arith.select
    // CHECK: %[[SUM:.*]] = arith.bitcast %{{.*}} : vector<8xi16> to vector<8xbf16>
    // CHECK: scf.yield %[[SUM]]
    %y = arith.addf %a, %b : vector<8xbf16>
    scf.yield %y : vector<8xbf16>
  }
  llvm.store %r, %p : vector<8xbf16>, !llvm.ptr
  return
}

// -----

// The larger of two numbers is one of them: nothing is rounded.
// CHECK-LABEL: func.func @exact
// HOST-LABEL: func.func @exact
func.func @exact(%x: vector<8xbf16>, %y: vector<8xbf16>) -> vector<8xbf16> {
  // CHECK: arith.maxnumf %{{.*}} : vector<8xf32>
  // CHECK-NEXT: arith.bitcast
  // CHECK-NEXT: arith.shrui
  // CHECK-NEXT: arith.trunci
  // CHECK-NEXT: arith.bitcast %{{.*}} : vector<8xi16> to vector<8xbf16>
  // CHECK-NEXT: return
  // HOST: vector.bitcast %{{.*}} : vector<8xf32> to vector<16xi16>
  // HOST-NEXT: vector.shuffle %{{.*}}, %{{.*}} [1, 3, 5, 7, 9, 11, 13, 15]
  // HOST-NEXT: arith.bitcast
  // HOST-NEXT: return
  %m = arith.maxnumf %x, %y : vector<8xbf16>
  return %m : vector<8xbf16>
}

// -----

// float16 stays where the chip computes in it.
// CHECK-LABEL: func.func @half
func.func @half(%x: vector<8xf16>) -> vector<8xf16> {
  // CHECK: arith.mulf %arg0, %arg0 : vector<8xf16>
  %m = arith.mulf %x, %x : vector<8xf16>
  return %m : vector<8xf16>
}

// -----

// The shift that rounds makes an infinity of some NaNs, which a number from memory may be.
// CHECK-LABEL: func.func @loaded
// A100-LABEL: func.func @loaded
// HOST-LABEL: func.func @loaded
func.func @loaded(%x: !llvm.ptr) -> vector<32xbf16> {
  // CHECK: "llvm.riscv.vnclipu"
  // CHECK: arith.cmpf une
  // CHECK: arith.select
  // A100: "llvm.riscv.vfncvtbf16.f.f.w"({{.*}}) : (vector<[2]xbf16>, vector<[2]xf32>, i64, i64) -> vector<[2]xbf16>
  // A100-NOT: arith.select
  // HOST-DAG: vector.shuffle %{{.*}}, %{{.*}} [1, 3, 5,
  // HOST-DAG: vector.shuffle %{{.*}}, %{{.*}} [0, 2, 4,
  // HOST: arith.cmpi ugt
  // HOST: arith.cmpf une
  // HOST: arith.select
  // A100: return
  %a = llvm.load %x : !llvm.ptr -> vector<32xf32>
  %b = arith.truncf %a : vector<32xf32> to vector<32xbf16>
  return %b : vector<32xbf16>
}

// -----

// What is NaN for a bfloat16 has no low bits: cutting them off makes no infinity of it.
// HOST-LABEL: func.func @nan_of_bfloat16
func.func @nan_of_bfloat16(%x: vector<32xbf16>, %y: vector<32xi1>) -> vector<32xbf16> {
  // HOST-NOT: arith.cmpf une
  // HOST: arith.cmpi ugt
  // HOST-NOT: arith.cmpf une
  // HOST: return
  %third = arith.constant dense<0.333333333> : vector<32xf32>
  %a = arith.extf %x : vector<32xbf16> to vector<32xf32>
  %b = arith.mulf %a, %third : vector<32xf32>
  %c = arith.select %y, %b, %third : vector<32xi1>, vector<32xf32>
  %d = arith.truncf %c : vector<32xf32> to vector<32xbf16>
  return %d : vector<32xbf16>
}

// -----

// A NaN of the other operand may have any bits; so may one put together in bits by less than 16 places.
// HOST-LABEL: func.func @nan_of_another
func.func @nan_of_another(%x: vector<32xbf16>, %y: vector<32xf32>, %i: vector<32xi32>) -> (vector<32xbf16>, vector<32xbf16>) {
  // HOST: arith.cmpf une
  // HOST: arith.select
  // HOST: arith.cmpf une
  // HOST: arith.select
  %fifteen = arith.constant dense<15> : vector<32xi32>
  %a = arith.extf %x : vector<32xbf16> to vector<32xf32>
  %b = arith.mulf %a, %y : vector<32xf32>
  %c = arith.truncf %b : vector<32xf32> to vector<32xbf16>
  %d = arith.shli %i, %fifteen : vector<32xi32>
  %e = arith.bitcast %d : vector<32xi32> to vector<32xf32>
  %f = arith.truncf %e : vector<32xf32> to vector<32xbf16>
  return %c, %f : vector<32xbf16>, vector<32xbf16>
}
