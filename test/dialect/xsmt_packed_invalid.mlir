// RUN: triton-spacemit-opt %s --split-input-file --verify-diagnostics

// A view has a base and two offsets.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have 3 operand(s) and 1 result(s)}}
  %0 = "xsmt.pack"(%m, %i) : (tensor<8x8xf32>, i32) -> tensor<2x2x4x4xf32>
  return
}

// -----

// A product has two factors.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have 2 or 3 operand(s) and 1 result(s)}}
  %0 = "xsmt.mmt4d"(%t) {transposed = false} : (tensor<2x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// A matrix is packed.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs a static block of rank 2, got tensor<2x2x4x4xf32>}}
  %0 = "xsmt.pack"(%t, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Into tiles.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs a static block of rank 4, got tensor<8x8xf32>}}
  %0 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<8x8xf32>
  return
}

// -----

// What is unpacked is packed.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs a static block of rank 4, got tensor<8x8xf32>}}
  %0 = "xsmt.unpack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<8x8xf32>
  return
}

// -----

// Tiles are repacked.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs a static block of rank 4, got f32}}
  %0 = "xsmt.repack"(%s, %i, %i) : (f32, i32, i32) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Shapes are static.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs a static block of rank 4, got tensor<?x2x4x4xf32>}}
  %0 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<?x2x4x4xf32>
  return
}

// -----

// Blocks have elements.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs extents of at least 1, got tensor<0x2x4x4xf32>}}
  %0 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<0x2x4x4xf32>
  return
}

// -----

// Views keep the type of elements.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have one element type, got f32 and f16}}
  %0 = "xsmt.pack"(%m, %i, %i) : (tensor<8x8xf32>, i32, i32) -> tensor<2x2x4x4xf16>
  return
}

// -----

// Offsets are i32.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{an offset must be i32, got i64}}
  %0 = "xsmt.pack"(%m, %h, %i) : (tensor<8x8xf32>, i64, i32) -> tensor<2x2x4x4xf32>
  return
}

// -----

// A part keeps the tile.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must keep the tile [4, 4], got [2, 4]}}
  %0 = "xsmt.subview"(%t, %i, %i) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<2x2x2x4xf32>
  return
}

// -----

// A part begins with a tile.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  %c3 = arith.constant 3 : i32
  // expected-error@+1 {{an offset into tiles must be a multiple of their 4, got 3}}
  %0 = "xsmt.subview"(%t, %i, %c3) : (tensor<2x2x4x4xf32>, i32, i32) -> tensor<1x1x4x4xf32>
  return
}

// -----

// Which form B has is said.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{transposed must be a boolean, got None}}
  %0 = "xsmt.mmt4d"(%t, %t) : (tensor<2x2x4x4xf32>, tensor<2x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Doubles are not multiplied.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{multiplies f16, bf16, f32, i8 and i16, not f64}}
  %0 = "xsmt.mmt4d"(%d, %d) {transposed = false} : (tensor<2x2x4x4xf64>, tensor<2x2x4x4xf64>) -> tensor<2x2x4x4xf64>
  return
}

// -----

// Factors have one type.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have one element type, got f32 and f64}}
  %0 = "xsmt.mmt4d"(%t, %d) {transposed = false} : (tensor<2x2x4x4xf32>, tensor<2x2x4x4xf64>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Factors meet along k.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{cannot contract tensor<2x2x4x4xf32> with tensor<3x2x4x4xf32>}}
  %0 = "xsmt.mmt4d"(%t, %w) {transposed = false} : (tensor<2x2x4x4xf32>, tensor<3x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// The result has the factors' extents.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{result must be 2x3x4x4xf32, got tensor<2x2x4x4xf32>}}
  %0 = "xsmt.mmt4d"(%t, %w) {transposed = true} : (tensor<2x2x4x4xf32>, tensor<3x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Bytes give words.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{result must be 2x2x4x4xi32, got tensor<2x2x4x4xi8>}}
  %0 = "xsmt.mmt4d"(%b, %b) {transposed = false} : (tensor<2x2x4x4xi8>, tensor<2x2x4x4xi8>) -> tensor<2x2x4x4xi8>
  return
}

// -----

// The accumulator is like the result.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{accumulator must be tensor<2x2x4x4xf32>, got tensor<3x2x4x4xf32>}}
  %0 = "xsmt.mmt4d"(%t, %t, %w) {transposed = false} : (tensor<2x2x4x4xf32>, tensor<2x2x4x4xf32>, tensor<3x2x4x4xf32>) -> tensor<2x2x4x4xf32>
  return
}

// -----

// Hints are on blocks.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{is on a block, got f32}}
  "xsmt.annotation"(%s) {hint = "mr", value = 8 : i32} : (f32) -> ()
  return
}

// -----

// Hints have names.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{hint must be one of lhs_first, mr, nr, kr, mt, nt, kt, mb, nb, kb; got "speed"}}
  "xsmt.annotation"(%t) {hint = "speed", value = 8 : i32} : (tensor<2x2x4x4xf32>) -> ()
  return
}

// -----

// And numbers.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{value must be an integer, got None}}
  "xsmt.annotation"(%t) {hint = "mr"} : (tensor<2x2x4x4xf32>) -> ()
  return
}

