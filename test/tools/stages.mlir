// RUN: triton-spacemit-opt %s --until=structure | filecheck %s --check-prefix=STRUCTURE
// RUN: triton-spacemit-opt %s --to xsmt | filecheck %s --check-prefix=STRUCTURE
// RUN: triton-spacemit-opt %s --chip x60 --to loops | filecheck %s --check-prefix=LOOPS
// RUN: triton-spacemit-opt %s --chip x60 --to llir | filecheck %s --check-prefix=LLIR
// RUN: triton-spacemit-opt %s --chip x60 --to asm | filecheck %s --check-prefix=ASM
// RUN: triton-spacemit-opt %s --chip a100 --to asm | filecheck %s --check-prefix=ASM
// RUN: not triton-spacemit-opt %s --to object 2>&1 | filecheck %s --check-prefix=FORM

tt.func public @copy(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
  %i = tt.make_range {end = 1024 : i32, start = 0 : i32} : tensor<1024xi32>
  %limit = tt.splat %n : i32 -> tensor<1024xi32>
  %mask = arith.cmpi slt, %i, %limit : tensor<1024xi32>
  %xb = tt.splat %x : !tt.ptr<f32> -> tensor<1024x!tt.ptr<f32>>
  %p = tt.addptr %xb, %i : tensor<1024x!tt.ptr<f32>>, tensor<1024xi32>
  %v = tt.load %p, %mask : tensor<1024x!tt.ptr<f32>>
  %yb = tt.splat %y : !tt.ptr<f32> -> tensor<1024x!tt.ptr<f32>>
  %q = tt.addptr %yb, %i : tensor<1024x!tt.ptr<f32>>, tensor<1024xi32>
  tt.store %q, %v, %mask : tensor<1024x!tt.ptr<f32>>
  tt.return
}

// STRUCTURE: "xsmt.descriptor_load"
// STRUCTURE: "xsmt.descriptor_store"
// LOOPS-NOT: xsmt.descriptor
// LOOPS: scf.for
// LLIR: define void @copy(
// ASM-DAG: copy:
// ASM-DAG: vle32.v
// ASM-DAG: vse32.v
// FORM: invalid choice: 'object'
