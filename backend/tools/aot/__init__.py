"""`triton-spacemit aot`: kernels compiled ahead of time, for C, C++ and Python programs without Triton."""
