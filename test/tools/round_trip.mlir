// RUN: triton-spacemit-opt %s | filecheck %s
// RUN: triton-spacemit-opt < %s --mlir-print-op-generic | triton-spacemit-opt | filecheck %s
// RUN: triton-spacemit-opt %s -o %t && filecheck %s < %t

// TTIR in Triton's syntax and in the generic form come out alike; `tt.func` is `func.func` from there on.
// CHECK: func.func public @kernel(%arg0: !tt.ptr<f32>)
tt.func public @kernel(%x: !tt.ptr<f32>) {
  // CHECK: "tt.get_program_id"() <{axis = 1 : i32}>
  %pid = tt.get_program_id y : i32
  %p = tt.addptr %x, %pid : !tt.ptr<f32>, i32
  // CHECK: "tt.load"(%{{.*}}) <{isVolatile = false
  %v = tt.load %p : !tt.ptr<f32>
  tt.store %p, %v : !tt.ptr<f32>
  tt.return
}
