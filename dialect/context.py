"""MLIR contexts with everything loaded that a pipeline needs."""

from torch_mlir import ir
from torch_mlir._mlir_libs import _mlir

from triton_spacemit.dialect.xsmt import XSMT

# The bindings look for a Python module for each dialect whenever they meet an op of it, and remember only that they found one: let them
# find `tt`, or every `tt` op costs a failed import.
_mlir.globals.append_dialect_search_prefix(__package__)


def make_context() -> ir.Context:
    """A fresh context with the `xsmt` dialect loaded; Triton's own ops stay unregistered in it."""
    context = ir.Context()
    context.allow_unregistered_dialects = True
    with context, ir.Location.unknown():
        XSMT.load()
    return context
