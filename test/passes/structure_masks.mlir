// RUN: triton-spacemit-opt %s --structure --canonicalize --cse | filecheck %s

// Several comparisons on one dimension: the greatest lower and the least upper bound. A lower bound of the coordinate 3 + i.
// CHECK-LABEL: func.func public @both_sides
tt.func public @both_sides(%x: !tt.ptr<f32>, %lo: i64, %hi: i64) {
  %i = tt.make_range {end = 19 : i32, start = 3 : i32} : tensor<16xi32>
  %w = arith.extsi %i : tensor<16xi32> to tensor<16xi64>
  %l = tt.splat %lo : i64 -> tensor<16xi64>
  %h = tt.splat %hi : i64 -> tensor<16xi64>
  %c10 = arith.constant dense<10> : tensor<16xi64>
  // A limit of 64 bits cannot make the difference wrap around.
  // CHECK: %[[LO0:.*]] = arith.maxsi %arg1, %c-4611686018427387904_i64
  // CHECK: %[[LO:.*]] = arith.minsi %[[LO0]], %c4611686018427387904_i64
  // CHECK: %[[LOWER:.*]] = arith.addi %[[LO]], %c-3_i64 : i64
  // CHECK: %[[HI0:.*]] = arith.maxsi %arg2, %c-4611686018427387904_i64
  // CHECK: %[[HI:.*]] = arith.minsi %[[HI0]], %c4611686018427387904_i64
  // CHECK: %[[H:.*]] = arith.addi %[[HI]], %c-2_i64 : i64
  // CHECK: %[[UPPER:.*]] = arith.minsi %[[H]], %c7_i64 : i64
  %a = arith.cmpi sge, %w, %l : tensor<16xi64>
  %b = arith.cmpi sle, %w, %h : tensor<16xi64>
  %c = arith.cmpi sgt, %c10, %w : tensor<16xi64>
  %ab = arith.andi %a, %b : tensor<16xi1>
  %mask = arith.andi %ab, %c : tensor<16xi1>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: "xsmt.descriptor_load"({{.*}}, %c1_i64, %[[LOWER]], %[[UPPER]])
  %v = tt.load %p, %mask : tensor<16x!tt.ptr<f32>>
  tt.store %p, %v : tensor<16x!tt.ptr<f32>>
  tt.return
}

// A multiple of the coordinate: 3 * i < n is i < floor((n - 1) / 3) + 1, and 20 - 4 * i >= 8 is i < 4.
// CHECK-LABEL: func.func public @multiples
tt.func public @multiples(%x: !tt.ptr<f32>, %n: i64) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %w = arith.extsi %i : tensor<16xi32> to tensor<16xi64>
  %c3 = arith.constant dense<3> : tensor<16xi64>
  %m = arith.muli %w, %c3 : tensor<16xi64>
  %limit = tt.splat %n : i64 -> tensor<16xi64>
  %a = arith.cmpi slt, %m, %limit : tensor<16xi64>
  %c4 = arith.constant dense<4> : tensor<16xi32>
  %c8 = arith.constant dense<8> : tensor<16xi32>
  %c20 = arith.constant dense<20> : tensor<16xi32>
  %m4 = arith.muli %i, %c4 : tensor<16xi32>
  %d = arith.subi %c20, %m4 : tensor<16xi32>
  %b = arith.cmpi sge, %d, %c8 : tensor<16xi32>
  // CHECK: %[[N0:.*]] = arith.maxsi %arg1, %c-4611686018427387904_i64
  // CHECK: %[[N:.*]] = arith.minsi %[[N0]], %c4611686018427387904_i64
  // CHECK: %[[LAST:.*]] = arith.addi %[[N]], %c-1_i64
  // CHECK: %[[FLOOR:.*]] = arith.floordivsi %[[LAST]], %c3_i64
  // CHECK: %[[UPPER:.*]] = arith.addi %[[FLOOR]], %c1_i64
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: "xsmt.descriptor_load"(%arg0, %c1_i64, %c0_i64, %[[UPPER]])
  %v = tt.load %p, %a : tensor<16x!tt.ptr<f32>>
  // CHECK: "xsmt.descriptor_store"(%arg0, {{.*}}, %c1_i64, %c0_i64, %c4_i64)
  tt.store %p, %v, %b : tensor<16x!tt.ptr<f32>>
  tt.return
}

