// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// CHECK-LABEL: func.func public @blocks
tt.func public @blocks(%x: !tt.ptr<i32>, %n: i32) {
  %c7 = arith.constant dense<7> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %mask = arith.cmpi slt, %i, %s : tensor<16xi32>
  // CHECK: %[[N:.*]] = arith.extsi %arg1
  // CHECK: %[[OLD:.*]] = "xsmt.atomic_rmw"(%arg0, %[[V:.*]], %c1_i64, %c0_i64, %[[N]])
  // CHECK-SAME: kind = "add", operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>, order = "relaxed"
  %old = tt.atomic_rmw add, relaxed, gpu, %p, %c7, %mask : (tensor<16x!tt.ptr<i32>>, tensor<16xi32>, tensor<16xi1>) -> tensor<16xi32>
  // CHECK: "xsmt.atomic_cas"(%arg0, %[[OLD]], %{{.*}}, %c1_i64, %c0_i64, %c16_i64)
  // CHECK-SAME: order = "acq_rel"
  %swapped = tt.atomic_cas acq_rel, gpu, %p, %old, %c7 : (tensor<16x!tt.ptr<i32>>, tensor<16xi32>, tensor<16xi32>) -> tensor<16xi32>
  // A histogram: addresses that the data choose.
  %r = arith.remsi %swapped, %c7 : tensor<16xi32>
  %q = tt.addptr %b, %r : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[INDEX:.*]] = arith.remsi
  // CHECK: "xsmt.atomic_rmw"(%arg0, %[[INDEX]], %{{.*}}, %c0_i64, %c0_i64, %c16_i64)
  // CHECK-SAME: kind = "umax"
  // CHECK-SAME: unit = 4 : i64
  %m = tt.atomic_rmw umax, acquire, gpu, %q, %c7 : (tensor<16x!tt.ptr<i32>>, tensor<16xi32>) -> tensor<16xi32>
  tt.return
}

// CHECK-LABEL: func.func public @scalars
tt.func public @scalars(%x: !tt.ptr<f32>, %v: f32, %c: i1) {
  %true = arith.constant true
  // A mask that always holds is none.
  // CHECK: "xsmt.atomic_rmw"(%arg0, %arg1) {kind = "fadd"
  %a = tt.atomic_rmw fadd, acq_rel, gpu, %x, %v, %true : (!tt.ptr<f32>, f32, i1) -> f32
  // CHECK: "xsmt.atomic_rmw"(%arg0, %{{.*}}, %arg2) {kind = "xchg"
  %b = tt.atomic_rmw exch, release, gpu, %x, %a, %c : (!tt.ptr<f32>, f32, i1) -> f32
  // CHECK: "xsmt.atomic_cas"(%arg0, %{{.*}}, %arg1)
  %d = tt.atomic_cas acq_rel, gpu, %x, %b, %v : (!tt.ptr<f32>, f32, f32) -> f32
  tt.return
}

// A load compares with zero and swaps in zero, a store exchanges.
// CHECK-LABEL: func.func public @loads_and_stores
tt.func public @loads_and_stores(%x: !tt.ptr<f32>, %n: i32, %on: i1) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %mask = arith.cmpi slt, %i, %s : tensor<16xi32>
  // CHECK: %[[N:.*]] = arith.extsi %arg1
  // CHECK: %[[ZEROS:.*]] = "tt.splat"(%{{.*}}) : (f32) -> tensor<16xf32>
  // CHECK: %[[V:.*]] = "xsmt.atomic_cas"(%arg0, %[[ZEROS]], %[[ZEROS]], %c1_i64, %c0_i64, %[[N]])
  // CHECK-SAME: order = "acquire"
  %v = tt.atomic_load acquire, gpu, %p, %mask : (tensor<16x!tt.ptr<f32>>, tensor<16xi1>) -> tensor<16xf32>
  // CHECK: "xsmt.atomic_rmw"(%arg0, %[[V]], %c1_i64, %c0_i64, %[[N]])
  // CHECK-SAME: kind = "xchg"
  tt.atomic_store release, gpu, %p, %v, %mask : tensor<16x!tt.ptr<f32>>
  // CHECK: %[[W:.*]] = "xsmt.atomic_cas"(%arg0, %[[ZERO:.*]], %[[ZERO]], %arg2)
  %w = tt.atomic_load relaxed, gpu, %x, %on : (!tt.ptr<f32>, i1) -> f32
  // CHECK: "xsmt.atomic_rmw"(%arg0, %[[W]], %arg2)
  tt.atomic_store relaxed, gpu, %x, %w, %on : !tt.ptr<f32>
  tt.return
}

// Polls keep their time limit.
// CHECK-LABEL: func.func public @polls
tt.func public @polls(%x: !tt.ptr<i32>, %v: i32, %time: i64) {
  // CHECK: "xsmt.atomic_poll"(%arg0, %arg1)
  // CHECK-SAME: order = "acquire"
  // CHECK-SAME: (!llvm.ptr, i32) -> i1
  %a = tt.atomic_poll acquire, gpu, %x, %v : !tt.ptr<i32>, i32 -> i1
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: "xsmt.atomic_poll"(%arg0, %{{.*}}, %c1_i64, %c0_i64, %c16_i64, %arg2)
  // CHECK-SAME: order = "relaxed"
  %c = tt.atomic_poll relaxed, gpu, %p, %i timeout %time : tensor<16x!tt.ptr<i32>>, tensor<16xi32> -> tensor<16xi1>
  tt.return
}
