"""MLIR contexts with everything loaded that a pipeline needs."""

from torch_mlir import ir

from triton_spacemit.dialect.xsmt import XSMT


def make_context() -> ir.Context:
    """A fresh context with the `xsmt` dialect loaded; Triton's own ops stay unregistered in it."""
    context = ir.Context()
    context.allow_unregistered_dialects = True
    with context, ir.Location.unknown():
        XSMT.load()
    return context