// Equality bounds from both sides; an unsigned comparison also from below, its limit zero-extended.
// CHECK-LABEL: func.func public @equal_and_unsigned
tt.func public @equal_and_unsigned(%x: !tt.ptr<f32>, %n: i32) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %a = arith.cmpi eq, %i, %s : tensor<16xi32>
  %b = arith.cmpi ult, %i, %s : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK-DAG: %[[N:.*]] = arith.extsi %arg1
  // CHECK-DAG: %[[NEXT:.*]] = arith.addi %[[N]], %c1_i64
  // CHECK-DAG: %[[U:.*]] = arith.extui %arg1
  // CHECK: "xsmt.descriptor_load"(%arg0, %c1_i64, %[[N]], %[[NEXT]])
  %v = tt.load %p, %a : tensor<16x!tt.ptr<f32>>
  // CHECK: "xsmt.descriptor_store"(%arg0, {{.*}}, %c1_i64, %c0_i64, %[[U]])
  tt.store %p, %v, %b : tensor<16x!tt.ptr<f32>>
  tt.return
}

// A scalar condition empties the block through a bound.
// CHECK-LABEL: func.func public @condition
tt.func public @condition(%x: !tt.ptr<f32>, %on: i1, %n: i32) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %a = arith.cmpi slt, %i, %s : tensor<16xi32>
  %b = tt.splat %on : i1 -> tensor<16xi1>
  %mask = arith.andi %a, %b : tensor<16xi1>
  // CHECK: %[[N:.*]] = arith.extsi %arg2
  // CHECK: %[[UPPER:.*]] = arith.select %arg1, %[[N]], %c0_i64
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  // CHECK: "xsmt.descriptor_load"(%arg0, %c1_i64, %c0_i64, %[[UPPER]])
  %v = tt.load %p, %mask : tensor<16x!tt.ptr<f32>>
  // CHECK: "xsmt.descriptor_store"(%arg0, {{.*}}, %c1_i64, %c0_i64, %c0_i64)
  %false = arith.constant dense<false> : tensor<16xi1>
  tt.store %p, %v, %false : tensor<16x!tt.ptr<f32>>
  tt.return
}

// A comparison of two dimensions stays a mask; the bound beside it does not.
// CHECK-LABEL: func.func public @causal
tt.func public @causal(%x: !tt.ptr<f32>, %n: i32) {
  %i = tt.make_range {end = 8 : i32, start = 0 : i32} : tensor<8xi32>
  %r = tt.expand_dims %i {axis = 1 : i32} : tensor<8xi32> -> tensor<8x1xi32>
  %c = tt.expand_dims %i {axis = 0 : i32} : tensor<8xi32> -> tensor<1x8xi32>
  %s = tt.splat %n : i32 -> tensor<1x8xi32>
  %inside = arith.cmpi slt, %c, %s : tensor<1x8xi32>
  %rows = tt.broadcast %r : tensor<8x1xi32> -> tensor<8x8xi32>
  %columns = tt.broadcast %c : tensor<1x8xi32> -> tensor<8x8xi32>
  // CHECK: %[[N:.*]] = arith.extsi %arg1
  // CHECK: %[[MASK:.*]] = arith.cmpi sge, {{.*}} : tensor<8x8xi32>
  %causal = arith.cmpi sge, %rows, %columns : tensor<8x8xi32>
  %all = tt.broadcast %inside : tensor<1x8xi1> -> tensor<8x8xi1>
  // CHECK-NOT: arith.andi
  %mask = arith.andi %causal, %all : tensor<8x8xi1>
  %base = tt.splat %x : !tt.ptr<f32> -> tensor<8x8x!tt.ptr<f32>>
  %p = tt.addptr %base, %columns : tensor<8x8x!tt.ptr<f32>>, tensor<8x8xi32>
  // CHECK: "xsmt.descriptor_load"(%arg0, %c0_i64, %c1_i64, %c0_i64, %c0_i64, %c8_i64, %[[N]], %[[MASK]])
  %v = tt.load %p, %mask : tensor<8x8x!tt.ptr<f32>>
  // A disjunction is no bound at all.
  // CHECK: %[[EITHER:.*]] = arith.ori
  // CHECK: "xsmt.descriptor_store"({{.*}}, %c8_i64, %c8_i64, %[[EITHER]])
  %either = arith.ori %causal, %all : tensor<8x8xi1>
  tt.store %p, %v, %either : tensor<8x8x!tt.ptr<f32>>
  tt.return
}

