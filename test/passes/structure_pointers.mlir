// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// Integers as pointers, and pointers as integers.
// CHECK-LABEL: func.func public @casts
tt.func public @casts(%x: !tt.ptr<i64>, %address: i64) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<i64> -> tensor<16x!tt.ptr<i64>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<i64>>, tensor<16xi32>
  // CHECK: %[[A:.*]] = "xsmt.descriptor_load"(%arg0
  %a = tt.load %p : tensor<16x!tt.ptr<i64>>
  %q = tt.int_to_ptr %a : tensor<16xi64> -> tensor<16x!tt.ptr<f16>>
  // CHECK: "xsmt.gather"(%{{.*}}, %[[A]],
  // CHECK-SAME: unit = 1 : i64
  %v = tt.load %q : tensor<16x!tt.ptr<f16>>
  tt.store %q, %v : tensor<16x!tt.ptr<f16>>
  // CHECK: llvm.ptrtoint %arg0
  // CHECK: %[[INTEGERS:.*]] = arith.addi {{.*}} : tensor<16xi64>
  // CHECK: "xsmt.descriptor_store"(%arg0, %[[INTEGERS]],
  %n = tt.ptr_to_int %p : tensor<16x!tt.ptr<i64>> -> tensor<16xi64>
  tt.store %p, %n : tensor<16x!tt.ptr<i64>>
  // CHECK: %[[S:.*]] = llvm.inttoptr %arg1
  // CHECK: llvm.store %{{.*}}, %[[S]] : i64, !llvm.ptr
  %s = tt.int_to_ptr %address : i64 -> !tt.ptr<i64>
  %t = tt.ptr_to_int %x : !tt.ptr<i64> -> i64
  tt.store %s, %t : !tt.ptr<i64>
  tt.return
}

// A scalar condition selects between bases; a tensor of conditions between addresses.
// CHECK-LABEL: func.func public @selected
tt.func public @selected(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %c: i1, %m: i32) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %xb = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %yb = tt.splat %y : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %xb, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  %q = tt.addptr %yb, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: %[[BASE:.*]] = arith.select %arg2, %arg0, %arg1 : !llvm.ptr
  // CHECK: "xsmt.descriptor_load"(%[[BASE]], %c1_i64, %c0_i64, %c16_i64)
  %r = arith.select %c, %p, %q : tensor<16x!tt.ptr<f32>>
  %v = tt.load %r : tensor<16x!tt.ptr<f32>>
  // CHECK: %[[ADDRESSES:.*]] = arith.select {{.*}} : tensor<16xi1>, tensor<16xi64>
  // CHECK: "xsmt.scatter"(%{{.*}}, %[[ADDRESSES]],
  %n = tt.splat %m : i32 -> tensor<16xi32>
  %mask = arith.cmpi slt, %i, %n : tensor<16xi32>
  %s = arith.select %mask, %p, %q : tensor<16xi1>, tensor<16x!tt.ptr<f32>>
  tt.store %s, %v : tensor<16x!tt.ptr<f32>>
  tt.return
}
