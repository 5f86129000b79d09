"""Rows that count: weighted instructions on the X60 of kernels on rows and of matrix products, and cycles of the products' inner loops."""

import functools
from collections.abc import Callable
from typing import Any

import torch
import triton.language as tl
from kernels import elementwise, layer_norm, matmul, softmax
from kernels.case import epsilon, error_ratio, random, rounding
from perf import kernels, mca
from perf.handwritten import by_hand
from perf.result import Result, Row, cheapest
from quantised_weights import random_weights

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import Counts, count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.tools import bench
from triton_spacemit.ops.quantised.activations import quantise
from triton_spacemit.ops.quantised.decode import multiply_row, spread

_ROWS, _COLUMNS = 4, 1024


def _checked(launch: kernels.Launch, out: torch.Tensor, expected: torch.Tensor, bound: Any) -> tuple[Counts, float]:
    """What a launch executes, and its error."""
    launch()  # compiles
    out.zero_()
    counts = count(launch)
    return counts, error_ratio(out, expected, bound)


def _detail(counts: Counts, per: float) -> dict[str, Any]:
    return {"instructions": counts.instructions / per, "weighted_by_mnemonic": bench.top(counts, per)}


def _on_rows(name: str, make: Callable[..., kernels.Launch], case: Callable[..., tuple[Any, ...]], _: float) -> Result:
    """`make(*tensors)` launches ours; `case(x)` gives the other inputs, the output, what is expected and its bound."""
    set_device("qemu", "x60")
    x = random(_ROWS, _COLUMNS)
    *others, out, expected, bound = case(x)
    counts, error = _checked(make(x, *others, out), out, expected, bound)
    hand, hand_error = _checked(by_hand(name, x, *others, out), out, expected, bound)
    if hand_error > 1:
        raise AssertionError(f"the loop by hand is wrong: {hand_error:.2g} of the bound")
    detail = _detail(counts, x.numel()) | {"by_hand": _detail(hand, x.numel())}
    return Result(counts.weighted / x.numel(), hand.weighted / x.numel(), error, f"BLOCK={_COLUMNS}", detail)


def _add_case(x: torch.Tensor) -> tuple[Any, ...]:
    y = random(*x.shape, seed=1)
    expected = x.double() + y.double()
    return y, torch.empty_like(x), expected, rounding(expected, x.dtype)


def _layer_norm_case(x: torch.Tensor) -> tuple[Any, ...]:
    w, b = random(x.shape[1], seed=1), random(x.shape[1], seed=2)
    return w, b, torch.empty_like(x), layer_norm.reference(x, w, b), layer_norm.bound(x, w, b)


def _sum_case(x: torch.Tensor) -> tuple[Any, ...]:
    return torch.empty(x.shape[0]), x.double().sum(1), x.double().abs().sum(1) * epsilon(x.dtype) * (8 + x.shape[1] / 16)


def _argmax_case(x: torch.Tensor) -> tuple[Any, ...]:
    return torch.empty(x.shape[0], dtype=torch.int64), x.argmax(1), 0


def _unary_case(case: Any) -> Callable[..., tuple[Any, ...]]:
    return lambda x: (torch.empty_like(x), case.reference(x), case.bound(x))


_gelu = {
    name: functools.partial(_on_rows, name, lambda x, out, op=op: kernels.unary(x, out, op, _COLUMNS), _unary_case(case))
    for name, op, case in (
        ("gelu_tanh", elementwise.gelu_tanh, elementwise.GELU_TANH),
        ("gelu_erf", elementwise.gelu_erf, elementwise.GELU_ERF),
    )
}


def _by_row(name: str, kernel: Any, case: Callable[..., tuple[Any, ...]], extra: tuple[float, ...] = ()) -> Callable[[float], Result]:
    return functools.partial(_on_rows, name, lambda *tensors: kernels.by_row(kernel, *tensors, extra=extra), case)


def _row(name: str, measure: Callable[[float], Result], reach: float | None = None) -> Row:
    speed = 1.0 if reach is None else None
    return Row(f"x60 {name} 1024", "weighted/element", measure, "by hand, LMUL 4", reach=reach, speed=speed)


