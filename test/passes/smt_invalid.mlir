// RUN: triton-spacemit-opt %s --smt --split-input-file --verify-diagnostics

// What iterations carry would be lost.
func.func @carried(%i: i32, %x: f32) -> f32 {
  // expected-error@+1 {{iterations of smt.parallel are independent: a value cannot be carried from one to the next}}
  %0 = scf.for %j = %i to %i step %i iter_args(%y = %x) -> f32 : i32 {
    scf.yield %y : f32
  } {smt.parallel = true}
  return %0 : f32
}

// -----

func.func @unknown() {
  // expected-error@+1 {{the builtin smt.fly is not known}}
  func.call @__smt.fly__a() : () -> ()
  return
}
func.func private @__smt.fly__a()

// -----

func.func @incomplete(%i: i32) {
  // expected-error@+1 {{the call of smt.mbarrier lacks an attribute, or has one of another kind}}
  %0 = func.call @__smt.mbarrier__a(%i, %i, %i, %i) : (i32, i32, i32, i32) -> i64
  return
}
func.func private @__smt.mbarrier__a(i32, i32, i32, i32) -> i64

// -----

func.func @not_a_pointer() {
  // expected-error@+1 {{the call of smt.alloc lacks an attribute, or has one of another kind}}
  %0 = func.call @__smt.alloc__a() {smt.size = 64 : i32, smt.storage = "tcm"} : () -> i64
  return
}
func.func private @__smt.alloc__a() -> i64

// -----

// The ops' own rules hold.
func.func @rules(%m: tensor<8x8xf16>, %i: i32) {
  // expected-error@+1 {{needs a static block of rank 4, got tensor<8x8xf16>}}
  %0 = func.call @__smt.pack__a(%m, %i, %i) : (tensor<8x8xf16>, i32, i32) -> tensor<8x8xf16>
  return
}
func.func private @__smt.pack__a(tensor<8x8xf16>, i32, i32) -> tensor<8x8xf16>
