"""Rows of quantised products: exact instructions for each matrix instruction on an emulated X60, the product alone, N = 64."""

import functools

import torch
from perf.result import Result, Row

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.quantised import pack
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.formats import get_format
from triton_spacemit.ops.quantised.products import make_panels, multiply

_N = 64
#: What is asked of a format with 4 rows, and with 16.
_REACH = {"Q4_0": (3.2, 2.8), "Q4_1": (3.6, 3.2), "Q4_K": (3.6, 3.2), "Q8_0": (2.6, 2.2), "Q5_K": (None, None), "Q6_K": (None, None)}
#: What GGML's own kernels take, where its first generation has the format.
_GGML = {"Q4_0": 9.1, "Q4_1": 9.7, "Q4_K": 9.7}


def _per_matrix_instruction(name: str, m: int, k: int, _: float) -> Result:
    set_device("qemu", "x60")
    generator, form = torch.Generator().manual_seed(0), get_format(name)
    raw = torch.randint(0, 256, (_N, k // form.weights, form.size), dtype=torch.uint8, generator=generator)
    parts = form.read(raw)
    parts.scale.copy_(torch.rand(parts.scale.shape, generator=generator) + 1 / 64)
    if parts.minimum is not None:
        parts.minimum.copy_(-torch.rand(parts.scale.shape, generator=generator) / 8)
    packed = pack(form.write(parts), name, (_N, k))
    activations = quantise(torch.randn(m, k, generator=generator), Order.TILES)
    panels, out = make_panels(activations, packed.packing, 4), torch.empty(m, _N)
    product = functools.partial(multiply, panels, packed.bytes, packed.packing, None, out, (m, _N), 4)
    with knobs.scope():
        knobs.threads = 1
        product()
        counts = count(product)
    weights = packed.dequantise(torch.float64)
    exact = activations.dequantise() @ weights.T
    bound = 2.0**-24 * (k / 4 + 4) * (activations.dequantise().abs() @ (weights.abs() + 32).T)
    times = sum(number for mnemonic, number in counts.by_mnemonic.items() if mnemonic.startswith("smt."))
    return Result(counts.instructions / times, None, float(((out - exact).abs() / bound).max()), f"K={k}")


ROWS = [
    Row(
        f"x60 {name}, {m} rows, K = {k}",
        "instructions/vmadot",
        functools.partial(_per_matrix_instruction, name, m, k),
        "GGML (given)" if name in _GGML else "",
        given=_GGML.get(name),
        reach=_REACH[name][m >= 16],
        slow=m > 16 or name in ("Q5_K", "Q6_K"),
    )
    for name in _REACH
    for m, k in ((4, 1024), (4, 2048), (16, 1024), (16, 2048), (64, 2048))
]
