// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// A pointer that advances by a scalar is carried as one offset.
// CHECK-LABEL: func.func public @advance
tt.func public @advance(%x: !tt.ptr<f32>, %n: i32, %step: i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %zero = arith.constant dense<0.000000e+00> : tensor<16xf32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  %s = tt.splat %step : i32 -> tensor<16xi32>
  // CHECK: %[[STEP:.*]] = arith.extsi %arg2
  // CHECK: %[[R:.*]]:2 = scf.for {{.*}} iter_args(%[[SUM:.*]] = %cst, %[[OFFSET:.*]] = %c0_i64) -> (tensor<16xf32>, i64)
  %r:2 = scf.for %k = %c0 to %n step %c1 iter_args(%q = %p, %sum = %zero) -> (tensor<16x!tt.ptr<f32>>, tensor<16xf32>) : i32 {
    // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[%[[OFFSET]]]
    // CHECK: "xsmt.descriptor_load"(%[[BASE]], %c1_i64, %c0_i64, %c16_i64)
    %v = tt.load %q : tensor<16x!tt.ptr<f32>>
    %t = arith.addf %sum, %v : tensor<16xf32>
    // CHECK: %[[NEXT:.*]] = arith.addi %[[OFFSET]], %[[STEP]]
    // CHECK: scf.yield %{{.*}}, %[[NEXT]] : tensor<16xf32>, i64
    %next = tt.addptr %q, %s : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
    scf.yield %next, %t : tensor<16x!tt.ptr<f32>>, tensor<16xf32>
  }
  // CHECK: %[[END:.*]] = llvm.getelementptr %arg0[%[[R]]#1]
  // CHECK: "xsmt.descriptor_store"(%[[END]], %[[R]]#0
  tt.store %r#0, %r#1 : tensor<16x!tt.ptr<f32>>
  tt.return
}

// Offsets that a mask needs are carried as a scalar; the tensor is computed again for its use as data.
// CHECK-LABEL: func.func public @carried_offsets
tt.func public @carried_offsets(%x: !tt.ptr<i32>, %n: i32) {
  %c0 = arith.constant 0 : i32
  %c16 = arith.constant 16 : i32
  %step = arith.constant dense<16> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %limit = tt.splat %n : i32 -> tensor<16xi32>
  // CHECK: scf.for {{.*}} iter_args(%[[OFFSET:.*]] = %c0_i64) -> (i64)
  %r = scf.for %k = %c0 to %n step %c16 iter_args(%o = %i) -> (tensor<16xi32>) : i32 {
    %mask = arith.cmpi slt, %o, %limit : tensor<16xi32>
    %p = tt.addptr %base, %o : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
    // CHECK: %[[DATA:.*]] = arith.trunci {{.*}} : tensor<16xi64> to tensor<16xi32>
    // CHECK: %[[UPPER:.*]] = arith.subi %{{.*}}, %[[OFFSET]]
    // The offset grows as the loop's index does, so it does not wrap around.
    // CHECK: "xsmt.descriptor_store"(%{{.*}}, %[[DATA]], %c1_i64, %c0_i64, %[[UPPER]])
    tt.store %p, %o, %mask : tensor<16x!tt.ptr<i32>>
    %next = arith.addi %o, %step : tensor<16xi32>
    scf.yield %next : tensor<16xi32>
  }
  // One that grows by more may.
  // CHECK: scf.for {{.*}} iter_args(%[[OFFSET:.*]] = %c0_i64) -> (i64)
  %more = arith.constant dense<32> : tensor<16xi32>
  %t = scf.for %k = %c0 to %n step %c16 iter_args(%o = %i) -> (tensor<16xi32>) : i32 {
    %mask = arith.cmpi slt, %o, %limit : tensor<16xi32>
    %p = tt.addptr %base, %o : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
    // CHECK: %[[FITS:.*]] = arith.cmpi sle, %[[OFFSET]]
    // CHECK: %[[UPPER:.*]] = arith.select %[[FITS]]
    // CHECK: "xsmt.descriptor_store"(%{{.*}}, %{{.*}}, %c1_i64, %c0_i64, %[[UPPER]], %{{.*}})
    tt.store %p, %o, %mask : tensor<16x!tt.ptr<i32>>
    %next = arith.addi %o, %more : tensor<16xi32>
    scf.yield %next : tensor<16xi32>
  }
  tt.return
}

