"""Bring a module from libtriton into torch-mlir: its generic text, with `func`'s ops for Triton's; locations are kept."""

from typing import Any

import triton._C.libtriton as libtriton
from torch_mlir import ir

from triton_spacemit.dialect.context import shared_context
from triton_spacemit.passes.ttir_text import as_functions, print_generic


def to_torch_mlir(module: Any) -> ir.Module:
    """The same program as `module` of libtriton, in this thread's context. Calls and branches are left to the structure stage."""
    return ir.Module.parse(as_functions(print_generic(module, libtriton.__file__)), shared_context())
