"""Rows of quantised products: exact instructions for each matrix instruction on an emulated core, the product alone, N = 64."""

import functools
from collections.abc import Callable

import torch
from perf.result import Result, Row
from quantised_weights import random_weights

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.quantised import Packed, pack, pairs, wide, widening
from triton_spacemit.ops.quantised.activations import Activations, Order, quantise
from triton_spacemit.ops.quantised.formats import get_format
from triton_spacemit.ops.quantised.panels import make_panels
from triton_spacemit.ops.quantised.products import multiply

_N = 64
#: What is asked of a format with 4 rows, and with 16.
_REACH = {"Q4_0": (3.2, 2.8), "Q4_1": (3.6, 3.2), "Q4_K": (3.6, 3.2), "Q8_0": (2.6, 2.2), "Q5_K": (None, None), "Q6_K": (None, None)}
#: What GGML's own kernels take, where its first generation has the format.
_GGML = {"Q4_0": 9.1, "Q4_1": 9.7, "Q4_K": 9.7}


def _small_tiles(x: torch.Tensor, packed: Packed, out: torch.Tensor) -> tuple[Activations, Callable[[], None]]:
    """What four rows and more are multiplied as on tiles of 4 x 4 x 8."""
    activations = quantise(x, Order.TILES)
    panels = make_panels(activations, packed.packing, 4)
    return activations, functools.partial(multiply, panels, packed.bytes, packed.packing, None, out, (x.shape[0], 4), 4)


def _large_tiles(x: torch.Tensor, packed: Packed, out: torch.Tensor) -> tuple[Activations, Callable[[], None]]:
    """On tiles of 8 x 8 x 16."""
    rows, packing = x.shape[0], packed.packing
    if pairs.takes(packing, rows, x.shape[1]):
        activations = quantise(x)
        return activations, functools.partial(pairs.multiply, pairs.panels_of(activations, packing), rows, packed.bytes, packing, None, out)
    activations = quantise(x, Order.TILES)
    panels = make_panels(activations, packing, wide.ROWS)
    return activations, functools.partial(wide.multiply, panels, packed.bytes, packing, None, out, (rows, 2))


_PRODUCTS = {"x60": _small_tiles, "a100": _large_tiles}


def _per_matrix_instruction(chip: str, name: str, m: int, k: int, _: float) -> Result:
    set_device("qemu", chip)
    generator, form = torch.Generator().manual_seed(0), get_format(name)
    raw = torch.randint(0, 256, (_N, k // form.weights, form.size), dtype=torch.uint8, generator=generator)
    parts = form.read(raw)
    parts.scale.copy_(torch.rand(parts.scale.shape, generator=generator) + 1 / 64)
    if parts.minimum is not None:
        parts.minimum.copy_(-torch.rand(parts.scale.shape, generator=generator) / 8)
    packed = pack(form.write(parts), name, (_N, k))
    out = torch.empty(m, _N)
    activations, product = _PRODUCTS[chip](torch.randn(m, k, generator=generator), packed, out)
    with knobs.scope():
        knobs.threads = 1
        product()
        counts = count(product)
    weights = packed.dequantise(torch.float64)
    exact = activations.dequantise() @ weights.T
    bound = 2.0**-24 * (k / 4 + 4) * (activations.dequantise().abs() @ (weights.abs() + 32).T)
    times = sum(number for mnemonic, number in counts.by_mnemonic.items() if mnemonic.startswith("smt."))
    return Result(counts.instructions / times, None, float(((out - exact).abs() / bound).max()), f"K={k}")


def _per_multiplication(name: str, m: int, _: float) -> Result:
    """On vectors without a matrix unit, K = 1024."""
    set_device("qemu", "x60")
    generator, k = torch.Generator().manual_seed(0), 1024
    packed, x, out = random_weights(name, _N, k), torch.randn(m, k, generator=generator), torch.empty(m, _N)
    activations = quantise(x)
    product = functools.partial(widening.multiply, activations, packed.bytes, packed.packing, None, out)
    with knobs.scope():
        knobs.threads = 1
        product()
        counts = count(product)
    weights = packed.dequantise(torch.float64)
    bound = 2.0**-24 * (k / 4 + 4) * (activations.dequantise().abs() @ (weights.abs() + 32).T)
    error = float(((out - activations.dequantise() @ weights.T).abs() / bound).max())
    return Result(counts.weighted / (m * _N * k), None, error, f"K={k}")


_PLAIN = 0.182  # of the plain product of bytes by vectors, which a quantised one may take 1.3 times

ROWS = [
    *(
        Row(
            f"x60 {name}, {m} rows, K = {k}",
            "instructions/vmadot",
            functools.partial(_per_matrix_instruction, "x60", name, m, k),
            "GGML (given)" if name in _GGML else "",
            given=_GGML.get(name),
            reach=_REACH[name][m >= 16],
            slow=m > 16 or name in ("Q5_K", "Q6_K"),
        )
        for name in _REACH
        for m, k in ((4, 1024), (4, 2048), (16, 1024), (16, 2048), (64, 2048))
    ),
    *(
        Row(
            f"a100 {name}, {m} row{'s' * (m > 1)}, K = 2048",
            "instructions/vmadot",
            functools.partial(_per_matrix_instruction, "a100", name, m, 2048),
            slow=m > 16 or name in ("Q5_K", "Q6_K"),
        )
        for name in _REACH
        for m in (1, 4, 16, 64)
    ),
    *(
        Row(
            f"x60 {name} by vectors, {m} row{'s' * (m > 1)}",
            "weighted/MAC",
            functools.partial(_per_multiplication, name, m),
            "int8 product (given)",
            given=_PLAIN,
            reach=1.3 * _PLAIN if m > 16 else None,
            slow=m == 16 or name in ("Q5_K", "Q6_K"),
        )
        for name in _REACH
        for m in (1, 16, 64)
    ),
]
