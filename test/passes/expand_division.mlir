// RUN: triton-spacemit-opt %s --chip host --expand-division | filecheck %s
// RUN: triton-spacemit-opt %s --chip x60 --expand-division | filecheck %s --check-prefix=RISCV

// float64 has more than twice the digits of 32 bits.
// CHECK-LABEL: func.func @divide
// RISCV-LABEL: func.func @divide
func.func @divide(%x: vector<8xi32>, %y: vector<8xi32>) -> vector<8xi32> {
  // CHECK-NEXT: %[[X:.*]] = arith.sitofp %arg0 : vector<8xi32> to vector<8xf64>
  // CHECK-NEXT: %[[Y:.*]] = arith.sitofp %arg1 : vector<8xi32> to vector<8xf64>
  // CHECK-NEXT: %[[Q:.*]] = arith.divf %[[X]], %[[Y]]
  // CHECK-NEXT: arith.fptosi %[[Q]]
  // CHECK-NEXT: return
  // RISCV-NEXT: arith.divsi
  %q = arith.divsi %x, %y : vector<8xi32>
  return %q : vector<8xi32>
}

// CHECK-LABEL: func.func @remainder_of_few_bits
func.func @remainder_of_few_bits(%x: vector<8xi16>, %y: vector<8xi16>) -> vector<8xi16> {
  // CHECK: arith.uitofp %arg0 : vector<8xi16> to vector<8xf32>
  // CHECK: %[[Q:.*]] = arith.fptoui
  // CHECK: %[[P:.*]] = arith.muli %[[Q]], %arg1
  // CHECK: arith.subi %arg0, %[[P]]
  %r = arith.remui %x, %y : vector<8xi16>
  return %r : vector<8xi16>
}

// float64 has fewer digits than 64 bits: a second division finds what the first one leaves.
// CHECK-LABEL: func.func @two_steps
func.func @two_steps(%x: vector<8xi64>, %y: vector<8xi64>) -> vector<8xi64> {
  // CHECK: arith.divf
  // CHECK: arith.fptoui
  // CHECK: arith.divf
  // CHECK: arith.fptoui
  // CHECK: arith.cmpi uge
  // CHECK-NOT: arith.divui
  %q = arith.divui %x, %y : vector<8xi64>
  return %q : vector<8xi64>
}

// A scalar has its instruction, and a constant divisor needs none.
// CHECK-LABEL: func.func @left_alone
func.func @left_alone(%a: i32, %b: i32, %x: vector<8xi32>) -> (i32, vector<8xi32>) {
  // CHECK: arith.divsi %arg0, %arg1 : i32
  // CHECK: arith.divsi %arg2, %cst
  %c = arith.constant dense<7> : vector<8xi32>
  %q = arith.divsi %a, %b : i32
  %r = arith.divsi %x, %c : vector<8xi32>
  return %q, %r : i32, vector<8xi32>
}
