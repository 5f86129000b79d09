// RUN: triton-spacemit-opt %s --smt --split-input-file | filecheck %s

// CHECK-NOT: @__smt
// CHECK-LABEL: func.func @product
func.func @product(%m: tensor<8x8xf16>, %i: i32) -> tensor<8x8xf16> {
  // CHECK: %[[T:.*]] = "xsmt.pack"(%arg0, %arg1, %arg1) : (tensor<8x8xf16>, i32, i32) -> tensor<2x2x4x4xf16>
  %0 = func.call @__smt.pack__a(%m, %i, %i) : (tensor<8x8xf16>, i32, i32) -> tensor<2x2x4x4xf16>
  // CHECK: "xsmt.annotation"(%[[T]]) {hint = "mr", value = 8 : i32}
  func.call @__smt.annotation__b(%0) {smt.name = "mr", smt.value = 8 : i32} : (tensor<2x2x4x4xf16>) -> ()
  // CHECK: %[[C:.*]] = "xsmt.mmt4d"(%[[T]], %[[T]]) {transposed = true}
  %1 = func.call @__smt.mmt4d__c(%0, %0) {smt.transposed = true} : (tensor<2x2x4x4xf16>, tensor<2x2x4x4xf16>) -> tensor<2x2x4x4xf16>
  // CHECK: "xsmt.unpack"(%[[C]], %arg1, %arg1)
  %2 = func.call @__smt.unpack__d(%1, %i, %i) : (tensor<2x2x4x4xf16>, i32, i32) -> tensor<8x8xf16>
  return %2 : tensor<8x8xf16>
}
func.func private @__smt.pack__a(tensor<8x8xf16>, i32, i32) -> tensor<2x2x4x4xf16>
func.func private @__smt.annotation__b(tensor<2x2x4x4xf16>)
func.func private @__smt.mmt4d__c(tensor<2x2x4x4xf16>, tensor<2x2x4x4xf16>) -> tensor<2x2x4x4xf16>
func.func private @__smt.unpack__d(tensor<2x2x4x4xf16>, i32, i32) -> tensor<8x8xf16>

// -----

// CHECK-LABEL: func.func @threads
func.func @threads(%i: i32) {
  // CHECK: "xsmt.alloc"() {element = f32, size = 64 : i64, storage = "tcm"} : () -> !tt.ptr<f32>
  %p = func.call @__smt.alloc__a() {smt.size = 64 : i32, smt.storage = "tcm"} : () -> !tt.ptr<f32>
  // CHECK: %[[BAR:.*]] = "xsmt.mbarrier"(%arg0, %arg0, %arg0, %arg0) {copies = 3 : i32}
  %bar = func.call @__smt.mbarrier__b(%i, %i, %i, %i) {smt.copies = 3 : i32} : (i32, i32, i32, i32) -> i64
  // CHECK: "xsmt.parallel"(%arg0, %arg0, %arg0) ({
  // CHECK-NEXT: ^bb0(%{{.*}}: i32):
  scf.for %j = %i to %i step %i : i32 {
    // CHECK-NEXT: "xsmt.barrier_arrive"(%[[BAR]])
    func.call @__smt.barrier_arrive__c(%bar) : (i64) -> ()
    // CHECK-NEXT: "xsmt.yield"
  // CHECK-NEXT: }) {bind_sub_block = false}
  } {smt.parallel = true, smt.bind_sub_block = false}
  return
}
func.func private @__smt.alloc__a() -> !tt.ptr<f32>
func.func private @__smt.mbarrier__b(i32, i32, i32, i32) -> i64
func.func private @__smt.barrier_arrive__c(i64)
