"""Libraries of Triton kernels, made to run on this backend: one package each, named after the library."""
