// RUN: triton-spacemit-opt %s --chip host --guard-division | filecheck %s
// RUN: triton-spacemit-opt %s --chip x60 --guard-division | filecheck %s --check-prefix=RISCV

// CHECK-LABEL: func.func @divide
// RISCV-LABEL: func.func @divide
func.func @divide(%x: vector<8xi32>, %y: vector<8xi32>) -> vector<8xi32> {
  // CHECK: %[[SAFE:.*]] = arith.select
  // CHECK: arith.divsi %arg0, %[[SAFE]]
  // CHECK: arith.select
  // CHECK: arith.select
  // RISCV-NEXT: arith.divsi %arg0, %arg1
  // RISCV-NEXT: return
  %q = arith.divsi %x, %y : vector<8xi32>
  return %q : vector<8xi32>
}

// A constant divisor is safe.
// CHECK-LABEL: func.func @constant
func.func @constant(%x: i32) -> i32 {
  // CHECK-NEXT: arith.constant
  // CHECK-NEXT: arith.remsi
  // CHECK-NEXT: return
  %c = arith.constant 7 : i32
  %q = arith.remsi %x, %c : i32
  return %q : i32
}
