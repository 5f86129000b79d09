// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// CHECK-LABEL: func.func public @plain
tt.func public @plain(%x: !tt.ptr<f16>, %i: i32) {
  // CHECK: %[[P:.*]] = llvm.getelementptr %arg0[%arg1] : (!llvm.ptr, i32) -> !llvm.ptr, i16
  %p = tt.addptr %x, %i : !tt.ptr<f16>, i32
  // CHECK: %[[V:.*]] = llvm.load %[[P]] : !llvm.ptr -> f16
  %v = tt.load %p : !tt.ptr<f16>
  // CHECK: llvm.store %[[V]], %arg0 : f16, !llvm.ptr
  tt.store %x, %v : !tt.ptr<f16>
  // Volatile loads stay volatile.
  // CHECK: llvm.load volatile %arg0
  %w = tt.load %x {isVolatile = true} : !tt.ptr<f16>
  tt.store %p, %w : !tt.ptr<f16>
  tt.return
}

// Memory is touched only where the mask holds; without `other` the result is zero.
// CHECK-LABEL: func.func public @masked
tt.func public @masked(%x: !tt.ptr<f32>, %c: i1, %o: f32) {
  // CHECK: %[[V:.*]] = scf.if %arg1 -> (f32)
  // CHECK-NEXT: %[[A:.*]] = llvm.load %arg0
  // CHECK-NEXT: scf.yield %[[A]]
  // CHECK-NEXT: } else {
  // CHECK-NEXT: scf.yield %arg2
  // CHECK-NEXT: }
  %v = tt.load %x, %c, %o : !tt.ptr<f32>
  // CHECK-NEXT: llvm.store %[[V]], %arg0
  tt.store %x, %v : !tt.ptr<f32>
  tt.return
}

// CHECK-LABEL: func.func public @masked_store
tt.func public @masked_store(%x: !tt.ptr<f32>, %c: i1, %v: f32) {
  // CHECK-NEXT: scf.if %arg1 {
  // CHECK-NEXT: llvm.store %arg2, %arg0
  // CHECK-NEXT: }
  tt.store %x, %v, %c : !tt.ptr<f32>
  tt.return
}

// CHECK-LABEL: func.func public @masked_zero
tt.func public @masked_zero(%x: !tt.ptr<f32>, %c: i1) {
  // CHECK: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK: scf.if %arg1 -> (f32)
  // CHECK: scf.yield %[[ZERO]]
  %v = tt.load %x, %c : !tt.ptr<f32>
  tt.store %x, %v : !tt.ptr<f32>
  tt.return
}

// A byte holds an i1 or a float of eight bits, neither of which LLVM loads.
// CHECK-LABEL: func.func public @bytes
tt.func public @bytes(%x: !tt.ptr<i1>, %y: !tt.ptr<f8E5M2>) {
  // CHECK: %[[B:.*]] = llvm.load %arg0 : !llvm.ptr -> i8
  // CHECK: %[[T:.*]] = arith.cmpi ne, %[[B]], %c0_i8
  %v = tt.load %x : !tt.ptr<i1>
  // CHECK: %[[E:.*]] = arith.extui %[[T]] : i1 to i8
  // CHECK: llvm.store %[[E]], %arg0
  tt.store %x, %v : !tt.ptr<i1>
  // CHECK: %[[F:.*]] = llvm.load %arg1 : !llvm.ptr -> i8
  %w = tt.load %y : !tt.ptr<f8E5M2>
  // CHECK: llvm.store %[[F]], %arg1 : i8, !llvm.ptr
  tt.store %y, %w : !tt.ptr<f8E5M2>
  tt.return
}

// Scalar pointers through casts, loops and selects.
// CHECK-LABEL: func.func public @pointers
tt.func public @pointers(%p: !tt.ptr<f32>, %n: i32, %c: i1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  // CHECK: scf.for {{.*}} iter_args(%[[Q:.*]] = %arg0) -> (!llvm.ptr)
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%q = %p) -> (!tt.ptr<f32>) : i32 {
    // CHECK: llvm.getelementptr %[[Q]][1] : (!llvm.ptr) -> !llvm.ptr, i32
    %t = tt.addptr %q, %c1 : !tt.ptr<f32>, i32
    scf.yield %t : !tt.ptr<f32>
  }
  // CHECK: arith.select %arg2, %{{.*}}, %arg0 : !llvm.ptr
  %s = arith.select %c, %r, %p : !tt.ptr<f32>
  %i = tt.bitcast %s : !tt.ptr<f32> -> !tt.ptr<i32>
  tt.store %i, %n : !tt.ptr<i32>
  tt.return
}
