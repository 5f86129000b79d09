// RUN: triton-spacemit-opt %s --to-llvm --split-input-file | filecheck %s

// The program is internal: nobody but the entry point calls it.
// CHECK-LABEL: llvm.func internal @kernel.program(%arg0: !llvm.ptr, %arg1: i16, %arg2: f16, %arg3: !llvm.ptr {llvm.noalias}, %arg4: !llvm.ptr {llvm.noalias})
func.func @kernel(%x: !llvm.ptr, %n: i16, %f: f16, %context: !llvm.ptr {llvm.noalias}, %scratch: !llvm.ptr {llvm.noalias}) {
  llvm.store %n, %x : i16, !llvm.ptr
  llvm.store %f, %scratch : f16, !llvm.ptr
  return
}
// The entry point has the runtime's calling convention: every argument from its slot of 8 bytes, in its own type; scratch from the context.
// CHECK-LABEL: llvm.func @kernel(%arg0: !llvm.ptr, %arg1: !llvm.ptr)
// CHECK: %[[X:.*]] = llvm.load %arg0 {alignment = 8 : i64} : !llvm.ptr -> !llvm.ptr
// CHECK: %[[P1:.*]] = llvm.getelementptr %arg0[8] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK: %[[N:.*]] = llvm.load %[[P1]] {alignment = 8 : i64} : !llvm.ptr -> i16
// CHECK: %[[P2:.*]] = llvm.getelementptr %arg0[16]
// CHECK: %[[F:.*]] = llvm.load %[[P2]] {alignment = 8 : i64} : !llvm.ptr -> f16
// CHECK: %[[P3:.*]] = llvm.getelementptr %arg1[32]
// CHECK: %[[SCRATCH:.*]] = llvm.load %[[P3]] {alignment = 8 : i64} : !llvm.ptr -> !llvm.ptr
// CHECK: llvm.call @kernel.program(%[[X]], %[[N]], %[[F]], %arg1, %[[SCRATCH]])
// CHECK: llvm.return

// -----

// Control flow, vectors, math, index and poison: only the LLVM dialect is left. Lanes may be added in any order.
// CHECK-LABEL: llvm.func internal @all.program
// CHECK-NOT: {{[ "](arith|scf|vector|math|ub|cf|index|builtin)\.[a-z]}}
// CHECK: llvm.cond_br
// CHECK-NOT: {{[ "](arith|scf|vector|math|ub|cf|index|builtin)\.[a-z]}}
// CHECK: llvm.intr.fma
// CHECK-NOT: {{[ "](arith|scf|vector|math|ub|cf|index|builtin)\.[a-z]}}
// CHECK: llvm.intr.vector.reduce.fadd
// CHECK-SAME: reassoc
// CHECK-NOT: {{[ "](arith|scf|vector|math|ub|cf|index|builtin)\.[a-z]}}
// CHECK: llvm.return
func.func @all(%x: !llvm.ptr, %n: i64, %context: !llvm.ptr, %scratch: !llvm.ptr) {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %p = ub.poison : vector<8xf32>
  %end = arith.index_cast %n : i64 to index
  %r = scf.for %i = %c0 to %end step %c8 iter_args(%a = %p) -> (vector<8xf32>) {
    %v = llvm.load %x : !llvm.ptr -> vector<8xf32>
    %f = math.fma %v, %v, %a : vector<8xf32>
    scf.yield %f : vector<8xf32>
  }
  %s = vector.reduction <add>, %r fastmath<reassoc> : vector<8xf32> into f32
  llvm.store %s, %x : f32, !llvm.ptr
  return
}
