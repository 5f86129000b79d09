// RUN: triton-spacemit-opt %s --split-input-file --stores | filecheck %s

// The numbers of the arguments that are pointers which the kernel may store through.
// CHECK: module attributes {xsmt.stored = array<i32: 2>}
module {
  func.func @copy(%x: !llvm.ptr, %n: i32, %out: !llvm.ptr) {
    %v = llvm.load %x : !llvm.ptr -> f32
    llvm.store %v, %out : f32, !llvm.ptr
    return
  }
}

// -----

// An address that was loaded may be any.
// CHECK: module {
module {
  func.func @elsewhere(%x: !llvm.ptr, %out: !llvm.ptr) {
    %p = llvm.load %x : !llvm.ptr -> !llvm.ptr
    %v = llvm.load %out : !llvm.ptr -> f32
    llvm.store %v, %p : f32, !llvm.ptr
    return
  }
}
