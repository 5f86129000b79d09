// RUN: not triton-spacemit-opt %s --verify-diagnostics 2>&1 | filecheck %s

// What is expected and does not come, and what comes and is not expected, both fail.
func.func @f() {
  // CHECK: verify_diagnostics.mlir:7:1: error: expected error 'something else' was not produced
  // CHECK: verify_diagnostics.mlir:7:13: error: unexpected error: use of undeclared SSA value name
  "test.op"(%x) : (i32) -> () // expected-error {{something else}}
  return
}
