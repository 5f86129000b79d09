// RUN: triton-spacemit-opt %s --split-input-file --verify-diagnostics

// Every op has its number of operands.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.splat' op cannot have 0 operands and 1 results}}
  %0 = "tt.splat"() : () -> tensor<8xi32>
  return
}

// -----

// A range is as long as its numbers say.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.make_range' op needs an i32 block of as many elements as lie from `start` to `end`; it has}}
  %0 = "tt.make_range"() {start = 0 : i32, end = 4 : i32} : () -> tensor<8xi32>
  return
}

// -----

// It has both numbers.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.make_range' op needs an i32 block of as many elements as lie from `start` to `end`; it has}}
  %0 = "tt.make_range"() {end = 8 : i32} : () -> tensor<8xi32>
  return
}

// -----

// A splat repeats its operand.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.splat' op needs a block of the scalar's type; it has}}
  %0 = "tt.splat"(%n) : (i32) -> tensor<8xi64>
  return
}

// -----

// The new dimension lies within the result.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.expand_dims' op needs the same block with a dimension of one at `axis`; it has}}
  %0 = "tt.expand_dims"(%i) {axis = 2 : i32} : (tensor<8xi32>) -> tensor<8x1xi32>
  return
}

// -----

// Only extents of one are broadcast.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.broadcast' op needs the same elements in a shape that differs where the extent was one; it has}}
  %0 = "tt.broadcast"(%i) : (tensor<8xi32>) -> tensor<16xi32>
  return
}

// -----

// A reshape keeps the number of elements.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.reshape' op needs as many elements of the same type; it has}}
  %0 = "tt.reshape"(%i) : (tensor<8xi32>) -> tensor<4x4xi32>
  return
}

// -----

// A transposition has an order of all dimensions.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.trans' op needs the same block with its dimensions in the order `order`; it has}}
  %0 = "tt.trans"(%j) {order = array<i32: 1, 1>} : (tensor<4x2xi32>) -> tensor<2x4xi32>
  return
}

// -----

// A cast does not turn integers into pointers.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.bitcast' op needs one shape, and pointers on both sides or on none; it has}}
  %0 = "tt.bitcast"(%i) : (tensor<8xi32>) -> tensor<8x!tt.ptr<f32>>
  return
}

// -----

// Addresses are i64.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.int_to_ptr' op needs i64 and pointers in one shape; it has}}
  %0 = "tt.int_to_ptr"(%n) : (i32) -> !tt.ptr<f32>
  return
}

// -----

// In both directions.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.ptr_to_int' op needs i64 and pointers in one shape; it has}}
  %0 = "tt.ptr_to_int"(%x) : (!tt.ptr<f32>) -> i32
  return
}

// -----

// Offsets are integers of the pointers' shape.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.addptr' op needs pointers, integers in their shape, and a result of the pointers' type; it has}}
  %0 = "tt.addptr"(%p, %n) : (tensor<8x!tt.ptr<f32>>, i32) -> tensor<8x!tt.ptr<f32>>
  return
}

// -----

// A load gives what the pointer points to.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.load' op needs pointers to the values' type, with mask and `other` in their shape and counted by operandSegmentSizes; it has}}
  %0 = "tt.load"(%p) {isVolatile = false, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<8x!tt.ptr<f32>>) -> tensor<8xf16>
  return
}

// -----

// Its operands are grouped.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.load' op needs pointers to the values' type, with mask and `other` in their shape and counted by operandSegmentSizes; it has}}
  %0 = "tt.load"(%p, %m) {isVolatile = false, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<8x!tt.ptr<f32>>, tensor<8xi1>) -> tensor<8xf32>
  return
}

// -----

// A mask is made of i1.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.store' op needs pointers to the value's type, with the mask in their shape; it has}}
  "tt.store"(%p, %v, %i) : (tensor<8x!tt.ptr<f32>>, tensor<8xf32>, tensor<8xi32>) -> ()
  return
}

// -----

