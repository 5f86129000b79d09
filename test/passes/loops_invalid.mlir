// RUN: triton-spacemit-opt %s --chip x60 --loops --split-input-file --verify-diagnostics

// What has no lowering is refused where it stands.
func.func @unknown(%x: tensor<8xf32>) {
  // expected-error@below {{'other.op' op is not supported on (tensor<8xf32>, tensor<8xf32>)}}
  %y = "other.op"(%x) : (tensor<8xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @constant() {
  // expected-error@below {{'arith.constant' op of different elements is not supported, got tensor<2xf32>}}
  %c = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  return
}

// -----

// A function of scalars is evaluated on vectors: it may hold arithmetic and branches.
func.func @combine(%x: !llvm.ptr, %y: !llvm.ptr) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %c8 = arith.constant 8 : i64
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %c8) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>} : (!llvm.ptr, i64, i64, i64) -> tensor<8xi32>
  %s = "tt.reduce"(%a) ({
  ^bb0(%l: i32, %r: i32):
    // expected-error@below {{'llvm.load' op is not supported in a function of scalars}}
    %v = llvm.load %y : !llvm.ptr -> i32
    "tt.reduce.return"(%v) : (i32) -> ()
  }) {axis = 0 : i32} : (tensor<8xi32>) -> i32
  return
}

// -----

// expected-error@+1 {{a module must have one public function, this one has 2}}
module {
  func.func @one() {
    return
  }
  func.func @two() {
    return
  }
}

// -----

func.func @carried(%start: tensor<32x32xf16>, %first: index, %last: index, %step: index) {
  %sum = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32x32xf16> {
    %new = arith.addf %old, %old : tensor<32x32xf16>
    // expected-error@below {{expected a scalar, got tensor<32x32xf16>}}
    scf.yield %new : tensor<32x32xf16>
  }
  return
}
