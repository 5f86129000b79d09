"""MLIR contexts with everything loaded that a pipeline needs."""

import threading

from torch_mlir import ir
from torch_mlir._mlir_libs import _mlir

from triton_spacemit.dialect.xsmt import XSMT

# The bindings look for a Python module for each dialect whenever they meet an op of it, and remember only that they found one: let them
# find `tt`, or every `tt` op costs a failed import.
_mlir.globals.append_dialect_search_prefix(__package__)


_loading = threading.Lock()  # `load` keeps what it works on in the class


def make_context() -> ir.Context:
    """A fresh context with the `xsmt` dialect loaded; Triton's own ops stay unregistered in it."""
    context = ir.Context()
    context.allow_unregistered_dialects = True
    with _loading, context, ir.Location.unknown():
        XSMT.load()
        XSMT._mlir_module = None  # its definition, which is not needed any longer: another thread would free it with ours still running
    return context


# A context keeps every type, attribute and location that was ever made in it, hence a new one from time to time.
_MODULES_IN_A_CONTEXT = 64


class _Shared(threading.local):
    context: ir.Context | None = None
    modules = 0


_shared = _Shared()


def shared_context() -> ir.Context:
    """This thread's context for one more module: making a context takes a good part of what compiling a small kernel does."""
    if _shared.context is None or _shared.modules == _MODULES_IN_A_CONTEXT:
        _shared.context, _shared.modules = make_context(), 0
    _shared.modules += 1
    return _shared.context
