// RUN: not triton-spacemit-opt %t.missing 2>&1 | filecheck %s --check-prefix=MISSING
// RUN: printf '' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=EMPTY
// RUN: printf '\177ELF\377\000' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=BINARY
// RUN: printf 'ELF\001\000' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=CONTROL
// RUN: printf 'module {\n tt.func public @f(%%x: !tt.ptr<f3' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=TRUNCATED
// RUN: printf 'func.func @f() {\n' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=OPEN
// RUN: printf 'func.func @f(%%%%p: !llvm.ptr, %%%%x: tensor<2xf32>) {\n %%%%y = llvm.atomicrmw fadd %%%%p, %%%%x monotonic : !llvm.ptr, tensor<2xf32>\n return\n}\n' > %t && not triton-spacemit-opt %t 2>&1 | filecheck %s --check-prefix=ENDED

// MISSING: error: No such file or directory
// EMPTY: 1:1: error: the input is empty
// BINARY: error: not a text file
// CONTROL: :1:{{[0-9]+}}: error:
// TRUNCATED: :2:{{[0-9]+}}: error:
// OPEN: :1:17: error:
// ENDED: :1:1: error: the parser ended the process that ran it, by SIG