// Pointers that change places are carried whole: each its base, offset and stride.
// CHECK-LABEL: func.func public @swapped
tt.func public @swapped(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c2 = arith.constant dense<2> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %j = arith.muli %i, %c2 : tensor<16xi32>
  %xb = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %yb = tt.splat %y : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %xb, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  %q = tt.addptr %yb, %j : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: scf.for
  // CHECK-SAME: -> (!llvm.ptr, i64, !llvm.ptr, i64)
  %r:2 = scf.for %k = %c0 to %n step %c1 iter_args(%a = %p, %b = %q) -> (tensor<16x!tt.ptr<f32>>, tensor<16x!tt.ptr<f32>>) : i32 {
    // CHECK: %[[V:.*]] = "xsmt.descriptor_load"(%[[A:.*]], %[[S:.*]], %c0_i64, %c16_i64)
    // CHECK: "xsmt.descriptor_store"(%[[B:.*]], %[[V]], %[[T:.*]], %c0_i64, %c16_i64)
    // CHECK: scf.yield %[[B]], %[[T]], %[[A]], %[[S]]
    %v = tt.load %a : tensor<16x!tt.ptr<f32>>
    tt.store %b, %v : tensor<16x!tt.ptr<f32>>
    scf.yield %b, %a : tensor<16x!tt.ptr<f32>>, tensor<16x!tt.ptr<f32>>
  }
  tt.return
}

// Nested loops: the inner one continues the outer one's offset. The wrapped rows stay an index outside of both.
// CHECK-LABEL: func.func public @nested
tt.func public @nested(%x: !tt.ptr<f32>, %n: i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c5 = arith.constant dense<5> : tensor<16xi32>
  %c7 = arith.constant dense<7> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %w = arith.remsi %i, %c7 : tensor<16xi32>
  %xb = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  // CHECK: %[[INDEX:.*]] = arith.remsi
  %p = tt.addptr %xb, %w : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: scf.for {{.*}} iter_args(%[[OUTER:.*]] = %c0_i64) -> (i64)
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%a = %p) -> (tensor<16x!tt.ptr<f32>>) : i32 {
    // CHECK: %[[NEXT:.*]] = scf.for {{.*}} iter_args(%[[INNER:.*]] = %[[OUTER]]) -> (i64)
    %s = scf.for %l = %c0 to %n step %c1 iter_args(%b = %a) -> (tensor<16x!tt.ptr<f32>>) : i32 {
      // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[%[[INNER]]]
      // CHECK: "xsmt.gather"(%[[BASE]], %[[INDEX]],
      %v = tt.load %b : tensor<16x!tt.ptr<f32>>
      tt.store %b, %v : tensor<16x!tt.ptr<f32>>
      // CHECK: arith.addi %[[INNER]], %c5_i64
      %t = tt.addptr %b, %c5 : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
      scf.yield %t : tensor<16x!tt.ptr<f32>>
    }
    // CHECK: scf.yield %[[NEXT]]
    scf.yield %s : tensor<16x!tt.ptr<f32>>
  }
  tt.return
}

// Where the part that is not affine changes, addresses are carried.
// CHECK-LABEL: func.func public @chased
tt.func public @chased(%x: !tt.ptr<i64>, %n: i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %xb = tt.splat %x : !tt.ptr<i64> -> tensor<16x!tt.ptr<i64>>
  %p = tt.addptr %xb, %i : tensor<16x!tt.ptr<i64>>, tensor<16xi32>
  // CHECK: %[[ZERO:.*]] = llvm.mlir.zero
  // CHECK: llvm.ptrtoint %arg0
  // CHECK: scf.for {{.*}} iter_args(%[[ADDRESSES:.*]] = %{{.*}}) -> (tensor<16xi64>)
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%a = %p) -> (tensor<16x!tt.ptr<i64>>) : i32 {
    // CHECK: %[[V:.*]] = "xsmt.gather"(%[[ZERO]], %[[ADDRESSES]],
    // CHECK-SAME: unit = 1 : i64
    %v = tt.load %a : tensor<16x!tt.ptr<i64>>
    // CHECK: %[[BYTES:.*]] = arith.muli %[[V]],
    // CHECK: %[[NEXT:.*]] = arith.addi %[[ADDRESSES]], %[[BYTES]]
    // CHECK: scf.yield %[[NEXT]]
    %t = tt.addptr %a, %v : tensor<16x!tt.ptr<i64>>, tensor<16xi64>
    scf.yield %t : tensor<16x!tt.ptr<i64>>
  }
  // CHECK: "xsmt.gather"
  %v = tt.load %r : tensor<16x!tt.ptr<i64>>
  tt.store %p, %v : tensor<16x!tt.ptr<i64>>
  tt.return
}

