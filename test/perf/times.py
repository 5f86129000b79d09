"""Rows that time: kernels on the host beside PyTorch, launches, and memory."""

import functools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import triton.language as tl
from kernels import attention, elementwise, layer_norm, matmul, softmax
from kernels.case import error_ratio, random, rounding
from perf import kernels, peak
from perf.result import Result, Row, cheapest
from quantised_weights import random_weights

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.tools import bench
from triton_spacemit.ops import quantised

_GROWTH_KERNELS = 1000
functional = torch.nn.functional


def _set_threads(threads: int) -> None:
    set_device("host")
    knobs.threads = threads
    torch.set_num_threads(threads)


def _clock() -> Callable[[], float]:
    return time.thread_time if knobs.num_threads == 1 else time.perf_counter


def _once(launch: kernels.Launch) -> float:
    """A rough time, to choose by."""
    return min(bench.time_in_turns([launch], seconds=0.1, turns=2, clock=_clock())[0])


def _beside_torch(
    ours: Callable[[Any], kernels.Launch],
    configs: Sequence[Any],
    theirs: kernels.Launch,
    out: torch.Tensor,
    expected: Any,
    bound: Any,
    share: float,
) -> Result:
    """The best of `ours(config)`, checked, and PyTorch, in turns."""
    config = cheapest(configs, lambda config: _once(ours(config)))
    launch = ours(config)
    out.zero_()
    launch()
    error = error_ratio(out, expected, bound)
    mine, other = bench.time_in_turns([launch, theirs], seconds=share, clock=_clock())
    detail = {"median": statistics.median(mine) * 1e3, "anchor_median": statistics.median(other) * 1e3, "calls": len(mine)}
    return Result(min(mine) * 1e3, min(other) * 1e3, error, str(config), detail)


def _add(count: int, threads: int, share: float) -> Result:
    _set_threads(threads)
    x, y = random(count), random(count, seed=1)
    out, result = torch.empty_like(x), torch.empty_like(x)
    expected = x.double() + y.double()
    ours = lambda block: kernels.add(x, y, out, block)  # noqa: E731
    theirs = lambda: torch.add(x, y, out=result)  # noqa: E731
    return _beside_torch(ours, (4096, 16384, 65536), theirs, out, expected, rounding(expected, x.dtype), share)


def _softmax(shape: tuple[int, int], threads: int, share: float) -> Result:
    _set_threads(threads)
    x = random(*shape)
    out, result = torch.empty_like(x), torch.empty_like(x)
    theirs = lambda: torch.softmax(x, 1, out=result)  # noqa: E731
    ours = lambda _: kernels.by_row(kernels.softmax_row_kernel, x, out)  # noqa: E731
    return _beside_torch(ours, shape[1:], theirs, out, softmax.reference(x), softmax.bound(x), share)


def _layer_norm(shape: tuple[int, int], threads: int, share: float) -> Result:
    _set_threads(threads)
    rows, columns = shape
    x, w, b = random(*shape), random(columns, seed=1), random(columns, seed=2)
    out, result, mean, rstd = torch.empty_like(x), torch.empty_like(x), torch.empty(rows, 1), torch.empty(rows, 1)
    theirs = lambda: torch.native_layer_norm(x, (columns,), w, b, layer_norm.EPSILON, out0=result, out1=mean, out2=rstd)  # noqa: E731
    try:
        theirs()
    except TypeError:  # not every version has a form with outputs
        theirs = lambda: torch.native_layer_norm(x, (columns,), w, b, layer_norm.EPSILON)  # noqa: E731
    ours = lambda _: kernels.by_row(kernels.layer_norm_row_kernel, x, w, b, out, extra=(layer_norm.EPSILON,))  # noqa: E731
    return _beside_torch(ours, shape[1:], theirs, out, layer_norm.reference(x, w, b), layer_norm.bound(x, w, b), share)


def _gelu(op: Any, case: Any, approximate: str, shape: tuple[int, int], threads: int, share: float) -> Result:
    _set_threads(threads)
    x = random(*shape)
    out, result = torch.empty_like(x), torch.empty_like(x)
    theirs = lambda: torch.ops.aten.gelu.out(x, approximate=approximate, out=result)  # noqa: E731
    ours = lambda block: kernels.unary(x, out, op, block)  # noqa: E731
    return _beside_torch(ours, (1024, 4096, 16384), theirs, out, case.reference(x), case.bound(x), share)


_ROWS = {
    "softmax": _softmax,
    "layer norm": _layer_norm,
    "gelu tanh": functools.partial(_gelu, elementwise.gelu_tanh, elementwise.GELU_TANH, "tanh"),
    "gelu erf": functools.partial(_gelu, elementwise.gelu_erf, elementwise.GELU_ERF, "none"),
}
_ELEMENTWISE = {"add 2^24": functools.partial(_add, 1 << 24)}
_ELEMENTWISE |= {name: functools.partial(row, (4096, 1024)) for name, row in _ROWS.items()}
_ODD = {"add 5000001": functools.partial(_add, 5000001)}
_ODD |= {f"{name}, {m} x {n}": functools.partial(row, (m, n)) for m, n in ((3000, 1500), (1000, 777)) for name, row in _ROWS.items()}
_ELEMENTWISE |= _ODD
_measured: dict[tuple[str, int], Result] = {}


