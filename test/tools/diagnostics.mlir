// RUN: triton-spacemit-opt %s --split-input-file --verify-diagnostics --structure
// RUN: not triton-spacemit-opt %s --split-input-file --structure 2>&1 | filecheck %s

// Text that torch-mlir refuses.
func.func @type() {
  // CHECK: diagnostics.mlir:8:{{[0-9]+}}: error: use of undeclared SSA value name
  // expected-error@below {{use of undeclared SSA value name}}
  "test.op"(%x) : (i32) -> ()
  return
}

// -----

// Text that libtriton refuses.
// CHECK: diagnostics.mlir:17:{{[0-9]+}}: error: custom op 'tt.unknown' is unknown
tt.func public @op() {
  tt.unknown // expected-error {{custom op 'tt.unknown' is unknown}}
  tt.return
}

// -----

// An op that does not verify.
func.func @verifier(%p: !llvm.ptr) {
  "xsmt.descriptor_store"(%p) : (!llvm.ptr) -> ()
  // expected-error@-1 {{operandSegmentSizes must be 6 numbers}}
  return
}

// -----

// What a pass refuses.
func.func @branches(%c: i1) {
  cf.br ^bb1
^bb1:
  return
}
// expected-error@-5 {{branches between blocks are not supported here: run lift-cf-to-scf first}}
