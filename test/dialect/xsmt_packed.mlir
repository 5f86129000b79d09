// RUN: triton-spacemit-opt %s | triton-spacemit-opt | filecheck %s
// RUN: triton-spacemit-opt %s --canonicalize --cse | filecheck %s --check-prefix=PURE

// Every op survives being printed and parsed again. Views and products are pure: unused ones go, equal ones are merged.

// CHECK-LABEL: func.func @views
// PURE-LABEL: func.func @views
func.func @views(%m: tensor<8x8xf32>, %i: i32) -> (tensor<8x8xf32>, tensor<8x8xf32>) {
  // CHECK: "xsmt.pack"(%arg0, %arg1, %arg1) : (tensor<8x8xf32>, i32, i32) -> tensor<2x2x4x4xf32>
  // PURE: "xsmt.pack"
  // PURE-NOT: "xsmt.pack"
  %0 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<2x2x4x4xf32>
  %1 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<2x2x4x4xf32>
  // CHECK: "xsmt.repack"
  // PURE-NOT: "xsmt.repack"
  %2 = "xsmt.repack"(%0, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<4x1x2x8xf32>
  // CHECK: "xsmt.subview"
  %3 = "xsmt.subview"(%0, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<1x2x4x4xf32>
  // CHECK: "xsmt.subview"
  %4 = "xsmt.subview"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<4x8xf32>
  // CHECK: "xsmt.mmt4d"(%{{.*}}, %{{.*}}) {transposed = true}
  %5 = "xsmt.mmt4d"(%0, %1) {transposed = true} : (tensor<2x2x4x4xf32>, tensor<2x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  // CHECK: "xsmt.mmt4d"(%{{.*}}, %{{.*}}, %{{.*}}) {transposed = false}
  %6 = "xsmt.mmt4d"(%0, %1, %5) {transposed = false} : (tensor<2x2x4x4xf32>, tensor<2x2x4x4xf32>, tensor<2x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  // CHECK: "xsmt.annotation"(%{{.*}}) {hint = "mr", value = 8 : i32}
  // PURE: "xsmt.annotation"
  "xsmt.annotation"(%6) {hint = "mr", value = 8 : i32} : (tensor<2x2x4x4xf32>) -> ()
  // CHECK: "xsmt.unpack"
  %7 = "xsmt.unpack"(%5, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<8x8xf32>
  %8 = "xsmt.unpack"(%6, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<8x8xf32>
  return %7, %8 : tensor<8x8xf32>, tensor<8x8xf32>
}

// CHECK-LABEL: func.func @threads
// PURE-LABEL: func.func @threads
func.func @threads(%i: i32) {
  // CHECK: "xsmt.alloc"() {element = f16, size = 1024 : i64, storage = "l2"} : () -> !llvm.ptr
  %p = "xsmt.alloc"() {size = 1024 : i64, element = f16, storage = "l2"} : () -> !llvm.ptr
  // CHECK: "xsmt.get_num_of_thread"
  // PURE-NOT: "xsmt.get_num_of_thread"
  %n = "xsmt.get_num_of_thread"() : () -> i32
  // CHECK: "xsmt.mbarrier"
  // PURE-COUNT-2: "xsmt.mbarrier"
  %bars = "xsmt.mbarrier"(%i, %i, %i, %i) {copies = 2 : i32} : (i32, i32, i32, i32) -> i64
  %other = "xsmt.mbarrier"(%i, %i, %i, %i) {copies = 2 : i32} : (i32, i32, i32, i32) -> i64
  // CHECK: "xsmt.global_mbarrier"
  %global = "xsmt.global_mbarrier"(%i) : (i32) -> i64
  // CHECK: "xsmt.barrier_at"
  %bar = "xsmt.barrier_at"(%bars, %i) : (i64, i32) -> i64
  // CHECK: "xsmt.barrier_set_expect"
  "xsmt.barrier_set_expect"(%global, %i) : (i64, i32) -> ()
  // CHECK: "xsmt.parallel"(%arg0, %arg0, %arg0) ({
  // CHECK-NEXT: ^bb0(%{{.*}}: i32):
  // PURE: "xsmt.parallel"
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    // CHECK: "xsmt.barrier_arrive"
    // PURE-COUNT-2: "xsmt.barrier_arrive"
    "xsmt.barrier_arrive"(%bar) : (i64) -> ()
    "xsmt.barrier_arrive"(%other) : (i64) -> ()
    // CHECK: "xsmt.barrier_wait"
    "xsmt.barrier_wait"(%bar, %i, %i) : (i64, i32, i32) -> ()
    // CHECK: "xsmt.yield"
    "xsmt.yield"() : () -> ()
  // CHECK: }) {bind_sub_block = true}
  }) {bind_sub_block = true} : (i32, i32, i32) -> ()
  return
}
