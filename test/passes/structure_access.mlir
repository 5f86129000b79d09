// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// A contiguous block under an upper bound: the block's own offset is in the base and taken off the bound.
// CHECK-LABEL: func.func public @contiguous(%arg0: !llvm.ptr {tt.divisibility = 16 : i32}, %arg1: i32)
tt.func public @contiguous(%x: !tt.ptr<f32> {tt.divisibility = 16 : i32}, %n: i32) {
  %c256 = arith.constant 256 : i32
  %pid = tt.get_program_id x : i32
  %start = arith.muli %pid, %c256 : i32
  %range = tt.make_range {end = 256 : i32, start = 0 : i32} : tensor<256xi32>
  %s = tt.splat %start : i32 -> tensor<256xi32>
  %offsets = arith.addi %s, %range : tensor<256xi32>
  %limit = tt.splat %n : i32 -> tensor<256xi32>
  %mask = arith.cmpi slt, %offsets, %limit : tensor<256xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %p = tt.addptr %base, %offsets : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  // CHECK-DAG: %[[ZERO:.*]] = arith.constant 0 : i64
  // CHECK-DAG: %[[ONE:.*]] = arith.constant 1 : i64
  // CHECK: %[[PID:.*]] = arith.muli
  // CHECK: %[[START:.*]] = arith.extsi %[[PID]] : i32 to i64
  // CHECK: %[[N:.*]] = arith.extsi %arg1 : i32 to i64
  // CHECK: %[[UPPER:.*]] = arith.subi %[[N]], %[[START]] : i64
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[%[[START]]] : (!llvm.ptr, i64) -> !llvm.ptr, i32
  // CHECK: %[[X:.*]] = "xsmt.descriptor_load"(%[[BASE]], %[[ONE]], %[[ZERO]], %[[UPPER]])
  %v = tt.load %p, %mask : tensor<256x!tt.ptr<f32>>
  // CHECK: "xsmt.descriptor_store"(%[[BASE]], %[[X]], %[[ONE]], %[[ZERO]], %[[UPPER]])
  tt.store %p, %v, %mask : tensor<256x!tt.ptr<f32>>
  // CHECK-NEXT: return
  tt.return
}

// Two dimensions, one with a run-time stride: strides in elements, and the splat `other` as a scalar.
// CHECK-LABEL: func.func public @strided
tt.func public @strided(%x: !tt.ptr<f16>, %stride: i32) {
  %other = arith.constant dense<1.000000e+00> : tensor<4x8xf16>
  %c2 = arith.constant dense<2> : tensor<1x8xi32>
  %i = tt.make_range {end = 4 : i32, start = 0 : i32} : tensor<4xi32>
  %j = tt.make_range {end = 11 : i32, start = 3 : i32} : tensor<8xi32>
  %rows = tt.expand_dims %i {axis = 1 : i32} : tensor<4xi32> -> tensor<4x1xi32>
  %columns = tt.expand_dims %j {axis = 0 : i32} : tensor<8xi32> -> tensor<1x8xi32>
  %s = tt.splat %stride : i32 -> tensor<4x1xi32>
  %row_offsets = arith.muli %rows, %s : tensor<4x1xi32>
  %column_offsets = arith.muli %columns, %c2 : tensor<1x8xi32>
  %a = tt.broadcast %row_offsets : tensor<4x1xi32> -> tensor<4x8xi32>
  %b = tt.broadcast %column_offsets : tensor<1x8xi32> -> tensor<4x8xi32>
  %offsets = arith.addi %a, %b : tensor<4x8xi32>
  %base = tt.splat %x : !tt.ptr<f16> -> tensor<4x8x!tt.ptr<f16>>
  %p = tt.addptr %base, %offsets : tensor<4x8x!tt.ptr<f16>>, tensor<4x8xi32>
  %true = arith.constant dense<true> : tensor<4x8xi1>
  // CHECK-DAG: %[[OTHER:.*]] = arith.constant 1.000000e+00 : f16
  // CHECK: %[[STRIDE:.*]] = arith.extsi %arg1 : i32 to i64
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[6] : (!llvm.ptr) -> !llvm.ptr, i16
  // CHECK: "xsmt.descriptor_load"(%[[BASE]], %[[STRIDE]], %c2_i64, %c0_i64, %c0_i64, %c4_i64, %c8_i64, %[[OTHER]])
  // CHECK-SAME: -> tensor<4x8xf16>
  %v = tt.load %p, %true, %other : tensor<4x8x!tt.ptr<f16>>
  // Transposing pointers exchanges strides.
  // CHECK: "xsmt.descriptor_store"(%[[BASE]], {{.*}}, %c2_i64, %[[STRIDE]],
  %t = tt.trans %p {order = array<i32: 1, 0>} : tensor<4x8x!tt.ptr<f16>> -> tensor<8x4x!tt.ptr<f16>>
  %w = tt.trans %v {order = array<i32: 1, 0>} : tensor<4x8xf16> -> tensor<8x4xf16>
  tt.store %t, %w : tensor<8x4x!tt.ptr<f16>>
  tt.return
}

