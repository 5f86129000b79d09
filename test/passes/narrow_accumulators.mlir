// RUN: triton-spacemit-opt %s --narrow-accumulators --split-input-file | filecheck %s

// A carried block that only a sum reads is carried as its sum.
// CHECK-LABEL: func.func @sum
func.func @sum(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: %[[ZERO:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK: %[[TOTAL:.*]] = scf.for {{.*}} iter_args(%[[OLD:.*]] = %[[ZERO]]) -> (f32)
  // CHECK-NEXT: %[[PART:.*]] = "tt.reduce"(%arg0)
  // CHECK: %[[NEW:.*]] = arith.addf %[[OLD]], %[[PART]] : f32
  // CHECK-NEXT: scf.yield %[[NEW]] : f32
  // CHECK: return %[[TOTAL]] : f32
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.addf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// Rows of a matrix: the loop carries the column of their sums, and beside it what it carried before.
// CHECK-LABEL: func.func @rows
func.func @rows(%x: tensor<4x64xi32>, %n: i32, %first: index, %last: index, %step: index) -> (tensor<4xi32>, i32) {
  // CHECK: %[[TOTAL:.*]]:2 = scf.for {{.*}} -> (i32, tensor<4xi32>)
  // CHECK: %[[PART:.*]] = "tt.reduce"
  // CHECK: axis = 1 : i32{{.*}} : (tensor<4x64xi32>) -> tensor<4xi32>
  // CHECK: arith.addi %{{.*}}, %[[PART]] : tensor<4xi32>
  // CHECK: return %[[TOTAL]]#1, %[[TOTAL]]#0
  %start = arith.constant dense<0> : tensor<4x64xi32>
  %total:2 = scf.for %i = %first to %last step %step iter_args(%count = %n, %old = %start) -> (i32, tensor<4x64xi32>) {
    %more = arith.addi %count, %n : i32
    %new = arith.addi %old, %x : tensor<4x64xi32>
    scf.yield %more, %new : i32, tensor<4x64xi32>
  }
  %result = "tt.reduce"(%total#1) ({
  ^bb0(%a: i32, %b: i32):
    %0 = arith.addi %a, %b : i32
    "tt.reduce.return"(%0) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<4x64xi32>) -> tensor<4xi32>
  return %result, %total#0 : tensor<4xi32>, i32
}

// -----

// A sum that starts at another number than zero would count it once instead of once for each element.
// CHECK-LABEL: func.func @from_one
func.func @from_one(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<1.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.addf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// A maximum may start at any number, here written with the carried block on the right.
// CHECK-LABEL: func.func @maximum
func.func @maximum(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
  // CHECK: scf.for {{.*}} iter_args(%[[OLD:.*]] = %[[ONE]]) -> (f32)
  // CHECK: arith.maxnumf %[[OLD]], %{{.*}} : f32
  %start = arith.constant dense<1.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.maxnumf %x, %old : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.maxnumf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// The maximum of sums is no sum.
// CHECK-LABEL: func.func @different
func.func @different(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.addf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.maxnumf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// Each turn's difference is another op than the sum behind the loop.
// CHECK-LABEL: func.func @difference
func.func @difference(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.subf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// Another op reads the carried block as well.
// CHECK-LABEL: func.func @read
func.func @read(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.addf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  "tt.print"(%total) {prefix = "", hex = false, isSigned = array<i32: 0>} : (tensor<128xf32>) -> ()
  return %result : f32
}

// -----

// A turn reads the carried block twice.
// CHECK-LABEL: func.func @doubled
func.func @doubled(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %new = arith.addf %old, %old : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// Floats of 16 bits are summed in f32 only within one reduction: carried as they are, their sum would be rounded each turn.
// CHECK-LABEL: func.func @narrow
func.func @narrow(%x: tensor<128xf16>, %first: index, %last: index, %step: index) -> f16 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf16>)
  %start = arith.constant dense<0.0> : tensor<128xf16>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf16> {
    %new = arith.addf %old, %x : tensor<128xf16>
    scf.yield %new : tensor<128xf16>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f16, %b: f16):
    %0 = arith.addf %a, %b : f16
    "tt.reduce.return"(%0) : (f16) -> ()
  }) {axis = 0 : i32} : (tensor<128xf16>) -> f16
  return %result : f16
}

// -----

// Combining the lanes of a short row in each turn costs more than it spares.
// CHECK-LABEL: func.func @short
func.func @short(%x: tensor<32xf32>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<32xf32>)
  %start = arith.constant dense<0.0> : tensor<32xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32xf32> {
    %new = arith.addf %old, %x : tensor<32xf32>
    scf.yield %new : tensor<32xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<32xf32>) -> f32
  return %result : f32
}

// -----

// What a mask leaves as it is gets nothing added: the number that changes no sum, not even one of negative zeros.
// CHECK-LABEL: func.func @masked
func.func @masked(%x: tensor<128xf32>, %mask: tensor<128xi1>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: %[[TOTAL:.*]] = scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}}) -> (f32)
  // CHECK: %[[NOTHING:.*]] = arith.constant dense<-0.000000e+00> : tensor<128xf32>
  // CHECK: %[[TERM:.*]] = arith.select %arg1, %arg0, %[[NOTHING]]
  // CHECK: %[[PART:.*]] = "tt.reduce"(%[[TERM]])
  // CHECK: %[[NEW:.*]] = arith.addf %[[OLD]], %[[PART]] : f32
  // CHECK-NEXT: scf.yield %[[NEW]] : f32
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %sum = arith.addf %old, %x : tensor<128xf32>
    %new = arith.select %mask, %sum, %old : tensor<128xi1>, tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// The mask's other side: what it does not name is lost.
// CHECK-LABEL: func.func @masked_away
func.func @masked_away(%x: tensor<128xf32>, %mask: tensor<128xi1>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %sum = arith.addf %old, %x : tensor<128xf32>
    %new = arith.select %mask, %old, %sum : tensor<128xi1>, tensor<128xf32>
    %other = arith.select %mask, %new, %x : tensor<128xi1>, tensor<128xf32>
    scf.yield %other : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// No number is known that changes no maximum, of NaN either.
// CHECK-LABEL: func.func @masked_maximum
func.func @masked_maximum(%x: tensor<128xf32>, %mask: tensor<128xi1>, %first: index, %last: index, %step: index) -> f32 {
  // CHECK: scf.for {{.*}} -> (tensor<128xf32>)
  %start = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<128xf32> {
    %most = arith.maxnumf %old, %x : tensor<128xf32>
    %new = arith.select %mask, %most, %old : tensor<128xi1>, tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %result = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.maxnumf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %result : f32
}

// -----

// Rows across memory: the lanes of vectors are its neighbours, along the first dimension, and are not combined. The same along it stays.
// CHECK-LABEL: func.func @across
func.func @across(%x: !llvm.ptr, %zero: i64, %one: i64, %far: i64, %first: index, %last: index, %step: index) -> (tensor<64xf32>, tensor<64xf32>) {
  // CHECK: scf.for {{.*}} -> (tensor<64xf32>)
  // CHECK: scf.for {{.*}} -> (tensor<64x16xf32>)
  %start = arith.constant dense<0.0> : tensor<64x16xf32>
  %c1 = arith.constant 1 : i64
  %rows = arith.constant 64 : i64
  %columns = arith.constant 16 : i64
  %total = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<64x16xf32> {
    %block = "xsmt.descriptor_load"(%x, %c1, %far, %zero, %zero, %rows, %columns)
             {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x16xf32>
    %new = arith.addf %old, %block : tensor<64x16xf32>
    scf.yield %new : tensor<64x16xf32>
  }
  %sums = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 1 : i32} : (tensor<64x16xf32>) -> tensor<64xf32>
  %along = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<64x16xf32> {
    %block = "xsmt.descriptor_load"(%x, %far, %c1, %zero, %zero, %rows, %columns)
             {operandSegmentSizes = array<i32: 1, 2, 2, 2, 0, 0>} : (!llvm.ptr, i64, i64, i64, i64, i64, i64) -> tensor<64x16xf32>
    %new = arith.addf %old, %block : tensor<64x16xf32>
    scf.yield %new : tensor<64x16xf32>
  }
  %result = "tt.reduce"(%along) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 1 : i32} : (tensor<64x16xf32>) -> tensor<64xf32>
  return %sums, %result : tensor<64xf32>, tensor<64xf32>
}
