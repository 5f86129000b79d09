// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// A whole kernel: y = x + 1 for the elements of a program that are below n. Cases of one kind each are in the files structure_*.mlir.
// CHECK-LABEL: func.func public @kernel
// CHECK-SAME: (%[[X:.*]]: !llvm.ptr, %[[Y:.*]]: !llvm.ptr, %[[N:.*]]: i32)
tt.func public @kernel(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
  // CHECK: %[[PROGRAM:.*]] = "tt.get_program_id"()
  // CHECK: %[[START:.*]] = arith.muli %[[PROGRAM]], %{{.*}} : i32
  // CHECK: %[[X0:.*]] = llvm.getelementptr %[[X]][%{{.*}}]
  // CHECK: %[[BLOCK:.*]] = "xsmt.descriptor_load"(%[[X0]], %{{.*}}, %{{.*}}, %[[END:[0-9]+]])
  // CHECK-SAME: (!llvm.ptr, i64, i64, i64) -> tensor<256xf32>
  // CHECK: %[[SUM:.*]] = arith.addf %[[BLOCK]]
  // CHECK: %[[Y0:.*]] = llvm.getelementptr %[[Y]][%{{.*}}]
  // CHECK: "xsmt.descriptor_store"(%[[Y0]], %[[SUM]], %{{.*}}, %{{.*}}, %[[END]])
  // CHECK-NOT: tt.ptr
  %c256 = arith.constant 256 : i32
  %one = arith.constant dense<1.0> : tensor<256xf32>
  %program = tt.get_program_id x : i32
  %start = arith.muli %program, %c256 : i32
  %starts = tt.splat %start : i32 -> tensor<256xi32>
  %range = tt.make_range {end = 256 : i32, start = 0 : i32} : tensor<256xi32>
  %i = arith.addi %starts, %range : tensor<256xi32>
  %limit = tt.splat %n : i32 -> tensor<256xi32>
  %mask = arith.cmpi slt, %i, %limit : tensor<256xi32>
  %xs = tt.splat %x : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %p = tt.addptr %xs, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  %v = tt.load %p, %mask : tensor<256x!tt.ptr<f32>>
  %w = arith.addf %v, %one : tensor<256xf32>
  %ys = tt.splat %y : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %q = tt.addptr %ys, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  tt.store %q, %w, %mask : tensor<256x!tt.ptr<f32>>
  tt.return
}