// The branches of an if agree on base and stride, but not on the offset.
// CHECK-LABEL: func.func public @branches
tt.func public @branches(%x: !tt.ptr<f32>, %n: i32, %c: i1) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  // CHECK: %[[OFFSET:.*]] = scf.if %arg2 -> (i64)
  // CHECK-NEXT: %[[N:.*]] = arith.extsi %arg1
  // CHECK-NEXT: scf.yield %[[N]]
  // CHECK-NEXT: } else {
  // CHECK-NEXT: scf.yield %c0_i64
  %p = scf.if %c -> (tensor<16x!tt.ptr<f32>>) {
    %s = tt.splat %n : i32 -> tensor<16xi32>
    %o = arith.addi %i, %s : tensor<16xi32>
    %b = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
    %q = tt.addptr %b, %o : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
    scf.yield %q : tensor<16x!tt.ptr<f32>>
  } else {
    %b = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
    %q = tt.addptr %b, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
    scf.yield %q : tensor<16x!tt.ptr<f32>>
  }
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[%[[OFFSET]]]
  // CHECK: "xsmt.descriptor_load"(%[[BASE]], %c1_i64, %c0_i64, %c16_i64)
  %v = tt.load %p : tensor<16x!tt.ptr<f32>>
  tt.store %p, %v : tensor<16x!tt.ptr<f32>>
  tt.return
}

// A while loop carries the offset through both of its regions.
// CHECK-LABEL: func.func public @while
tt.func public @while(%x: !tt.ptr<i32>, %flag: !tt.ptr<i32>) {
  %c0 = arith.constant 0 : i32
  %c16 = arith.constant dense<16> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[R:.*]] = scf.while (%[[A:.*]] = %c0_i64) : (i64) -> i64
  %r = scf.while (%q = %p) : (tensor<16x!tt.ptr<i32>>) -> tensor<16x!tt.ptr<i32>> {
    // CHECK: llvm.load %arg1 : !llvm.ptr -> i32
    %f = tt.load %flag : !tt.ptr<i32>
    %go = arith.cmpi ne, %f, %c0 : i32
    // CHECK: scf.condition(%{{.*}}) %[[A]] : i64
    scf.condition(%go) %q : tensor<16x!tt.ptr<i32>>
  } do {
  // CHECK: ^bb0(%[[Q:.*]]: i64):
  ^bb0(%q: tensor<16x!tt.ptr<i32>>):
    // CHECK: llvm.getelementptr %arg0[%[[Q]]]
    tt.store %q, %c16 : tensor<16x!tt.ptr<i32>>
    // CHECK: arith.addi %[[Q]], %c16_i64
    %t = tt.addptr %q, %c16 : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
    scf.yield %t : tensor<16x!tt.ptr<i32>>
  }
  // CHECK: llvm.getelementptr %arg0[%[[R]]]
  tt.store %r, %c16 : tensor<16x!tt.ptr<i32>>
  tt.return
}

// An integer accumulator that no access needs is left alone.
// CHECK-LABEL: func.func public @data
tt.func public @data(%x: !tt.ptr<i32>, %n: i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %one = arith.constant dense<1> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: scf.for {{.*}} -> (tensor<16xi32>)
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%a = %one) -> (tensor<16xi32>) : i32 {
    %t = arith.addi %a, %one : tensor<16xi32>
    scf.yield %t : tensor<16xi32>
  }
  tt.store %p, %r : tensor<16x!tt.ptr<i32>>
  tt.return
}