// A reshape of offsets splits a dimension; merging back needs strides that nest.
// CHECK-LABEL: func.func public @reshaped
tt.func public @reshaped(%x: !tt.ptr<i32>) {
  %i = tt.make_range {end = 32 : i32, start = 0 : i32} : tensor<32xi32>
  %split = tt.reshape %i : tensor<32xi32> -> tensor<4x1x8xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<4x1x8x!tt.ptr<i32>>
  %p = tt.addptr %base, %split : tensor<4x1x8x!tt.ptr<i32>>, tensor<4x1x8xi32>
  // CHECK: "xsmt.descriptor_load"(%arg0, %c8_i64, %c0_i64, %c1_i64, %c0_i64, %c0_i64, %c0_i64, %c4_i64, %c1_i64, %c8_i64)
  %v = tt.load %p : tensor<4x1x8x!tt.ptr<i32>>
  // CHECK: "xsmt.descriptor_store"(%arg0, {{.*}}, %c1_i64, %c0_i64, %c32_i64)
  %q = tt.reshape %p : tensor<4x1x8x!tt.ptr<i32>> -> tensor<32x!tt.ptr<i32>>
  %w = tt.reshape %v : tensor<4x1x8xi32> -> tensor<32xi32>
  tt.store %q, %w : tensor<32x!tt.ptr<i32>>
  tt.return
}

// The remainder is not affine: it becomes the index, in its own i32 and in elements; the columns stay in the strides.
// CHECK-LABEL: func.func public @wrap_around
tt.func public @wrap_around(%x: !tt.ptr<f16>, %rows: i32, %stride: i32) {
  %i = tt.make_range {end = 4 : i32, start = 0 : i32} : tensor<4xi32>
  %j = tt.make_range {end = 8 : i32, start = 0 : i32} : tensor<8xi32>
  %n = tt.splat %rows : i32 -> tensor<4xi32>
  %wrapped = arith.remsi %i, %n : tensor<4xi32>
  %r = tt.expand_dims %wrapped {axis = 1 : i32} : tensor<4xi32> -> tensor<4x1xi32>
  %s = tt.splat %stride : i32 -> tensor<4x1xi32>
  // CHECK: %[[ROWS:.*]] = arith.muli {{.*}} : tensor<4x1xi32>
  %row_offsets = arith.muli %r, %s : tensor<4x1xi32>
  %c = tt.expand_dims %j {axis = 0 : i32} : tensor<8xi32> -> tensor<1x8xi32>
  // CHECK: %[[INDEX:.*]] = "tt.broadcast"(%[[ROWS]])
  %a = tt.broadcast %row_offsets : tensor<4x1xi32> -> tensor<4x8xi32>
  %b = tt.broadcast %c : tensor<1x8xi32> -> tensor<4x8xi32>
  %offsets = arith.addi %a, %b : tensor<4x8xi32>
  %base = tt.splat %x : !tt.ptr<f16> -> tensor<4x8x!tt.ptr<f16>>
  %p = tt.addptr %base, %offsets : tensor<4x8x!tt.ptr<f16>>, tensor<4x8xi32>
  // CHECK: "xsmt.gather"(%arg0, %[[INDEX]], %c0_i64, %c1_i64, %c0_i64, %c0_i64, %c4_i64, %c8_i64)
  // CHECK-SAME: unit = 2 : i64
  %v = tt.load %p : tensor<4x8x!tt.ptr<f16>>
  // CHECK: "xsmt.scatter"(%arg0, %[[INDEX]],
  tt.store %p, %v : tensor<4x8x!tt.ptr<f16>>
  tt.return
}

