// RUN: triton-spacemit-opt %s --until=structure --split-input-file --verify-diagnostics

// Descriptors are Triton's to rewrite.
func.func @descriptor(%x: !tt.ptr<f32>, %n: i32, %s: i64) {
  // expected-error@below {{'tt.make_tensor_descriptor' may not be left after stage structure}}
  %d = "tt.make_tensor_descriptor"(%x, %n, %s) : (!tt.ptr<f32>, i32, i64) -> !tt.tensordesc<8xf32>
  return
}

// -----

func.func @call() {
  // expected-error@below {{'func.call' may not be left after stage structure}}
  func.call @outside() : () -> ()
  return
}
func.func private @outside()

// -----

// An op that nothing is known of keeps its pointers.
func.func @unknown(%x: !tt.ptr<f32>) {
  // expected-error@below {{'other.op' may not be left after stage structure}}
  %y = "other.op"(%x) : (!tt.ptr<f32>) -> tuple<!tt.ptr<f32>>
  return
}
