"""Products in compiled graphs: this project's kernels in place of PyTorch's where they are faster.

A graph calls `triton_spacemit::mm` and its kin, operators of this project's own, which take any strides and return dense matrices, as
PyTorch's do. Those of PyTorch stay what they are.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from triton_spacemit.backend.knobs import active_target
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.ops.products import matrices

_DTYPES = (torch.float32, torch.float64)
_SCHEMAS = {
    "mm": "(Tensor a, Tensor b) -> Tensor",
    "bmm": "(Tensor a, Tensor b) -> Tensor",
    "addmm": "(Tensor start, Tensor a, Tensor b, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "baddbmm": "(Tensor start, Tensor a, Tensor b, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
}
_library = torch.library.Library("triton_spacemit", "DEF")


def are_faster() -> bool:
    """Whether products of this machine's floats are faster here than in PyTorch: not where MKL is at home, on Intel's processors."""
    device, chip = active_target()
    if device != "host":
        return False
    return not torch.backends.mkl.is_available() or get_chip(chip).cpu.startswith("znver")


def _shape(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


def _define(name: str) -> None:
    """The operator: our implementation, or PyTorch's own where that has no answer."""
    ours: Callable[..., Any] = getattr(matrices, name)
    theirs = getattr(torch.ops.aten, name).default

    def product(*args: Any, **kwargs: Any) -> Tensor:
        result = ours(*args, **kwargs)
        return theirs(*args, **kwargs) if result is NotImplemented else result

    _library.define(name + _SCHEMAS[name], tags=(torch.Tag.flexible_layout, torch.Tag.pt2_compliant_tag))
    _library.impl(name, product, "CPU")
    _library.impl(name, lambda *args, **_: _shape(*args[-2:]), "Meta")


for _name in _SCHEMAS:
    _define(_name)


@functools.cache
def _replacements() -> dict[Any, Any]:
    return {getattr(torch.ops.aten, name).default: getattr(torch.ops.triton_spacemit, name).default for name in _SCHEMAS}


def replace_products(graph: fx.Graph) -> None:
    """Products of float32 and float64 on the CPU become ours."""
    for target, ours in _replacements().items():
        for node in graph.find_nodes(op="call_function", target=target):
            value = node.meta.get("val")
            if isinstance(value, Tensor) and value.device.type == "cpu" and value.dtype in _DTYPES:
                node.target = ours