// Orders are known by number.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.atomic_load' op needs pointers to the result's type, with the mask in their shape, and a known order `sem`; it has}}
  %0 = "tt.atomic_load"(%p) {scope = 1 : i32, sem = 9 : i32} : (tensor<8x!tt.ptr<f32>>) -> tensor<8xf32>
  return
}

// -----

// So are kinds.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.atomic_rmw' op needs pointers to the value's type, with the mask in their shape, a known order `sem` and operation; it has}}
  %0 = "tt.atomic_rmw"(%p, %v) {scope = 1 : i32, sem = 1 : i32, atomic_rmw_op = 0 : i32} : (tensor<8x!tt.ptr<f32>>, tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// Pointers point to numbers.
func.func @invalid(%x: !tt.ptr<f32>, %i: tensor<8xi32>, %j: tensor<4x2xi32>, %p: tensor<8x!tt.ptr<f32>>, %m: tensor<8xi1>, %v: tensor<8xf32>, %n: i32, %l: i64) {
  // expected-error@below {{'tt.int_to_ptr' op with a pointer to index is not supported}}
  %0 = "tt.int_to_ptr"(%l) : (i64) -> !tt.ptr<index>
  return
}

// -----

// Grids have three axes.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.get_program_id' op needs an i32 and an `axis` of 0, 1 or 2; it has}}
  %0 = "tt.get_program_id"() {axis = 3 : i32} : () -> i32
  return
}

// -----

// A reduction has an axis of its operands.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.reduce' op needs blocks of one shape, a function of their elements that uses nothing but constants, and results without the dimension `axis`; it has}}
  %0 = "tt.reduce"(%x) ({
  ^bb0(%l: f32, %r: f32):
    "tt.reduce.return"(%l) : (f32) -> ()
  }) {axis = 1 : i32} : (tensor<8xf32>) -> f32
  return
}

// -----

// Its results have the other dimensions.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.reduce' op needs blocks of one shape, a function of their elements that uses nothing but constants, and results without the dimension `axis`; it has}}
  %0 = "tt.reduce"(%m) ({
  ^bb0(%l: f32, %r: f32):
    "tt.reduce.return"(%l) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<4x8xf32>) -> tensor<4xf32>
  return
}

// -----

// Its function takes two elements of each operand.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.reduce' op needs blocks of one shape, a function of their elements that uses nothing but constants, and results without the dimension `axis`; it has}}
  %0 = "tt.reduce"(%x) ({
  ^bb0(%l: f32):
    "tt.reduce.return"(%l) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<8xf32>) -> f32
  return
}

// -----

// It uses nothing that comes later.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.reduce' op needs blocks of one shape, a function of their elements that uses nothing but constants, and results without the dimension `axis`; it has}}
  %0 = "tt.reduce"(%x) ({
  ^bb0(%l: f32, %r: f32):
    %1 = arith.addf %1, %r : f32
    "tt.reduce.return"(%1) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<8xf32>) -> f32
  return
}

// -----

// A scan has a direction.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.scan' op needs blocks of one shape, a function of their elements that uses nothing but constants, results of the same types, and `reverse`; it has}}
  %0 = "tt.scan"(%x) ({
  ^bb0(%l: f32, %r: f32):
    "tt.scan.return"(%l) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// A function of elements takes as many as are packed.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.map_elementwise' op needs blocks of one shape, and a function of `pack` elements of each that uses nothing but constants; it has}}
  %0 = "tt.map_elementwise"(%x) ({
  ^bb0(%l: f32):
    "tt.map_elementwise.return"(%l) : (f32) -> ()
  }) {pack = 2 : i32} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// A product's shapes fit.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.dot' op needs matrices whose extents match, all of floats or all of integers, and a result of the accumulator's type; it has}}
  %0 = "tt.dot"(%m, %m, %m) : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return
}

// -----

// Scaled operands say their format.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.dot_scaled' op needs matrices whose extents match, scales of 8 bits for groups along k, and a result of the accumulator's type; it has}}
  %0 = "tt.dot_scaled"(%m, %m, %m) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>} : (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return
}

