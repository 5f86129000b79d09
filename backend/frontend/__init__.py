"""From Triton's IR in libtriton to a module in the torch-mlir bindings."""