// Comparisons with what is not affine, or with a stride that is not known, stay masks too.
// CHECK-LABEL: func.func public @left_alone
tt.func public @left_alone(%x: !tt.ptr<i32>, %n: i32, %stride: i32) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %limit = tt.splat %n : i32 -> tensor<16xi32>
  %s = tt.splat %stride : i32 -> tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %p = tt.addptr %base, %i : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  %o = arith.muli %i, %s : tensor<16xi32>
  // CHECK: %[[A:.*]] = arith.cmpi slt
  %a = arith.cmpi slt, %o, %limit : tensor<16xi32>
  // CHECK: "xsmt.descriptor_load"(%arg0, %c1_i64, %c0_i64, %c16_i64, %[[A]])
  %v = tt.load %p, %a : tensor<16x!tt.ptr<i32>>
  // CHECK: %[[B:.*]] = arith.cmpi ne
  %b = arith.cmpi ne, %v, %limit : tensor<16xi32>
  // CHECK: "xsmt.descriptor_store"(%arg0, {{.*}}, %c16_i64, %[[B]])
  tt.store %p, %v, %b : tensor<16x!tt.ptr<i32>>
  tt.return
}

// What is known not to be negative needs no lower bound: a program id, the index of a loop. A product of them may have wrapped around.
// CHECK-LABEL: func.func public @natural
tt.func public @natural(%x: !tt.ptr<i32>, %n: i32, %v: tensor<16xi32>) {
  %c0 = arith.constant 0 : i32
  %c16 = arith.constant 16 : i32
  %zero = arith.constant dense<0> : tensor<16xi32>
  %pid = tt.get_program_id x : i32
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  scf.for %k = %c0 to %n step %c16 : i32 {
    %block = tt.splat %k : i32 -> tensor<16xi32>
    %index = arith.addi %i, %block : tensor<16xi32>
    %p = tt.addptr %base, %index : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
    %inside = arith.cmpi sge, %index, %zero : tensor<16xi32>
    // CHECK: "xsmt.descriptor_store"({{.*}}, %c1_i64, %c0_i64, %c16_i64)
    tt.store %p, %v, %inside : tensor<16x!tt.ptr<i32>>
  }
  %first = arith.muli %pid, %c16 : i32
  %block = tt.splat %first : i32 -> tensor<16xi32>
  %index = arith.addi %i, %block : tensor<16xi32>
  %p = tt.addptr %base, %index : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  %inside = arith.cmpi sge, %index, %zero : tensor<16xi32>
  // CHECK: %[[LOW:.*]] = arith.subi %c0_i64
  // CHECK: "xsmt.descriptor_store"({{.*}}, %c1_i64, %[[LOW]], %c16_i64)
  tt.store %p, %v, %inside : tensor<16x!tt.ptr<i32>>
  tt.return
}

// A multiple of 16 is at most 2^31 - 16, so 16 elements from there on do not wrap around: there are bounds alone.
// CHECK-LABEL: func.func public @multiple_of_the_block
tt.func public @multiple_of_the_block(%x: !tt.ptr<i32>, %n: i32, %start: i32 {tt.divisibility = 16 : i32}, %v: tensor<16xi32>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %limit = tt.splat %n : i32 -> tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %block = tt.splat %start : i32 -> tensor<16xi32>
  %index = arith.addi %i, %block : tensor<16xi32>
  %mask = arith.cmpi slt, %index, %limit : tensor<16xi32>
  %p = tt.addptr %base, %index : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[UPPER:.*]] = arith.subi
  // CHECK: "xsmt.descriptor_store"({{.*}}, %c1_i64, %c0_i64, %[[UPPER]]) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}
  tt.store %p, %v, %mask : tensor<16x!tt.ptr<i32>>
  tt.return
}