def _element_row(name: str, threads: int, share: float) -> Result:
    _measured[name, threads] = result = _ELEMENTWISE[name](threads, share)
    return result


def _geometric_mean(threads: int, share: float) -> Result:
    """Of the rows above: their times as one time."""
    results = [_measured.get((name, threads)) or _element_row(name, threads, share) for name in _ELEMENTWISE]
    ours = math.exp(statistics.fmean(math.log(result.value) for result in results))
    theirs = math.exp(statistics.fmean(math.log(result.anchor or 1) for result in results))
    return Result(ours, theirs, max(result.error for result in results))


_BLOCKS = ((64, 64, 64), (128, 256, 128), (256, 128, 128), (256, 256, 256), (256, 512, 256), (512, 512, 256), (1024, 256, 256))
_ACCUMULATORS = {torch.float32: tl.float32, torch.bfloat16: tl.float32, torch.int8: tl.int32}


def _product(size: tuple[int, int, int], dtype: torch.dtype, threads: int, share: float) -> Result:
    _set_threads(threads)
    m, n, k = size
    a, b = random(m, k, dtype=dtype), random(k, n, dtype=dtype, seed=1)
    c = torch.empty(m, n, dtype=torch.int32 if dtype == torch.int8 else dtype)
    result = torch.empty_like(c)
    theirs = (lambda: torch._int_mm(a, b, out=result)) if dtype == torch.int8 else (lambda: torch.mm(a, b, out=result))
    ours = lambda blocks: kernels.matmul(a, b, c, blocks, _ACCUMULATORS[dtype])  # noqa: E731
    expected = (a.double() @ b.double()).to(torch.int32) if dtype == torch.int8 else matmul.reference(a, b)
    measured = _beside_torch(ours, _BLOCKS, theirs, c, expected, matmul.bound(a, b), share)
    work = 2e-6 * m * n * k
    measured.detail.update(gflops=work / measured.value, anchor_gflops=work / (measured.anchor or math.inf))
    return measured


def _attention(causal: bool, threads: int, share: float) -> Result:
    _set_threads(threads)
    q, k, v = (random(2, 8, 1024, 64, seed=seed) for seed in range(3))
    out, log_sum = torch.empty_like(q), torch.empty(2, 8, 1024)
    theirs = lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=causal)  # noqa: E731
    ours = lambda blocks: kernels.attention(q, k, v, out, log_sum, causal, blocks)  # noqa: E731
    blocks = ((32, 64), (64, 64), (64, 128), (128, 128), (128, 256))
    return _beside_torch(ours, blocks, theirs, out, attention.reference(q, k, v, causal), attention.bound(q, k, v, causal), share)


def _beside_peak(size: tuple[int, int, int], share: float) -> Result:
    """A float32 product, and the time of its operations in a loop that does nothing else, in turns with a quarter of these and PyTorch."""
    _set_threads(1)
    m, n, k = size
    a, b = random(m, k), random(k, n, seed=1)
    c, result = torch.empty(m, n), torch.empty(m, n)
    ours = lambda blocks: kernels.matmul(a, b, c, blocks, tl.float32)  # noqa: E731
    config = cheapest(_BLOCKS, lambda config: _once(ours(config)))
    launch = ours(config)
    c.zero_()
    launch()
    error = error_ratio(c, matmul.reference(a, b), matmul.bound(a, b))
    work = 2.0 * m * n * k
    at_peak, done = peak.loop(work / 4)
    functions = [launch, at_peak, lambda: torch.mm(a, b, out=result)]
    mine, least, other = bench.time_in_turns(functions, seconds=share, clock=_clock())
    rates = {"gflops": work / min(mine), "peak_gflops": done / min(least), "torch_gflops": work / min(other)}
    detail = {name: rate * 1e-9 for name, rate in rates.items()} | {"calls": len(mine)}
    return Result(min(mine) * 1e3, min(least) * work / done * 1e3, error, str(config), detail)


_THREADS = {1: "1 thread", 2: "2 threads"}
_SIZES = {str(size): (size,) * 3 for size in (512, 768, 1024, 1536, 2048)}
_SLOW = ("1536", "2048")
_SIZES |= {"x".join(map(str, size)): size for size in ((515, 509, 513), (1001, 1003, 999))}

