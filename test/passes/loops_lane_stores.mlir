// RUN: triton-spacemit-opt %s --chip x60 --split-input-file --loops --canonicalize --cse | filecheck %s

// A block of whole registers, stored to neighbours, of elements that are read at known places: runs of four scales are words of 64 bits.
// CHECK-LABEL: func.func @squares
// CHECK-NOT: scf.for
// CHECK: llvm.call_intrinsic "llvm.riscv.vluxei"({{.*}} -> vector<[4]xi64>
// CHECK: arith.extf %{{.*}} : vector<[16]xf16> to vector<[16]xf32>
// CHECK: llvm.store %{{.*}}, %arg1 {{.*}} : vector<[16]xf32>
func.func @squares(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %to: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %four = arith.constant dense<4> : tensor<64xi32>
  %sixteen = arith.constant dense<16> : tensor<64xi32>
  %i = "tt.make_range"() {start = 0 : i32, end = 64 : i32} : () -> tensor<64xi32>
  %unit = arith.divsi %i, %sixteen : tensor<64xi32>
  %first = arith.muli %unit, %four : tensor<64xi32>
  %rest = arith.remsi %i, %four : tensor<64xi32>
  %at = arith.addi %first, %rest : tensor<64xi32>
  %d = "xsmt.gather"(%x, %at, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 2 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xf16>
  %f = arith.extf %d : tensor<64xf16> to tensor<64xf32>
  "xsmt.descriptor_store"(%to, %f, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Something is written between the load and the store, which may be what is loaded.
// CHECK-LABEL: func.func @written_between
// CHECK-NOT: llvm.store %{{.*}} : vector<[16]xf32>
// CHECK: return
func.func @written_between(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %to: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %four = arith.constant dense<4> : tensor<64xi32>
  %i = "tt.make_range"() {start = 0 : i32, end = 64 : i32} : () -> tensor<64xi32>
  %at = arith.remsi %i, %four : tensor<64xi32>
  %zero = arith.constant dense<0.0> : tensor<64xf32>
  %d = "xsmt.gather"(%x, %at, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 2 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xf16>
  %f = arith.extf %d : tensor<64xf16> to tensor<64xf32>
  "xsmt.descriptor_store"(%to, %zero, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  "xsmt.descriptor_store"(%to, %f, %c1, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// A bound may keep elements from being stored.
// CHECK-LABEL: func.func @bounded
// CHECK-NOT: llvm.store %{{.*}} : vector<[16]xf32>
// CHECK: return
func.func @bounded(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %to: !llvm.ptr, %n: i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c64 = arith.constant 64 : i64
  %four = arith.constant dense<4> : tensor<64xi32>
  %i = "tt.make_range"() {start = 0 : i32, end = 64 : i32} : () -> tensor<64xi32>
  %at = arith.remsi %i, %four : tensor<64xi32>
  %d = "xsmt.gather"(%x, %at, %c0, %c0, %c64) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 2 : i64} : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xf16>
  %f = arith.extf %d : tensor<64xf16> to tensor<64xf32>
  "xsmt.descriptor_store"(%to, %f, %c1, %c0, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
  return
}

// -----

// What the program allocated is no argument: bytes that are unpacked into it are loaded once for both stores, and nothing is compared.
// CHECK-LABEL: func.func @unpacked
// CHECK-NOT: arith.cmpi
// CHECK: llvm.load {{.*}} -> vector<[32]xi8>
// CHECK: arith.andi %{{.*}} : vector<[32]xi8>
// CHECK: llvm.store {{.*}} : vector<[32]xi8>
// CHECK: arith.shrui %{{.*}} : vector<[32]xi8>
// CHECK: llvm.store {{.*}} : vector<[32]xi8>
func.func @unpacked(%x: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c128 = arith.constant 128 : i64
  %mask = arith.constant dense<15> : tensor<128xi8>
  %four = arith.constant dense<4> : tensor<128xi8>
  %space = "xsmt.alloc"() {element = i8, size = 256 : i64, storage = "l2"} : () -> !llvm.ptr
  %behind = llvm.getelementptr %space[128] : (!llvm.ptr) -> !llvm.ptr, i8
  %pairs = "xsmt.descriptor_load"(%x, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<128xi8>
  %low = arith.andi %pairs, %mask : tensor<128xi8>
  "xsmt.descriptor_store"(%space, %low, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<128xi8>, i64, i64, i64) -> ()
  %high = arith.shrui %pairs, %four : tensor<128xi8>
  "xsmt.descriptor_store"(%behind, %high, %c1, %c0, %c128) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<128xi8>, i64, i64, i64) -> ()
  return
}
