"""The bar of exact counts: what small kernels execute on each chip, so that a lost optimisation fails a test and not only a benchmark.

Counts are exact and the same on every machine. `PYTHONPATH=test python -m perf.bar` measures all rows and prints the table `BAR` anew: put
it here after a change that makes some faster.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import triton.language as tl
from kernels import attention, elementwise, layer_norm, matmul, softmax
from kernels.case import epsilon, error_ratio, random
from kernels.overlap import transpose_kernel
from perf import kernels
from quantised_weights import random_weights

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.panels import make_panels
from triton_spacemit.ops.quantised.products import multiply

# Row: (instructions, weighted instructions); the latter count a vector instruction as the registers it works on.
BAR = {
    "x60 add": (640, 2432),
    "x60 softmax": (3320, 10040),
    "x60 layer norm": (1784, 7248),
    "x60 gelu": (3468, 11964),
    "x60 gelu bf16": (4508, 14156),
    "x60 sum": (404, 1344),
    "x60 argmax": (1072, 2740),
    "x60 transpose": (986, 3235),
    "x60 product f32": (17268, 40727),
    "x60 product f16": (17230, 37895),
    "x60 product bf16": (18674, 43895),
    "x60 product int8": (6189, 8532),
    "x60 product int8 by vectors": (18184, 39013),
    "x60 attention": (31318, 76424),
    "x60 quantised rows": (3228, 6204),
    "x60 quantised tiles": (3097, 6009),
    "x60 4 rows of Q2_K": (1773, 4251),
    "x60 16 rows of Q4_K": (3506, 9399),
    "a100 softmax": (1560, 3684),
    "a100 product f32": (8735, 12367),
    "a100 product bf16": (8731, 12110),
    "a100 product int8": (3245, 3775),
}

Prepared = tuple[kernels.Launch, torch.Tensor, torch.Tensor, object]  # a launch, its output, what is expected and its bound


@dataclass(frozen=True)
class Measured:
    instructions: int
    weighted: float
    error: float  # 1 is the bound


def _add() -> Prepared:
    x, y = random(4, 1024), random(4, 1024, seed=1)
    out = torch.empty_like(x)
    return kernels.add(x, y, out, 1024), out, x + y, 0


def _softmax() -> Prepared:
    x = random(4, 700)  # the row ends at its bound and not at the block
    out = torch.empty_like(x)
    return kernels.by_row(kernels.softmax_row_kernel, x, out), out, softmax.SOFTMAX.reference(x), softmax.SOFTMAX.bound(x)


def _layer_norm() -> Prepared:
    x, w, b = random(4, 1024), random(1024, seed=1), random(1024, seed=2)
    out = torch.empty_like(x)
    launch = kernels.by_row(kernels.layer_norm_row_kernel, x, w, b, out, extra=(layer_norm.EPSILON,))
    return launch, out, layer_norm.reference(x, w, b), layer_norm.bound(x, w, b)


def _gelu(dtype: torch.dtype) -> Prepared:
    x = random(4, 1024, dtype=dtype)
    out = torch.empty_like(x)
    case = elementwise.GELU_TANH
    return kernels.unary(x, out, elementwise.gelu_tanh, 1024), out, case.reference(x), case.bound(x)


def _sum() -> Prepared:
    x = random(4, 1024)
    out = torch.empty(4)
    return kernels.by_row(kernels.sum_row_kernel, x, out), out, x.double().sum(1), x.double().abs().sum(1) * epsilon(x.dtype) * 72


def _argmax() -> Prepared:
    x = random(4, 1024)
    out = torch.empty(4, dtype=torch.int64)
    return kernels.by_row(kernels.argmax_row_kernel, x, out), out, x.argmax(1), 0


def _product(dtype: torch.dtype, out: torch.dtype, accumulator: tl.dtype = tl.float32, **options: bool) -> Prepared:
    a, b = random(48, 64, dtype=dtype), random(64, 64, dtype=dtype, seed=1)
    c = torch.empty(48, 64, dtype=out)
    launch = kernels.matmul(a, b, c, (64, 64, 32), accumulator, **options)
    return launch, c, matmul.reference(a, b), matmul.bound(a, b, out)


def _attention() -> Prepared:
    q, k, v = (random(1, 1, 64, 32, seed=seed) for seed in range(3))
    out, log_sum = torch.empty_like(q), torch.empty(1, 1, 64)
    launch = kernels.attention(q, k, v, out, log_sum, False, (32, 32))
    return launch, out, attention.reference(q, k, v, False), attention.bound(q, k, v, False)


def _transpose() -> Prepared:
    """In place: from the input that is there at the time."""
    x = random(64, 64)
    out = torch.empty_like(x)

    def launch() -> None:
        out.copy_(x)
        transpose_kernel[(1,)](out, 64, BLOCK=64)

    return launch, out, x.T, 0


_f32, _f16, _bf16 = torch.float32, torch.float16, torch.bfloat16


def _quantised(order: Order) -> Prepared:
    x = random(4, 1024)
    scales = torch.empty(4, 32)

    def launch() -> None:
        found = quantise(x, order).scales
        scales.copy_(found if order is Order.ROWS else found[0].t())

    return launch, scales, x.reshape(4, 32, 32).abs().amax(2) * (torch.tensor(1.0) / 127), 0


def _packed(name: str, rows: int) -> Prepared:
    """Rows of 512 numbers times 16 packed columns, the product alone."""
    packed, x, out = random_weights(name, 16, 512), random(rows, 512), torch.empty(rows, 16)
    activations = quantise(x, Order.TILES)
    panels, bound = (
        make_panels(activations, packed.packing, 4),
        1e-4 * (activations.dequantise().abs() @ packed.dequantise(torch.float64).abs().T),
    )
    launch = functools.partial(multiply, panels, packed.bytes, packed.packing, None, out, (rows, 1), 4)
    return launch, out, activations.dequantise() @ packed.dequantise(torch.float64).T, bound


ROWS: dict[str, tuple[str, Callable[[], Prepared]]] = {
    "x60 add": ("x60", _add),
    "x60 softmax": ("x60", _softmax),
    "x60 layer norm": ("x60", _layer_norm),
    "x60 gelu": ("x60", functools.partial(_gelu, _f32)),
    "x60 gelu bf16": ("x60", functools.partial(_gelu, _bf16)),
    "x60 sum": ("x60", _sum),
    "x60 argmax": ("x60", _argmax),
    "x60 transpose": ("x60", _transpose),
    "x60 product f32": ("x60", functools.partial(_product, _f32, _f32)),
    "x60 product f16": ("x60", functools.partial(_product, _f16, _f32)),
    "x60 product bf16": ("x60", functools.partial(_product, _bf16, _f32)),
    "x60 product int8": ("x60", functools.partial(_product, torch.int8, torch.int32, tl.int32)),
    "x60 product int8 by vectors": ("x60", functools.partial(_product, torch.int8, torch.int32, tl.int32, allow_ime=False)),
    "x60 attention": ("x60", _attention),
    "x60 quantised rows": ("x60", functools.partial(_quantised, Order.ROWS)),
    "x60 quantised tiles": ("x60", functools.partial(_quantised, Order.TILES)),
    "x60 4 rows of Q2_K": ("x60", functools.partial(_packed, "Q2_K", 4)),
    "x60 16 rows of Q4_K": ("x60", functools.partial(_packed, "Q4_K", 16)),
    "a100 softmax": ("a100", _softmax),
    "a100 product f32": ("a100", functools.partial(_product, _f32, _f32)),
    "a100 product bf16": ("a100", functools.partial(_product, _bf16, _f32)),
    "a100 product int8": ("a100", functools.partial(_product, torch.int8, torch.int32, tl.int32)),
}


def measure(row: str) -> Measured:
    """Run a row once, and count."""
    chip, prepare = ROWS[row]
    set_device("qemu", chip)
    launch, out, expected, bound = prepare()
    counts = count(launch)
    return Measured(counts.instructions, counts.weighted, error_ratio(out, expected, bound))


if __name__ == "__main__":
    print("BAR = {")
    for name in ROWS:
        measured = measure(name)
        print(f'    "{name}": ({measured.instructions}, {measured.weighted:.0f}),')
    print("}")