// -----

// Memory has a size.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{size must be a positive number of elements, got 0 : i64}}
  %0 = "xsmt.alloc"() {size = 0 : i64, element = f32, storage = "l2"} : () -> !llvm.ptr
  return
}

// -----

// Memory holds elements.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{element must be a type that memory holds, got None}}
  %0 = "xsmt.alloc"() {size = 8 : i64, storage = "l2"} : () -> !llvm.ptr
  return
}

// -----

// Memory is pointed to.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{result must be !llvm.ptr or !tt.ptr<f32>, got !tt.ptr<f16>}}
  %0 = "xsmt.alloc"() {size = 8 : i64, element = f32, storage = "l2"} : () -> !tt.ptr<f16>
  return
}

// -----

// There are three kinds of memory.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{storage must be one of l2, tcm, stack; got "l9"}}
  %0 = "xsmt.alloc"() {size = 8 : i64, element = f32, storage = "l9"} : () -> !llvm.ptr
  return
}

// -----

// A barrier has four counts.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have 4 operand(s) and 1 result(s)}}
  %0 = "xsmt.mbarrier"(%i) {copies = 1 : i32} : (i32) -> i64
  return
}

// -----

// There is at least one barrier.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{copies must be a positive number, got 0 : i32}}
  %0 = "xsmt.mbarrier"(%i, %i, %i, %i) {copies = 0 : i32} : (i32, i32, i32, i32) -> i64
  return
}

// -----

// Counts are i32.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{a count must be i32, got i64}}
  %0 = "xsmt.mbarrier"(%i, %i, %i, %h) {copies = 1 : i32} : (i32, i32, i32, i64) -> i64
  return
}

// -----

// Barriers are i64.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{a barrier must be i64, got i32}}
  %0 = "xsmt.mbarrier"(%i, %i, %i, %i) {copies = 1 : i32} : (i32, i32, i32, i32) -> i32
  return
}

// -----

// Barriers have numbers.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{id must be i32, got i64}}
  %0 = "xsmt.global_mbarrier"(%h) : (i64) -> i64
  return
}

// -----

// Barriers are counted in i32.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{index must be i32, got i64}}
  %0 = "xsmt.barrier_at"(%h, %h) : (i64, i64) -> i64
  return
}

// -----

// Who arrives names a barrier.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{a barrier must be i64, got i32}}
  "xsmt.barrier_arrive"(%i) : (i32) -> ()
  return
}

// -----

// Who waits says for what.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{a count must be i32, got i64}}
  "xsmt.barrier_wait"(%h, %h, %i) : (i64, i64, i32) -> ()
  return
}

// -----

// Arrivals are counted in i32.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{a count must be i32, got f32}}
  "xsmt.barrier_set_expect"(%h, %s) : (i64, f32) -> ()
  return
}

// -----

// Threads are counted in i32.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{result must be i32, got i64}}
  %0 = "xsmt.get_num_of_thread"() : () -> i64
  return
}

// -----

// An iteration ends inside of its loop.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must end the body of xsmt.parallel}}
  "xsmt.yield"() : () -> ()
}

// -----

// A parallel loop has a body.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have a body of one block}}
  "xsmt.parallel"(%i, %i, %i) ({}) {bind_sub_block = true} : (i32, i32, i32) -> ()
  return
}

// -----

// Whether iterations keep their threads is said.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{bind_sub_block must be a boolean, got None}}
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    "xsmt.yield"() : () -> ()
  }) : (i32, i32, i32) -> ()
  return
}

// -----

// Bounds and index have one type.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{needs bounds, a step and a body's one argument of one integer type, got i32, i32, i32, i64}}
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i64):
    "xsmt.yield"() : () -> ()
  }) {bind_sub_block = true} : (i32, i32, i32) -> ()
  return
}

// -----

// A body has an end of its own.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must end its body with xsmt.yield}}
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    "func.return"() : () -> ()
  }) {bind_sub_block = true} : (i32, i32, i32) -> ()
  return
}

// -----

// Nothing is carried.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  // expected-error@+1 {{must have 3 operand(s) and 0 result(s)}}
  "xsmt.parallel"(%i, %i, %i, %i) ({
  ^bb0(%j: i32):
    "xsmt.yield"() : () -> ()
  }) {bind_sub_block = true} : (i32, i32, i32, i32) -> ()
  return
}

// -----

// A barrier is made once.
func.func @invalid(%m: tensor<8x8xf32>, %t: tensor<2x2x4x4xf32>, %w: tensor<3x2x4x4xf32>, %d: tensor<2x2x4x4xf64>, %b: tensor<2x2x4x4xi8>, %s: f32, %i: i32, %h: i64) {
  "xsmt.parallel"(%i, %i, %i) ({
  ^bb0(%j: i32):
    // expected-error@+1 {{cannot be inside a loop: make the barrier before it}}
    %0 = "xsmt.mbarrier"(%i, %i, %i, %i) {copies = 1 : i32} : (i32, i32, i32, i32) -> i64
    "xsmt.yield"() : () -> ()
  }) {bind_sub_block = true} : (i32, i32, i32) -> ()
  return
}
