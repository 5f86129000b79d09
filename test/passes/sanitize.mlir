// RUN: triton-spacemit-opt %s --split-input-file --sanitize | filecheck %s
// RUN: triton-spacemit-opt %s --split-input-file --sanitize --loops | filecheck %s --check-prefix=LOOPS

// The storages of its pointers become a kernel's last arguments.
// CHECK: module attributes {xsmt.slots = ["*f32", "i32", "*i8", "u64", "u64", "u64", "u64"], xsmt.storages = [0 : i32, 2 : i32]}
// CHECK: func.func @two(%arg0: !llvm.ptr {tt.divisibility = 16 : i32}, %arg1: i32, %arg2: !llvm.ptr, %arg3: i64, %arg4: i64, %arg5: i64, %arg6: i64)
// A scalar is compared with the storage that its pointer leads to.
// LOOPS: func.func @two
// LOOPS: %[[ADDRESS:.*]] = llvm.ptrtoint %arg2
// LOOPS: arith.cmpi slt, %[[ADDRESS]], %arg5
// LOOPS: scf.if
// LOOPS: llvm.call
// LOOPS: llvm.load %arg2
module attributes {xsmt.sanitize, xsmt.slots = ["*f32", "i32", "*i8"]} {
  func.func @two(%x: !llvm.ptr {tt.divisibility = 16 : i32}, %n: i32, %y: !llvm.ptr) {
    %v = llvm.load %y : !llvm.ptr -> i8
    llvm.store %v, %y : i8, !llvm.ptr
    return
  }
}

// -----

// Without being asked it does nothing.
// CHECK: func.func @plain(%arg0: !llvm.ptr) {
// LOOPS: func.func @plain
// LOOPS-NOT: scf.if
module {
  func.func @plain(%x: !llvm.ptr) {
    %v = llvm.load %x : !llvm.ptr -> i8
    llvm.store %v, %x : i8, !llvm.ptr
    return
  }
}

// -----

// A block is compared by its corners, before it is loaded; an address that was loaded may lead anywhere.
// LOOPS: func.func @block(%[[X:.*]]: !llvm.ptr, %[[N:.*]]: i64, %[[START:.*]]: i64, %[[END:.*]]: i64,
// LOOPS-COUNT-1: llvm.call
// LOOPS-NOT: llvm.call
module attributes {xsmt.sanitize} {
  func.func @block(%x: !llvm.ptr, %n: i64) {
    %zero = arith.constant 0 : i64
    %one = arith.constant 1 : i64
    %a = "xsmt.descriptor_load"(%x, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>}
         : (!llvm.ptr, i64, i64, i64) -> tensor<64xf32>
    %y = llvm.inttoptr %n : i64 to !llvm.ptr
    "xsmt.descriptor_store"(%y, %a, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}
         : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> ()
    return
  }
}
