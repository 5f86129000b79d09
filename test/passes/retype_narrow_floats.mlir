// RUN: triton-spacemit-opt %s --split-input-file --retype-narrow-floats | filecheck %s

// In signatures, memory, loops and branches bfloat16 is i16, float8 i8; what was cast is it already.
// CHECK-LABEL: func.func @everywhere(%arg0: !llvm.ptr, %arg1: i16, %arg2: i1) -> vector<8xi8>
// CHECK-NOT: {{bf16|f8E5M2|arith.bitcast}}
func.func @everywhere(%p: !llvm.ptr, %s: bf16, %choice: i1) -> vector<8xf8E5M2> {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %c1 = arith.constant 1 : index
  // CHECK: llvm.getelementptr %arg0[1] : (!llvm.ptr) -> !llvm.ptr, i16
  %q = llvm.getelementptr %p[1] : (!llvm.ptr) -> !llvm.ptr, bf16
  // CHECK: %[[X:.*]] = llvm.load %{{.*}} -> vector<8xi16>
  %x = llvm.load %q : !llvm.ptr -> vector<8xbf16>
  // CHECK: %[[S:.*]] = vector.broadcast %arg1 : i16 to vector<8xi16>
  %b = vector.broadcast %s : bf16 to vector<8xbf16>
  // CHECK: %[[R:.*]] = scf.for {{.*}} iter_args(%[[A:.*]] = %[[X]]) -> (vector<8xi16>)
  %r = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %x) -> (vector<8xbf16>) {
    // CHECK: %[[N:.*]] = arith.addi %[[A]], %[[A]] : vector<8xi16>
    %bits = arith.bitcast %a : vector<8xbf16> to vector<8xi16>
    %next = arith.addi %bits, %bits : vector<8xi16>
    %c = arith.bitcast %next : vector<8xi16> to vector<8xbf16>
    // CHECK: arith.select %arg2, %[[N]], %[[S]] : vector<8xi16>
    %d = arith.select %choice, %c, %b : vector<8xbf16>
    scf.yield %d : vector<8xbf16>
  }
  // CHECK: llvm.store %[[R]], %arg0 : vector<8xi16>
  llvm.store %r, %p : vector<8xbf16>, !llvm.ptr
  // CHECK: scf.if %arg2 -> (vector<8xi8>)
  %f = scf.if %choice -> (vector<8xf8E5M2>) {
    %g = llvm.load %p : !llvm.ptr -> vector<8xf8E5M2>
    scf.yield %g : vector<8xf8E5M2>
  } else {
    %h = llvm.load %q : !llvm.ptr -> vector<8xf8E5M2>
    scf.yield %h : vector<8xf8E5M2>
  }
  return %f : vector<8xf8E5M2>
}

// -----

// Constants become the bits of the number.
// CHECK-LABEL: func.func @constant
func.func @constant() -> (vector<4xf8E4M3FN>, bf16) {
  // CHECK-DAG: arith.constant dense<60> : vector<4xi8>
  // CHECK-DAG: arith.constant 16320 : i16
  %a = arith.constant dense<1.5> : vector<4xf8E4M3FN>
  %b = arith.constant 1.5 : bf16
  return %a, %b : vector<4xf8E4M3FN>, bf16
}

// -----

// An argument that nothing else uses is an integer, too.
// CHECK-LABEL: func.func @argument(%arg0: !llvm.ptr, %arg1: i16)
func.func @argument(%p: !llvm.ptr, %s: bf16) {
  // CHECK: llvm.store %arg1, %arg0 : i16
  llvm.store %s, %p : bf16, !llvm.ptr
  return
}

// -----

// Operands of an instruction that takes bfloat16 keep their type: scalable ones, and others that were cast for it.
// CHECK-LABEL: func.func @instruction
func.func @instruction(%x: vector<[4]xbf16>, %y: vector<8xi32>) -> vector<[4]xbf16> {
  // CHECK: llvm.bitcast %arg1 : vector<8xi32> to vector<16xbf16>
  %a = llvm.bitcast %y : vector<8xi32> to vector<16xbf16>
  // CHECK: return %arg0 : vector<[4]xbf16>
  return %x : vector<[4]xbf16>
}

// -----

// Constants of unequal numbers, which MLIR writes with six digits (1.0078125 as 1.007810), and of what is no number.
// CHECK-LABEL: func.func @unequal
func.func @unequal() -> (vector<4xbf16>, vector<4xf8E4M3FN>) {
  // CHECK-DAG: dense<[16257, 32704, -128, -32640]> : vector<4xi16>
  %a = arith.constant dense<[1.0078125, 0x7FC0, 0xFF80, -1.1754944e-38]> : vector<4xbf16>
  // CHECK-DAG: dense<[57, 127, 1, -128]> : vector<4xi8>
  %b = arith.constant dense<[1.125, 0x7F, 0.001953125, -0.0]> : vector<4xf8E4M3FN>
  return %a, %b : vector<4xbf16>, vector<4xf8E4M3FN>
}