HOST = [
    Row(
        f"host {name}, {label}",
        "ms",
        functools.partial(_element_row, name, threads),
        "torch",
        speed=1.1 if threads == 1 else 0.95,
        slow=name in _ODD and threads > 1,
    )
    for threads, label in _THREADS.items()
    for name in _ELEMENTWISE
]
HOST += [
    Row(f"host geometric mean, {label}", "ms", functools.partial(_geometric_mean, threads), "torch", speed=1.4 if threads == 1 else 1.2)
    for threads, label in _THREADS.items()
]
HOST += [
    Row(
        f"host f32 {name}, {label}",
        "ms",
        functools.partial(_product, size, torch.float32, threads),
        "torch.mm",
        speed=1.3,
        slow=name in _SLOW,
    )
    for threads, label in _THREADS.items()
    for name, size in _SIZES.items()
]
HOST += [
    Row(f"host f32 {name} of the peak, 1 thread", "ms", functools.partial(_beside_peak, size), "FMA peak", speed=0.92, slow=name in _SLOW)
    for name, size in _SIZES.items()
]
HOST += [
    Row(f"host {name} 1024, {label}", "ms", functools.partial(_product, _SIZES["1024"], dtype, threads), "torch.mm", speed=0.5)
    for threads, label in _THREADS.items()
    for name, dtype in (("bf16", torch.bfloat16), ("int8", torch.int8))
]
HOST += [
    Row(f"host attention{suffix}, {label}", "ms", functools.partial(_attention, causal, threads), "torch sdpa", speed=1.2)
    for threads, label in _THREADS.items()
    for causal, suffix in ((False, ""), (True, ", causal"))
]


def _quantised_linear(name: str, rows: int, share: float) -> Result:
    """A linear layer of 4096 x 4096 with packed weights, all of it, beside PyTorch's.

    For 4 bits that takes bfloat16 and a scale for each 32 weights. For 8 bits it is `_int_mm` of bytes that are there already, and no
    scales.
    """
    _set_threads(1)
    size = 4096
    packed, x = random_weights(name, size, size), random(rows, size)
    weights = torch.randint(-128, 128, (size, size), dtype=torch.int8)
    if name == "Q4_0":
        four = torch._convert_weight_to_int4pack_for_cpu(weights.int() & 15, 2)
        scales, halves = torch.ones(size // 32, size, 2, dtype=torch.bfloat16), x.bfloat16()
        theirs = lambda: torch._weight_int4pack_mm_for_cpu(halves, four, 32, scales)  # noqa: E731
    else:
        values = quantised.activations.quantise(x).values
        theirs = lambda: torch._int_mm(values, weights.t())  # noqa: E731
    activations = quantised.activations.quantise(x).dequantise()
    expected = activations @ packed.dequantise(torch.float64).t()
    bound = (size // 32 + 4) * 2.0**-24 * (activations.abs() @ packed.dequantise(torch.float64).t().abs())
    error = error_ratio(quantised.linear(x, packed), expected, bound)
    mine, other = bench.time_in_turns([lambda: quantised.linear(x, packed), theirs], seconds=share, clock=_clock())
    return Result(min(mine) * 1e3, min(other) * 1e3, error, "", {"calls": len(mine)})


HOST += [
    Row(
        f"host quantised linear {name}, {rows} row{'s' * (rows > 1)}, 1 thread",
        "ms",
        functools.partial(_quantised_linear, name, rows),
        "torch int4 (bf16)" if name == "Q4_0" else "torch._int_mm",
        speed=1.0,
    )
    for name in ("Q4_0", "Q8_0")
    for rows in (1, 128)
]


def _launch(through_triton: bool, share: float) -> Result:
    _set_threads(1)
    tensors = [torch.empty(16) for _ in range(3)]
    arguments = (*tensors, 7, 0.5)
    compiled = kernels.empty_kernel[(1,)](*arguments)

    def through_kernel() -> None:
        for _ in range(1000):
            kernels.empty_kernel[(1,)](*arguments)

    def through_launcher() -> None:
        run, function, metadata = compiled.run, compiled.function, compiled.packed_metadata
        for _ in range(1000):
            run(1, 1, 1, 0, function, metadata, None, None, None, *arguments)

    times = bench.time_in_turns([through_kernel if through_triton else through_launcher], seconds=share, turns=20, clock=_clock())[0]
    return Result(min(times) * 1e3, detail={"median": statistics.median(times) * 1e3})


def _growth(_: float) -> Result:
    """In a process of its own."""
    script = Path(__file__).parent / "growth.py"
    result = subprocess.run([sys.executable, str(script), str(_GROWTH_KERNELS)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr.strip().splitlines()[-1])
    return Result(float(result.stdout), config=f"{_GROWTH_KERNELS} kernels")


PROCESS = [
    Row("launch through kernel[grid]", "us", functools.partial(_launch, True), reach=8),
    Row("launch in the launcher", "us", functools.partial(_launch, False), reach=2),
    Row("memory growth", "MB", _growth, reach=100, slow=True),
]