ON_ROWS = [
    _row("add", functools.partial(_on_rows, "add", lambda x, y, out: kernels.add(x, y, out, _COLUMNS), _add_case), 0.75),
    _row("softmax", _by_row("softmax", kernels.softmax_row_kernel, _unary_case(softmax.SOFTMAX)), 5.0),
    _row("layer norm", _by_row("layer_norm", kernels.layer_norm_row_kernel, _layer_norm_case, (layer_norm.EPSILON,)), 2.1),
    _row("gelu tanh", _gelu["gelu_tanh"], 4.8),
    _row("gelu erf", _gelu["gelu_erf"]),
    _row("sum", _by_row("sum", kernels.sum_row_kernel, _sum_case)),
    _row("argmax", _by_row("argmax", kernels.argmax_row_kernel, _argmax_case)),
]

_ACCUMULATORS = {torch.float16: tl.float16, torch.float32: tl.float32, torch.int32: tl.int32}
_EVEN, _ODD = (256, 256, 256), (255, 257, 251)
_BLOCKS = ((64, 64, 64), (128, 128, 64), (256, 128, 128), (256, 256, 64), (256, 256, 256))


def _operands(size: tuple[int, int, int], dtype: torch.dtype, layout: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B; `layout` has a `t` for each that is stored transposed, else an `n`."""
    m, n, k = size
    a = random(k, m, dtype=dtype).t() if layout[0] == "t" else random(m, k, dtype=dtype)
    b = random(n, k, dtype=dtype, seed=1).t() if layout[1] == "t" else random(k, n, dtype=dtype, seed=1)
    return a, b


def _product_bound(a: torch.Tensor, b: torch.Tensor, out: torch.dtype) -> Any:
    if out == torch.float16:  # accumulated in it
        return a.double().abs() @ b.double().abs() * epsilon(out) * (a.shape[1] + 1)
    return matmul.bound(a, b, out)


@functools.cache
def _best_blocks(dtype: torch.dtype, out: torch.dtype) -> tuple[int, int, int]:
    a, b = _operands(_EVEN, dtype, "nn")
    c = torch.empty(256, 256, dtype=out)

    def cost(blocks: tuple[int, int, int]) -> float:
        launch = kernels.matmul(a, b, c, blocks, _ACCUMULATORS[out])
        launch()
        return count(launch).weighted

    return cheapest(_BLOCKS, cost)


@functools.cache
def _product(dtype: torch.dtype, out: torch.dtype, size: tuple[int, int, int], layout: str) -> Result:
    set_device("qemu", "x60")
    blocks = _best_blocks(dtype, out)
    a, b = _operands(size, dtype, layout)
    c = torch.empty(size[:2], dtype=out)
    launch = kernels.matmul(a, b, c, blocks, _ACCUMULATORS[out])
    counts, error = _checked(launch, c, matmul.reference(a, b), _product_bound(a, b, out))
    macs = size[0] * size[1] * size[2]
    return Result(counts.weighted / macs, None, error, "x".join(map(str, blocks)), _detail(counts, macs))


def _beside_even(dtype: torch.dtype, out: torch.dtype, size: tuple[int, int, int], layout: str, _: float) -> Result:
    result, even = _product(dtype, out, size, layout), _product(dtype, out, _EVEN, "nn")
    return Result(result.value, even.value, result.error, result.config, result.detail)


def _cycles(dtype: torch.dtype, out: torch.dtype, _: float) -> Result:
    """Cycles that llvm-mca gives the inner loop, beside those of its multiplications alone."""
    set_device("qemu", "x60")
    blocks = _best_blocks(dtype, out)
    a, b = _operands(_EVEN, dtype, "nn")
    c = torch.empty(_EVEN[:2], dtype=out)
    compiled: Any = kernels.matmul(a, b, c, blocks, _ACCUMULATORS[out])()
    loop = mca.inner_loop(compiled.asm["asm"])
    return Result(mca.cycles(loop), mca.cycles(mca.multiplications(loop)), config="x".join(map(str, blocks)), detail={"loop": loop})


_TYPES = {
    "f32": (torch.float32, torch.float32, "IREE (given)", 0.206, 0.185),
    "f16, f16 out": (torch.float16, torch.float16, "IREE (given)", 0.096, 0.090),
    "f16, f32 out": (torch.float16, torch.float32, "IREE (given)", 1.09, 0.19),
    "bf16, f32 out": (torch.bfloat16, torch.float32, "", None, 0.30),
    "int8, int32 out": (torch.int8, torch.int32, "IREE (given)", 1.22, 0.022),
}
_LAYOUTS = {"nn": "", "tn": ", A transposed", "nt": ", B transposed", "tt": ", both transposed"}

PRODUCTS = [
    Row(f"x60 {name} 256^3", "weighted/MAC", lambda _, a=a, c=c: _product(a, c, _EVEN, "nn"), anchor, given, reach)
    for name, (a, c, anchor, given, reach) in _TYPES.items()
]
PRODUCTS += [
    Row(
        f"x60 {name} {'odd' if size is _ODD else '256^3'}{suffix}",
        "weighted/MAC",
        functools.partial(_beside_even, a, c, size, layout),
        "even, row-major",
        speed=1 / 1.25,
        slow=name != "f32",
    )
    for name, (a, c, *_) in _TYPES.items()
    for layout, suffix in _LAYOUTS.items()
    for size in (_EVEN, _ODD)
    if (size, layout) != (_EVEN, "nn") and (name == "f32" or (size, layout) in ((_ODD, "nn"), (_EVEN, "nt"), (_ODD, "tn")))
]
PRODUCTS += [
    Row(
        f"x60 {name} k-loop",
        "cycles (llvm-mca)",
        functools.partial(_cycles, a, c),
        "its multiplies",
        speed=1 / (1.4 if a == torch.int8 else 1.15),  # four times as many operands a cycle
    )
    for name, (a, c, *_) in _TYPES.items()
]


def _per_matrix_instruction(_: float) -> Result:
    """Instructions of the whole product for each matrix instruction, and of the inner loop."""
    result = _product(torch.int8, torch.int32, _EVEN, "nn")
    macs = 4 * 4 * 8
    return Result(result.detail["instructions"] * macs, None, result.error, result.config)


def _per_matrix_instruction_in_loop(_: float) -> Result:
    set_device("qemu", "x60")
    blocks = _best_blocks(torch.int8, torch.int32)
    a, b = _operands(_EVEN, torch.int8, "nn")
    compiled: Any = kernels.matmul(a, b, torch.empty(_EVEN[:2], dtype=torch.int32), blocks, tl.int32)()
    loop = [line.split()[0] for line in mca.inner_loop(compiled.asm["asm"]) if not line.startswith("#")]
    return Result(len(loop) / loop.count("smt.vmadot"), config="x".join(map(str, blocks)))


def _one_row(name: str, steps: int, _: float) -> Result:
    """A row of activations times 64 packed columns: the product alone."""
    set_device("qemu", "x60")
    knobs.threads = 1
    packed, out = random_weights(name, 64, steps), torch.empty(64)
    activations = quantise(random(1, steps))
    exact = activations.dequantise()
    expected = (exact @ packed.dequantise(torch.float64).t())[0]
    magnitudes = (exact.abs() @ packed.dequantise(torch.float64).abs().t())[0] + 2 * exact.abs().sum()

    def launch() -> None:
        multiply_row(activations, packed.bytes, packed.packing, None, out)

    counts, error = _checked(launch, out, expected, (steps // packed.packing.group + 4) * 2.0**-24 * magnitudes)
    before = count(lambda: spread(activations, packed.packing))
    products = counts.by_mnemonic["smt.vmadot"]
    return Result((counts.instructions - before.instructions) / products, error=error)


_ONE_ROW = {"Q4_0": (7.6, 2.4), "Q4_1": (8.3, 2.5), "Q4_K": (8.3, 2.5), "Q8_0": (None, 2.0), "Q5_K": (None, None), "Q6_K": (None, None)}
PRODUCTS += [
    Row(
        f"x60 {name}, 1 x {steps} by 64",
        "instructions/vmadot",
        functools.partial(_one_row, name, steps),
        "GGML (given)" if given else "",
        given=given,
        reach=reach,
    )
    for name, (given, reach) in _ONE_ROW.items()
    for steps in (1024, 2048)
]
PRODUCTS += [
    Row("x60 int8 256^3", "instructions/vmadot", _per_matrix_instruction, "GGML's Q4_0 (given)", given=9.1, reach=2.3),
    Row("x60 int8 k-loop", "instructions/vmadot", _per_matrix_instruction_in_loop, "floor (given)", given=1.31, reach=1.6),
]