// Any other start may be too large: where it is, there is no bound, and the comparison counts.
// CHECK-LABEL: func.func public @any_start
tt.func public @any_start(%x: !tt.ptr<i32>, %n: i32, %start: i32 {tt.divisibility = 8 : i32}, %v: tensor<16xi32>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %limit = tt.splat %n : i32 -> tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %block = tt.splat %start : i32 -> tensor<16xi32>
  %index = arith.addi %i, %block : tensor<16xi32>
  %mask = arith.cmpi slt, %index, %limit : tensor<16xi32>
  %p = tt.addptr %base, %index : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[START:.*]] = arith.extsi %arg2
  // CHECK: %[[FITS:.*]] = arith.cmpi sle, %[[START]], %c2147483632_i64
  // CHECK: %[[BOUND:.*]] = arith.subi %{{.*}}, %[[START]]
  // CHECK: %[[UPPER:.*]] = arith.select %[[FITS]], %[[BOUND]], %c16_i64
  // CHECK: %[[BELOW:.*]] = arith.cmpi slt, {{.*}} : tensor<16xi32>
  // CHECK: %[[ALL:.*]] = "tt.splat"(%[[FITS]])
  // CHECK: %[[MASK:.*]] = arith.ori %[[ALL]], %[[BELOW]]
  // CHECK: "xsmt.descriptor_store"({{.*}}, %c1_i64, %c0_i64, %[[UPPER]], %[[MASK]])
  tt.store %p, %v, %mask : tensor<16x!tt.ptr<i32>>
  tt.return
}

// An unsigned limit above 2^31 is none of a number that may be negative.
// CHECK-LABEL: func.func public @unsigned_limit
tt.func public @unsigned_limit(%x: !tt.ptr<i32>, %n: i32, %start: i32 {tt.divisibility = 16 : i32}, %v: tensor<16xi32>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %limit = tt.splat %n : i32 -> tensor<16xi32>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %block = tt.splat %start : i32 -> tensor<16xi32>
  %index = arith.addi %i, %block : tensor<16xi32>
  %mask = arith.cmpi ult, %index, %limit : tensor<16xi32>
  %p = tt.addptr %base, %index : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[NATURAL:.*]] = arith.cmpi sge, %{{.*}}, %c0_i64
  // CHECK: arith.select %[[NATURAL]], %{{.*}}, %c0_i64
  // CHECK: arith.select %[[NATURAL]], %{{.*}}, %c16_i64
  // CHECK: "xsmt.descriptor_store"({{.*}}, %{{.*}}) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1>}
  tt.store %p, %v, %mask : tensor<16x!tt.ptr<i32>>
  tt.return
}

// Zero-extension keeps what is not negative, truncation what fits; anything else stays a mask, or an index.
// CHECK-LABEL: func.func public @casts
tt.func public @casts(%x: !tt.ptr<i32>, %n: i64, %start: i32, %v: tensor<16xi32>) {
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %c3 = arith.constant dense<3> : tensor<16xi64>
  %big = arith.constant dense<200000000> : tensor<16xi64>
  %limit = tt.splat %n : i64 -> tensor<16xi64>
  %base = tt.splat %x : !tt.ptr<i32> -> tensor<16x!tt.ptr<i32>>
  %wide = arith.extui %i : tensor<16xi32> to tensor<16xi64>
  %triple = arith.muli %wide, %c3 : tensor<16xi64>
  %narrow = arith.trunci %triple : tensor<16xi64> to tensor<16xi32>
  %p = tt.addptr %base, %narrow : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  %inside = arith.cmpi slt, %wide, %limit : tensor<16xi64>
  // CHECK: "xsmt.descriptor_store"(%arg0, %{{.*}}, %c3_i64, %c0_i64, %{{.*}}) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}
  tt.store %p, %v, %inside : tensor<16x!tt.ptr<i32>>
  %block = tt.splat %start : i32 -> tensor<16xi32>
  %index = arith.subi %i, %block : tensor<16xi32>
  %unsigned = arith.extui %index : tensor<16xi32> to tensor<16xi64>
  %below = arith.cmpi slt, %unsigned, %limit : tensor<16xi64>
  %product = arith.muli %wide, %big : tensor<16xi64>
  %cut = arith.trunci %product : tensor<16xi64> to tensor<16xi32>
  %q = tt.addptr %base, %cut : tensor<16x!tt.ptr<i32>>, tensor<16xi32>
  // CHECK: %[[BELOW:.*]] = arith.cmpi slt, {{.*}} : tensor<16xi64>
  // CHECK: "xsmt.scatter"(%arg0, %{{.*}}, %{{.*}}, %c0_i64, %c0_i64, %c16_i64, %[[BELOW]])
  tt.store %q, %v, %below : tensor<16x!tt.ptr<i32>>
  tt.return
}