// An index on top of an affine part: only the rest is in the index.
// CHECK-LABEL: func.func public @indirect
tt.func public @indirect(%x: !tt.ptr<f32>, %indices: !tt.ptr<i64>, %start: i64) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %ib = tt.splat %indices : !tt.ptr<i64> -> tensor<16x!tt.ptr<i64>>
  %ip = tt.addptr %ib, %i : tensor<16x!tt.ptr<i64>>, tensor<16xi32>
  // CHECK: %[[INDEX:.*]] = "xsmt.descriptor_load"(%arg1
  %index = tt.load %ip : tensor<16x!tt.ptr<i64>>
  %wide = arith.extsi %i : tensor<16xi32> to tensor<16xi64>
  %s = tt.splat %start : i64 -> tensor<16xi64>
  %a = arith.addi %wide, %s : tensor<16xi64>
  %offsets = arith.addi %a, %index : tensor<16xi64>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %offsets : tensor<16x!tt.ptr<f32>>, tensor<16xi64>
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[%arg2]
  // CHECK: "xsmt.gather"(%[[BASE]], %[[INDEX]], %c1_i64, %c0_i64, %c16_i64)
  %v = tt.load %p : tensor<16x!tt.ptr<f32>>
  tt.store %p, %v : tensor<16x!tt.ptr<f32>>
  tt.return
}

// Offsets that wrap for certain are a hash, not an address: they stay as they are.
// CHECK-LABEL: func.func public @hash
tt.func public @hash(%x: !tt.ptr<f32>) {
  %factor = arith.constant dense<1664525000> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  // CHECK: %[[INDEX:.*]] = arith.muli {{.*}} : tensor<16xi32>
  %offsets = arith.muli %i, %factor : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %offsets : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: "xsmt.gather"(%arg0, %[[INDEX]], %c0_i64, %c0_i64, %c16_i64)
  %v = tt.load %p : tensor<16x!tt.ptr<f32>>
  tt.store %p, %v : tensor<16x!tt.ptr<f32>>
  tt.return
}

// Pointers to i1 are pointers to bytes.
// CHECK-LABEL: func.func public @bytes
tt.func public @bytes(%x: !tt.ptr<i1>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i1> -> tensor<16x!tt.ptr<i1>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<i1>>, tensor<16xi32>
  // CHECK: %[[BYTES:.*]] = "xsmt.descriptor_load"(%arg0, {{.*}} -> tensor<16xi8>
  // CHECK: %[[BITS:.*]] = arith.cmpi ne, %[[BYTES]],
  %v = tt.load %p : tensor<16x!tt.ptr<i1>>
  // CHECK: %[[OUT:.*]] = arith.extui %[[BITS]] : tensor<16xi1> to tensor<16xi8>
  // CHECK: "xsmt.descriptor_store"(%arg0, %[[OUT]],
  tt.store %p, %v : tensor<16x!tt.ptr<i1>>
  tt.return
}

// A pointer cast changes the unit of strides and offset.
// CHECK-LABEL: func.func public @cast
tt.func public @cast(%x: !tt.ptr<i32>, %n: i32) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %o = arith.addi %i, %s : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %base, %o : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  %q = tt.bitcast %p : tensor<16x!tt.ptr<i32>> -> tensor<16x!tt.ptr<i8>>
  // CHECK: %[[BASE:.*]] = llvm.getelementptr %arg0[{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, i8
  // CHECK: "xsmt.descriptor_load"(%[[BASE]], %c4_i64, %c0_i64, %c16_i64)
  %v = tt.load %q : tensor<16x!tt.ptr<i8>>
  tt.store %q, %v : tensor<16x!tt.ptr<i8>>
  tt.return
}

