"""Rows of the benchmark: element-wise kernels and kernels on rows and columns, in weighted instructions on the X60 and the A100.

Loops by hand are intrinsics and inline assembly for fixed sizes, which know no NaN and no subnormal results of exp: their counts are given.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from kernels import elementwise, layer_norm, softmax
from kernels.case import epsilon, error_ratio, random, rounding
from perf import kernels, loop_kernels
from perf.result import Result, Row, cheapest

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import Counts, count
from triton_spacemit.backend.tools import bench

_ROWS, _COLUMNS = 4, 1024
_WIDTH = 1024  # of what is summed down its columns
Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Prepared:
    """Launches to choose from (one for each choice of blocks), outputs, what they should be within bounds, and units of work."""

    launches: dict[str, kernels.Launch]
    out: Tensors
    expected: Sequence[torch.Tensor]
    bounds: Sequence[Any]
    per: float


def _rows(kernel: Any, tensors: Tensors, *extra: float, columns: int = _COLUMNS, rows: int = _ROWS) -> dict[str, kernels.Launch]:
    """A program for each row; tensors, stride, columns."""
    block = triton.next_power_of_2(columns)
    return {f"BLOCK={block}": lambda: kernel[(rows,)](*tensors, columns, columns, *extra, BLOCK=block)}


def _elements(kernel: Any, tensors: Tensors, block: int = 1024) -> dict[str, kernels.Launch]:
    n = tensors[0].numel()
    return {f"BLOCK={block}": lambda: kernel[(triton.cdiv(n, block),)](*tensors, n, BLOCK=block)}


def _columns(kernel: Any, tensors: Tensors, rows: int, columns: int, blocks: Sequence[int], **sizes: int) -> dict[str, kernels.Launch]:
    """Blocks of columns."""

    def launch(block: int) -> kernels.Launch:
        return lambda: kernel[(triton.cdiv(columns, block),)](*tensors, rows, columns, **sizes, BLOCK=block)

    return {f"BLOCK={block}": launch(block) for block in blocks}


def _sums(terms: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """The error of a float32 sum of `terms`, in lanes of vectors."""
    return terms.double().abs().sum(dim) * epsilon(torch.float32) * (8 + terms.shape[dim] / 8)


def _softmax() -> Prepared:
    x, case = random(_ROWS, _COLUMNS), softmax.SOFTMAX
    out = torch.empty_like(x)
    return Prepared(_rows(kernels.softmax_row_kernel, (x, out)), (out,), [case.reference(x)], [case.bound(x)], x.numel())


def _softmax_backward() -> Prepared:
    y, dy = softmax.reference(random(_ROWS, _COLUMNS)).float(), random(_ROWS, _COLUMNS, seed=1)
    out, terms = torch.empty_like(y), y.double() * dy.double()
    expected = y.double() * (dy.double() - terms.sum(-1, keepdim=True))
    bound = y.double() * (_sums(terms)[:, None] + rounding(dy.double(), torch.float32, 4)) + rounding(expected, torch.float32, 4)
    return Prepared(_rows(loop_kernels.softmax_backward, (dy, y, out)), (out,), [expected], [bound], y.numel())


def _cross_entropy() -> Prepared:
    x, target = random(_ROWS, _COLUMNS), torch.arange(_ROWS) * 7
    out, log_sum = torch.empty(_ROWS), torch.empty(_ROWS)
    expected = torch.nn.functional.cross_entropy(x.double(), target, reduction="none")
    launches = _rows(loop_kernels.cross_entropy, (x, target, out, log_sum))
    return Prepared(launches, (out, log_sum), [expected, x.double().logsumexp(-1)], [1e-5, 1e-5], x.numel())


def _cross_entropy_backward() -> Prepared:
    x, target, dloss = random(_ROWS, _COLUMNS), torch.arange(_ROWS) * 7, random(_ROWS, seed=1)
    out, log_sum = torch.empty_like(x), x.double().logsumexp(-1).float()
    probability = (x.double() - log_sum.double()[:, None]).exp()
    expected = (probability - torch.nn.functional.one_hot(target, _COLUMNS)) * dloss.double()[:, None]
    bound = dloss.double().abs()[:, None] * (probability * epsilon(x.dtype) * 16 + rounding(expected, x.dtype, 4))
    launches = _rows(loop_kernels.cross_entropy_backward, (x, target, log_sum, dloss, out))
    return Prepared(launches, (out,), [expected], [bound + 2.0**-23 * dloss.abs()[:, None]], x.numel())


def _layer_norm() -> Prepared:
    x, w, b = random(_ROWS, _COLUMNS), random(_COLUMNS, seed=1), random(_COLUMNS, seed=2)
    out = torch.empty_like(x)
    launches = _rows(kernels.layer_norm_row_kernel, (x, w, b, out), layer_norm.EPSILON)
    return Prepared(launches, (out,), [layer_norm.reference(x, w, b)], [layer_norm.bound(x, w, b)], x.numel())


def _layer_norm_bf16() -> Prepared:
    x, w, b = random(_ROWS, _COLUMNS, dtype=torch.bfloat16), random(_COLUMNS, seed=1), random(_COLUMNS, seed=2)
    out = torch.empty_like(x)
    launches = _rows(loop_kernels.layer_norm_narrow, (x, w, b, out), layer_norm.EPSILON)
    return Prepared(launches, (out,), [layer_norm.reference(x, w, b)], [layer_norm.bound(x, w, b)], x.numel())


def _layer_norm_dx() -> Prepared:
    dy, x, w, mean, rstd = layer_norm.backward_inputs(size=(_ROWS, _COLUMNS))
    out = torch.empty_like(x)
    launches = _rows(loop_kernels.layer_norm_dx, (dy, x, w, mean, rstd, out))
    expected, bound = layer_norm.backward_reference(dy, x, w)[0], layer_norm.backward_bound(dy, x, w, mean, rstd)[0]
    return Prepared(launches, (out,), [expected], [bound], x.numel())


def _layer_norm_dw(kernel: Any, blocks: Sequence[int], **sizes: int) -> Prepared:
    rows = 64
    dy, x, w, mean, rstd = layer_norm.backward_inputs(size=(rows, _WIDTH))
    dw, db = torch.empty(_WIDTH), torch.empty(_WIDTH)
    launches = _columns(kernel, (dy, x, mean, rstd, dw, db), rows, _WIDTH, blocks, **sizes)
    bounds = layer_norm.backward_bound(dy, x, w, mean, rstd)[1:]
    return Prepared(launches, (dw, db), layer_norm.backward_reference(dy, x, w)[1:], bounds, x.numel())


def _rms_norm() -> Prepared:
    x, w = random(_ROWS, _COLUMNS), random(_COLUMNS, seed=1)
    out, rstd = torch.empty_like(x), torch.empty(_ROWS)
    scale = (x.double().square().mean(-1, keepdim=True) + 1e-5).rsqrt()
    expected = x.double() * scale * w.double()
    launches = _rows(loop_kernels.rms_norm, (x, w, out, rstd), 1e-5)
    return Prepared(launches, (out, rstd), [expected, scale[:, 0]], [rounding(expected, x.dtype, 80), 1e-5], x.numel())


def _rms_norm_dx() -> Prepared:
    dy, x, w = random(_ROWS, _COLUMNS), random(_ROWS, _COLUMNS, seed=1), random(_COLUMNS, seed=2)
    scale = (x.double().square().mean(-1, keepdim=True) + 1e-5).rsqrt()
    rstd, out, wdy = scale[:, 0].float(), torch.empty_like(x), dy.double() * w.double()
    terms = x.double() * wdy
    expected = wdy * scale - x.double() * terms.mean(-1, keepdim=True) * scale**3
    bound = rounding(wdy * scale, x.dtype, 8) + x.double().abs() * (_sums(terms)[:, None] / _COLUMNS * 4) * scale**3
    launches = _rows(loop_kernels.rms_norm_dx, (dy, x, w, rstd, out))
    return Prepared(launches, (out,), [expected], [bound + rounding(expected, x.dtype, 8)], x.numel())


def _unary(op: Any, case: Any) -> Prepared:
    x = random(_ROWS, _COLUMNS)
    out = torch.empty_like(x)
    launch = kernels.unary(x, out, op, _COLUMNS)
    return Prepared({f"BLOCK={_COLUMNS}": launch}, (out,), [case.reference(x)], [case.bound(x)], x.numel())


def _gelu_tanh_backward() -> Prepared:
    dy, x = random(_ROWS, _COLUMNS), random(_ROWS, _COLUMNS, seed=1)
    out, leaf = torch.empty_like(x), x.double().requires_grad_()
    torch.nn.functional.gelu(leaf, approximate="tanh").backward(dy.double())
    bound = dy.double().abs() * (1 + x.double().abs() ** 3) * epsilon(x.dtype) * 16
    return Prepared(_elements(loop_kernels.gelu_tanh_backward, (dy, x, out)), (out,), [leaf.grad], [bound], x.numel())


def _swiglu() -> Prepared:
    gate, up = random(_ROWS, _COLUMNS), random(_ROWS, _COLUMNS, seed=1)
    out = torch.empty_like(gate)
    expected = torch.nn.functional.silu(gate.double()) * up.double()
    return Prepared(_elements(loop_kernels.swiglu, (gate, up, out)), (out,), [expected], [rounding(expected, gate.dtype, 10)], gate.numel())


def _add(dtype: torch.dtype) -> Prepared:
    x, y = random(_ROWS, _COLUMNS, dtype=dtype), random(_ROWS, _COLUMNS, dtype=dtype, seed=1)
    out, expected = torch.empty_like(x), x.double() + y.double()
    return Prepared(_elements(elementwise.add_kernel, (x, y, out)), (out,), [expected], [rounding(expected, dtype)], x.numel())


def _rope() -> Prepared:
    tokens, heads, half = 4, 16, 32
    x, angle = random(tokens, heads, 2 * half), random(tokens, half, seed=1)
    cos, sin, out = angle.cos(), angle.sin(), torch.empty_like(x)
    first, second = x.double().split(half, -1)
    c, s = cos.double()[:, None], sin.double()[:, None]
    expected = torch.cat([first * c - second * s, second * c + first * s], -1)
    bound = torch.cat([first.abs() + second.abs()] * 2, -1) * epsilon(x.dtype) * 4

    def launch() -> object:
        return loop_kernels.rope[(tokens,)](x, cos, sin, out, heads, HALF=half, HEADS=heads)

    return Prepared({"": launch}, (out,), [expected], [bound], x.numel())


def _transpose() -> Prepared:
    x = random(256, 256)
    out = torch.empty_like(x)

    def launch(block: int) -> kernels.Launch:
        return lambda: loop_kernels.transpose[(256 // block, 256 // block)](x, out, 256, 256, BLOCK=block)

    return Prepared({f"BLOCK={block}": launch(block) for block in (32, 64, 128, 256)}, (out,), [x.T], [0], x.numel())


def _sum_columns(kernel: Any, blocks: Sequence[int], **sizes: int) -> Prepared:
    x = random(64, _WIDTH)
    out = torch.empty(_WIDTH)
    return Prepared(_columns(kernel, (x, out), 64, _WIDTH, blocks, **sizes), (out,), [x.double().sum(0)], [_sums(x, 0) * 8], x.numel())


def _cumsum() -> Prepared:
    x = random(_ROWS, _COLUMNS)
    out = torch.empty_like(x)
    bound = x.double().abs().cumsum(-1) * epsilon(x.dtype) * 64
    return Prepared(_rows(loop_kernels.cumsum_rows, (x, out)), (out,), [x.double().cumsum(-1)], [bound], x.numel())


def _vector_matrix(kernel: Any, blocks: Sequence[int], **sizes: int) -> Prepared:
    v, m = random(1024), random(1024, 1024, seed=1)
    out, expected = torch.empty(1024), v.double() @ m.double()
    bound = (v.double().abs() @ m.double().abs()) * epsilon(v.dtype) * 1024
    return Prepared(_columns(kernel, (v, m, out), 1024, 1024, blocks, **sizes), (out,), [expected], [bound], m.numel())


def _depthwise() -> Prepared:
    channels, size = 2, 56
    x, w = random(channels, size, size), random(channels, 3, 3, seed=1)
    out = torch.empty_like(x)
    expected = torch.nn.functional.conv2d(x.double()[None], w.double()[:, None], padding=1, groups=channels)[0]

    def launch(rows: int) -> kernels.Launch:
        return lambda: loop_kernels.depthwise[(triton.cdiv(size, rows), channels)](x, w, out, size, size, ROWS=rows, BLOCK=64)

    return Prepared({f"ROWS={rows}": launch(rows) for rows in (8, 64)}, (out,), [expected], [1e-5], 9 * x.numel())


def _softmax_columns() -> Prepared:
    x = random(64, _WIDTH)
    out, expected = torch.empty_like(x), torch.softmax(x.double(), 0)
    launches = _columns(loop_kernels.softmax_columns, (x, out), 64, _WIDTH, (64, 256), ROWS=64)
    return Prepared(launches, (out,), [expected], [softmax.bound(x.T.contiguous()).T], x.numel())


@dataclass(frozen=True)
class _Asked:
    """by_hand: what a loop by hand costs. reach: the most that ours may."""

    prepare: Callable[[], Prepared]
    by_hand: float | None
    reach: float | None
    unit: str = "element"


_ASKED = {
    "softmax": _Asked(_softmax, 2.88, 3.3),
    "softmax backward": _Asked(_softmax_backward, 1.16, 1.2),
    "cross entropy": _Asked(_cross_entropy, 2.13, 2.5),
    "cross entropy backward": _Asked(_cross_entropy_backward, 2.13, 2.5),
    "layer norm": _Asked(_layer_norm, None, 2.1),
    "layer norm bf16": _Asked(_layer_norm_bf16, 1.84, 2.1),
    "layer norm dx": _Asked(_layer_norm_dx, 1.99, 2.1),
    "layer norm dw and db": _Asked(lambda: _layer_norm_dw(loop_kernels.layer_norm_dw, (64, 128, 1024)), 0.87, 0.95),
    "layer norm dw and db by blocks": _Asked(
        lambda: _layer_norm_dw(loop_kernels.layer_norm_dw_blocks, (64, 128, 256), ROWS=32), 0.87, 0.95
    ),
    "rms norm": _Asked(_rms_norm, 1.05, 1.1),
    "rms norm dx": _Asked(_rms_norm_dx, 1.56, 1.65),
    "gelu erf": _Asked(lambda: _unary(elementwise.gelu_erf, elementwise.GELU_ERF), 2.44, 3.0),
    "gelu tanh": _Asked(lambda: _unary(elementwise.gelu_tanh, elementwise.GELU_TANH), 2.43, 2.8),
    "gelu tanh backward": _Asked(_gelu_tanh_backward, 3.51, 4.0),
    "swiglu": _Asked(_swiglu, 2.76, 3.1),
    "rope": _Asked(_rope, 0.58, 0.65),
    "add": _Asked(lambda: _add(torch.float32), None, 0.75),
    "add f16": _Asked(lambda: _add(torch.float16), 0.28, 0.30),
    "transpose 256^2": _Asked(_transpose, 0.29, 0.35),
    "sum over columns": _Asked(lambda: _sum_columns(loop_kernels.sum_columns, (64, 128, 1024)), 0.28, 0.32),
    "sum over columns in a block": _Asked(lambda: _sum_columns(loop_kernels.sum_columns_block, (64, 256, 1024), ROWS=64), 0.28, 0.32),
    "cumsum": _Asked(_cumsum, 0.75, 1.2),
    "vector times matrix": _Asked(lambda: _vector_matrix(loop_kernels.vector_matrix, (64, 128, 1024)), 0.278, 0.32, "MAC"),
    "vector times matrix by blocks": _Asked(
        lambda: _vector_matrix(loop_kernels.vector_matrix_blocks, (64, 256, 1024), ROWS=32), 0.278, 0.32, "MAC"
    ),
    "depthwise 3x3": _Asked(_depthwise, 0.208, 0.35, "MAC"),
    "softmax over columns": _Asked(_softmax_columns, None, None),
}


def _counted(prepared: Prepared, launch: kernels.Launch) -> tuple[Counts, float]:
    launch()  # compiles
    for out in prepared.out:
        out.zero_()
    counts = count(launch)
    return counts, error_ratio(prepared.out, tuple(prepared.expected), tuple(prepared.bounds))


@functools.cache
def _best(name: str, chip: str) -> tuple[Counts, float, str, float]:
    """What the cheapest choice of blocks executes, its error, which one it is, and units of work."""
    set_device("qemu", chip)
    prepared = _ASKED[name].prepare()
    found: dict[str, tuple[Counts, float]] = {}

    def cost(config: str) -> float:
        found[config] = _counted(prepared, prepared.launches[config])
        return found[config][0].weighted

    config = cheapest(prepared.launches, cost)
    return *found[config], config, prepared.per


def _measure(name: str, chip: str, _: float) -> Result:
    counts, error, config, per = _best(name, chip)
    detail = {"instructions": counts.instructions / per, "weighted_by_mnemonic": bench.top(counts, per)}
    anchor = None if chip == "x60" else _best(name, "x60")[0].weighted / per / 4
    return Result(counts.weighted / per, anchor, error, config, detail)


LOOPS = [
    Row(
        f"x60 loop {name}",
        f"weighted/{asked.unit}",
        functools.partial(_measure, name, "x60"),
        "by hand (given)",
        asked.by_hand,
        asked.reach,
    )
    for name, asked in _ASKED.items()
]
# Four times as long registers: a quarter of the instructions.
LOOPS += [
    Row(
        f"a100 loop {name}",
        f"weighted/{asked.unit}",
        functools.partial(_measure, name, "a100"),
        "a quarter of the X60's",
        speed=1 / 1.08,
        slow=True,
    )
    for name, asked in _ASKED.items()
]
