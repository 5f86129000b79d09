// RUN: triton-spacemit-opt %s --split-input-file --verify-diagnostics

// Operands are grouped.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{operandSegmentSizes must be 6 numbers}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i) {} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// Groups add up.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{operandSegmentSizes [1, 2, 1, 1, 0, 0] do not fit its 4 operands}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 2, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// There is just one base.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{operandSegmentSizes [2, 1, 1, 0, 0, 0] do not fit its 4 operands}}
  %0 = "xsmt.descriptor_load"(%p, %p, %i, %i) {operandSegmentSizes = array<i32: 2, 1, 1, 0, 0, 0>} : (!llvm.ptr, !llvm.ptr, i64, i64) -> tensor<8xf32>
  return
}

// -----

// A load has a result.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{must have 1 result(s), got 0}}
  "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> ()
  return
}

// -----

// A store has none.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{must have 0 result(s), got 1}}
  %0 = "xsmt.descriptor_store"(%p, %v, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// A load reads a block.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{result must be a ranked tensor, got f32}}
  %0 = "xsmt.descriptor_load"(%p) {operandSegmentSizes = array<i32: 1, 0, 0, 0, 0, 0>} : (!llvm.ptr) -> f32
  return
}

// -----

// So does a gather.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{result must be a ranked tensor, got f32}}
  %0 = "xsmt.gather"(%p, %x) {unit = 4 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0>} : (!llvm.ptr, tensor<8xi32>) -> f32
  return
}

// -----

// A store writes a block.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{value must be a ranked tensor, got f32}}
  "xsmt.descriptor_store"(%p, %s) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0>} : (!llvm.ptr, f32) -> ()
  return
}

// -----

// What is a word of its own has no value.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{streams must be a unit attribute, got 1 : i32}}
  "xsmt.descriptor_store"(%p, %v, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>, streams = 1 : i32} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> ()
  return
}

// -----

// So does a scatter.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{value must be a ranked tensor, got f32}}
  "xsmt.scatter"(%p, %x, %s) {unit = 4 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0>} : (!llvm.ptr, tensor<8xi32>, f32) -> ()
  return
}

// -----

// Extents are known.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{needs a static shape, got tensor<?xf32>}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<?xf32>
  return
}

// -----

// Elements are numbers.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{cannot access elements of type !llvm.ptr}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8x!llvm.ptr>
  return
}

// -----

// The base is a pointer.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{base must be !llvm.ptr, got i64}}
  %0 = "xsmt.descriptor_load"(%i, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (i64, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// One stride a dimension.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{needs one of strides for each of the 1 dimensions of tensor<8xf32>, got 2}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 2, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// One bound a dimension.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{needs one of upper for each of the 2 dimensions of tensor<2x4xf32>, got 1}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 2, 2, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64) -> tensor<2x4xf32>
  return
}

// -----

// Bounds are i64.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{lower must be i64, got i32}}
  %0 = "xsmt.descriptor_load"(%p, %i, %n, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i32, i64) -> tensor<8xf32>
  return
}

// -----

// A mask covers the block.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{mask must be i1 of the shape of tensor<4xf32>, got tensor<8xi1>}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %m) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, i64, i64, i64, tensor<8xi1>) -> tensor<4xf32>
  return
}

// -----

// A mask is made of i1.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{mask must be i1 of the shape of tensor<8xf32>, got tensor<8xi32>}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %x) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, i64, i64, i64, tensor<8xi32>) -> tensor<8xf32>
  return
}

// -----

// An index covers the block.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{index must be i32 or i64 of the shape of tensor<4xf32>, got tensor<8xi32>}}
  %0 = "xsmt.gather"(%p, %x, %i, %i, %i) {unit = 4 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, tensor<8xi32>, i64, i64, i64) -> tensor<4xf32>
  return
}

// -----

// An index is made of integers.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{index must be i32 or i64 of the shape of tensor<8xf32>, got tensor<8xf32>}}
  "xsmt.scatter"(%p, %v, %v, %i, %i, %i) {unit = 4 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, tensor<8xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Padding is like the result.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{other must be tensor<8xf32> or its element, got i32}}
  %0 = "xsmt.descriptor_load"(%p, %i, %i, %i, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, i32) -> tensor<8xf32>
  return
}

// -----

// A unit is at least one byte.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{unit must be a positive integer of bytes, got 0 : i64}}
  %0 = "xsmt.gather"(%p, %x, %i, %i, %i) {unit = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, tensor<8xi32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// An index needs a unit.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{unit must be a positive integer of bytes, got None}}
  "xsmt.scatter"(%p, %x, %v, %i, %i, %i) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xi32>, tensor<8xf32>, i64, i64, i64) -> ()
  return
}

// -----

// Kinds are known.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{kind must be one of and, or, xor, add, fadd, max, min, umax, umin, xchg, fmax, fmin; got "nand"}}
  %0 = "xsmt.atomic_rmw"(%p, %v, %i, %i, %i) {kind = "nand", order = "relaxed", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// Kinds are strings.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{got 5 : i32}}
  %0 = "xsmt.atomic_rmw"(%p, %v, %i, %i, %i) {kind = 5 : i32, order = "relaxed", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// Orders are known.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{order must be one of relaxed, acquire, release, acq_rel; got "seq_cst"}}
  %0 = "xsmt.atomic_rmw"(%p, %v, %i, %i, %i) {kind = "fadd", order = "seq_cst", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// The old value is of the new one's type.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{result must be of the value's type tensor<8xf32>, got tensor<8xi32>}}
  %0 = "xsmt.atomic_rmw"(%p, %v, %i, %i, %i) {kind = "fadd", order = "relaxed", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> tensor<8xi32>
  return
}

// -----

// A scalar has no strides.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{needs one of strides for each of the 0 dimensions of f32, got 1}}
  %0 = "xsmt.atomic_rmw"(%p, %s, %i) {kind = "fadd", order = "relaxed", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 0, 0, 0>} : (!llvm.ptr, f32, i64) -> f32
  return
}

// -----

// Values of a compare and swap are of one type.
func.func @invalid(%p: !llvm.ptr, %i: i64, %n: i32, %v: tensor<8xf32>, %m: tensor<8xi1>, %x: tensor<8xi32>, %s: f32) {
  // expected-error@+1 {{compare must be of the value's type tensor<8xf32>, got tensor<8xi32>}}
  %0 = "xsmt.atomic_cas"(%p, %x, %v, %i, %i, %i) {order = "relaxed", unit = 4 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 1, 0>} : (!llvm.ptr, tensor<8xi32>, tensor<8xf32>, i64, i64, i64) -> tensor<8xf32>
  return
}

// -----

// A poll says for each element whether it was seen.
func.func @poll(%p: !llvm.ptr, %v: i32) {
  // expected-error@+1 {{result must be i1 of the shape of i32, got i32}}
  %0 = "xsmt.atomic_poll"(%p, %v) {order = "relaxed", unit = 1 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 0, 0>} : (!llvm.ptr, i32) -> i32
  return
}

// -----

// Time is counted in 64 bits.
func.func @poll(%p: !llvm.ptr, %v: i32) {
  // expected-error@+1 {{timeout must be i64, got i32}}
  %0 = "xsmt.atomic_poll"(%p, %v, %v) {order = "relaxed", unit = 1 : i64, operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 0, 1>} : (!llvm.ptr, i32, i32) -> i1
  return
}