// What is stored with the cache modifier ".cs" is not read again soon.
// CHECK-LABEL: func.func public @streaming
tt.func public @streaming(%x: !tt.ptr<i32>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: "xsmt.descriptor_store"{{.*}} streams}
  tt.store %p, %i {cachePolicy = #tt.cache_policy<cache_modifier = cs, eviction_policy = evict_normal>} : tensor<16x!tt.ptr<i32>>
  // CHECK: "xsmt.descriptor_store"
  // CHECK-NOT: streams
  tt.store %p, %i {cachePolicy = #tt.cache_policy<cache_modifier = wt, eviction_policy = evict_normal>} : tensor<16x!tt.ptr<i32>>
  tt.return
}

// Quotients and remainders of indices, `pid * 32 + i` by 96: 32 divides both, so no block begins anew, and all of it has one quotient.
// CHECK-LABEL: func.func public @rows_of_a_flat_index
tt.func public @rows_of_a_flat_index(%x: !tt.ptr<f32>) {
  %c32 = arith.constant 32 : i32
  %c96 = arith.constant dense<96> : tensor<32xi32>
  %c100 = arith.constant dense<100> : tensor<32xi32>
  %pid = tt.get_program_id x : i32
  %small = arith.andi %pid, %c32 : i32
  %start = arith.muli %small, %c32 : i32
  %range = tt.make_range {end = 32 : i32, start = 0 : i32} : tensor<32xi32>
  %s = tt.splat %start : i32 -> tensor<32xi32>
  %flat = arith.addi %s, %range : tensor<32xi32>
  %row = arith.divsi %flat, %c96 : tensor<32xi32>
  %column = arith.remsi %flat, %c96 : tensor<32xi32>
  %offset = arith.muli %row, %c100 : tensor<32xi32>
  %place = arith.addi %offset, %column : tensor<32xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<32x!tt.ptr<f32>>
  %p = tt.addptr %base, %place : tensor<32x!tt.ptr<f32>>, tensor<32xi32>
  // CHECK-NOT: tensor<32xi32>
  // CHECK-DAG: arith.divsi %{{.*}}, %c96_i64 : i64
  // CHECK-DAG: arith.remsi %{{.*}}, %c96_i64 : i64
  // CHECK: "xsmt.descriptor_store"
  %v = arith.constant dense<0.0> : tensor<32xf32>
  tt.store %p, %v : tensor<32x!tt.ptr<f32>>
  tt.return
}

// By 80, which 32 does not divide: 64 + i begins anew at 80, within a block.
// CHECK-LABEL: func.func public @begins_anew
tt.func public @begins_anew(%x: !tt.ptr<f32>) {
  %c32 = arith.constant 32 : i32
  %c80 = arith.constant dense<80> : tensor<32xi32>
  %pid = tt.get_program_id x : i32
  %small = arith.andi %pid, %c32 : i32
  %start = arith.muli %small, %c32 : i32
  %range = tt.make_range {end = 32 : i32, start = 0 : i32} : tensor<32xi32>
  %s = tt.splat %start : i32 -> tensor<32xi32>
  %flat = arith.addi %s, %range : tensor<32xi32>
  // CHECK: arith.remsi %{{.*}} : tensor<32xi32>
  // CHECK: "xsmt.scatter"
  %column = arith.remsi %flat, %c80 : tensor<32xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<32x!tt.ptr<f32>>
  %p = tt.addptr %base, %column : tensor<32x!tt.ptr<f32>>, tensor<32xi32>
  %v = arith.constant dense<0.0> : tensor<32xf32>
  tt.store %p, %v : tensor<32x!tt.ptr<f32>>
  tt.return
}

// By 32 of what may be negative: the machine rounds towards zero, so -1 / 32 is 0 and -33 / 32 is -1.
// CHECK-LABEL: func.func public @may_be_negative
tt.func public @may_be_negative(%x: !tt.ptr<f32>, %n: i32) {
  %c32 = arith.constant 32 : i32
  %d = arith.constant dense<32> : tensor<32xi32>
  %start = arith.muli %n, %c32 : i32
  %range = tt.make_range {end = 32 : i32, start = 0 : i32} : tensor<32xi32>
  %s = tt.splat %start : i32 -> tensor<32xi32>
  %flat = arith.addi %s, %range : tensor<32xi32>
  // CHECK: arith.divsi %{{.*}} : tensor<32xi32>
  // CHECK: "xsmt.scatter"
  %row = arith.divsi %flat, %d : tensor<32xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<32x!tt.ptr<f32>>
  %p = tt.addptr %base, %row : tensor<32x!tt.ptr<f32>>, tensor<32xi32>
  %v = arith.constant dense<0.0> : tensor<32xf32>
  tt.store %p, %v : tensor<32x!tt.ptr<f32>>
  tt.return
}
