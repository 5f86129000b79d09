"""Lowering passes from Triton's IR to LLVM, one pass a file, named after its argument. Imports neither triton nor torch."""
