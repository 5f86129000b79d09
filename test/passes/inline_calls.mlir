// RUN: triton-spacemit-opt %s --inline-calls --split-input-file --verify-diagnostics
// RUN: not triton-spacemit-opt %s --inline-calls --split-input-file 2>/dev/null | filecheck %s

// Calls of calls; the functions go, a declaration stays.
// CHECK-LABEL: func.func @kernel
// CHECK-NEXT: %[[A:.*]] = arith.addi %arg0, %arg0
// CHECK-NEXT: %[[B:.*]] = arith.muli %[[A]], %[[A]]
// CHECK-NEXT: call @outside(%[[B]])
// CHECK-NOT: @twice
func.func @kernel(%x: i32) {
  %y = func.call @outer(%x) : (i32) -> i32
  func.call @outside(%y) : (i32) -> ()
  return
}
func.func private @outer(%x: i32) -> i32 {
  %y = func.call @twice(%x) : (i32) -> i32
  %z = arith.muli %y, %y : i32
  return %z : i32
}
func.func private @twice(%x: i32) -> i32 {
  %y = arith.addi %x, %x : i32
  return %y : i32
}
func.func private @outside(i32)

// -----

func.func @kernel() {
  func.call @again() : () -> ()
  return
}
// expected-error@below {{recursive function 'again' is not supported}}
func.func private @again() {
  func.call @again() : () -> ()
  return
}

// -----

func.func @kernel() {
  // expected-error@below {{a call of a function with branches between blocks: run lift-cf-to-scf first}}
  func.call @branches() : () -> ()
  return
}
func.func private @branches() {
  cf.br ^bb1
^bb1:
  return
}