// -----

// Blocks are joined to pairs.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.join' op needs blocks of one type, and a result with one more dimension, of two; it has}}
  %0 = "tt.join"(%x, %x) : (tensor<8xf32>, tensor<8xf32>) -> tensor<2x8xf32>
  return
}

// -----

// Only pairs are split.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.split' op needs a block whose last dimension is of two, and results of one type without it; it has}}
  %0, %1 = "tt.split"(%m) : (tensor<4x8xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  return
}

// -----

// Parts have the whole's other dimensions.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.cat' op needs blocks that differ in their first extent alone, and a result that has the sum of both; it has}}
  %0 = "tt.cat"(%x, %x) : (tensor<8xf32>, tensor<8xf32>) -> tensor<12xf32>
  return
}

// -----

// An index to gather by has the result's shape.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.gather' op needs indices of i32 or i64 in the result's shape, which differs from the source's along `axis` alone; it has}}
  %0 = "tt.gather"(%x, %i) {axis = 0 : i32} : (tensor<8xf32>, tensor<8xi32>) -> tensor<4xf32>
  return
}

// -----

// Histograms count integers.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.histogram' op needs rows of integers, and a mask in the source's shape; it has}}
  %0 = "tt.histogram"(%x) : (tensor<8xf32>) -> tensor<4xi32>
  return
}

// -----

// One element is taken out of a block of one.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.unsplat' op needs a block of one element, and a scalar of its type; it has}}
  %0 = "tt.unsplat"(%x) : (tensor<8xf32>) -> f32
  return
}

// -----

// Conversions keep the shape.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.fp_to_fp' op needs floats in one shape; it has}}
  %0 = "tt.fp_to_fp"(%x) : (tensor<8xf32>) -> tensor<4xf16>
  return
}

// -----

// A clamp says what becomes of NaN.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.clampf' op needs floats of one type, and `propagateNan`; it has}}
  %0 = "tt.clampf"(%x, %x, %x) : (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// High halves are of words.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.mulhiui' op needs i32 or i64 of one type; it has}}
  %0 = "tt.mulhiui"(%b, %b) : (tensor<8xi8>, tensor<8xi8>) -> tensor<8xi8>
  return
}

// -----

// Quotients are of floats.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.precise_divf' op needs floats in one shape; it has}}
  %0 = "tt.precise_divf"(%i, %i) : (tensor<8xi32>, tensor<8xi32>) -> tensor<8xi32>
  return
}

// -----

// An external function has a name.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.extern_elementwise' op needs one shape, and the name of a function in `symbol`; it has}}
  %0 = "tt.extern_elementwise"(%x) {libname = "", libpath = "", pure = true} : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

// Each printed operand is signed or not.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.print' op needs a text in `prefix`, `hex`, and one number in `isSigned` for each operand; it has}}
  "tt.print"(%x) {prefix = "x", hex = false, isSigned = array<i32>} : (tensor<8xf32>) -> ()
  return
}

// -----

// What is asserted is true or false.
func.func @invalid(%x: tensor<8xf32>, %i: tensor<8xi32>, %m: tensor<4x8xf32>, %b: tensor<8xi8>, %s: f32) {
  // expected-error@below {{'tt.assert' op needs a condition of i1 and a text in `message`; it has}}
  "tt.assert"(%i) {message = "m"} : (tensor<8xi32>) -> ()
  return
}

// -----

// Upstream takes a step of any type.
func.func @invalid(%p: !llvm.ptr, %i: i64) -> !llvm.ptr {
  // expected-error@below {{'llvm.getelementptr' op needs a type of LLVM's in `elem_type`; it has}}
  %q = llvm.getelementptr %p[%i] : (!llvm.ptr, i64) -> !llvm.ptr, tensor<4xf32>
  return %q : !llvm.ptr
}
