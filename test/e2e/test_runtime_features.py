"""Triton's runtime beside plain launches: dumps and overrides, hooks, heuristics, futures, processes, the interpreter, aggregates."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import triton
import triton.language as tl
from kernels.elementwise import add_kernel
from triton import knobs
from triton.runtime._async_compile import AsyncCompileMode

from triton_spacemit.backend.errors import OptionError

pytestmark = pytest.mark.usefixtures("host")

SCRIPT = """
import torch
from kernels.elementwise import add_kernel
x, y, out = torch.arange(100.0), torch.ones(100), torch.zeros(100)
add_kernel[(2,)](x, y, out, 100, BLOCK=64)
print(type(add_kernel).__name__, out.sum().item())
"""


def _add(kernel=add_kernel, **options):
    x, y, out = torch.arange(100.0), torch.ones(100), torch.zeros(100)
    compiled = kernel[lambda meta: (triton.cdiv(100, meta["BLOCK"]),)](x, y, out, 100, **options)
    assert torch.equal(out, x + y)
    return compiled


def _run(cache: Path, **variables: str) -> str:
    environment = os.environ | {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parents[1])} | variables
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize(("stage", "operation", "other"), [("ttir", "addf", "subf"), ("xsmt", "addf", "subf"), ("llir", "fadd", "fsub")])
def test_dumped_stage_can_be_replaced(stage, operation, other, tmp_path):
    with knobs.compilation.scope(), knobs.cache.scope():
        knobs.cache.dir = str(tmp_path / "cache")
        knobs.cache.dump_dir = str(tmp_path / "dump")
        knobs.compilation.dump_ir = True
        add_kernel.device_caches.clear()
        _add(BLOCK=64)
    files = {path.suffix: path for path in (tmp_path / "dump").rglob("add_kernel.*")}
    assert set(files) == {".ttir", ".xsmt", ".llir", ".o"}
    files[f".{stage}"].write_text(files[f".{stage}"].read_text().replace(operation, other))
    for suffix in set(files) - {f".{stage}"}:
        files[suffix].unlink()
    printed = _run(tmp_path / "other", TRITON_KERNEL_OVERRIDE="1", TRITON_OVERRIDE_DIR=str(tmp_path / "dump"), TRITON_ALWAYS_COMPILE="1")
    assert printed.split()[-1] == str(float(sum(range(100)) - 100))


def test_object_can_be_replaced_by_an_option(tmp_path):
    path = tmp_path / "product.o"
    path.write_bytes(product_kernel.warmup(*[torch.zeros(1)] * 3, 100, BLOCK=64, grid=(1,)).asm["o"])
    x, out = torch.arange(100.0), torch.zeros(100)
    # The replacement exports the same name.
    sum_kernel[(2,)](x, x, out, 100, BLOCK=64, ir_override=str(path))
    assert torch.equal(out, x * x)


@triton.jit(repr=lambda _: "operation")
def product_kernel(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) * tl.load(y + i, i < n), i < n)


@triton.jit(repr=lambda _: "operation")
def sum_kernel(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


def test_compiles_without_line_numbers(tmp_path):
    assert _run(tmp_path, TRITON_DISABLE_LINE_INFO="1").split() == ["JITFunction", "5050.0"]


def test_storing_binaries_only_is_refused():
    with knobs.compilation.scope():
        knobs.compilation.store_binary_only = True
        with pytest.raises(OptionError, match="TRITON_STORE_BINARY_ONLY"):
            _add(BLOCK=8)


def test_the_interpreter_runs_beside_us(tmp_path):
    assert _run(tmp_path, TRITON_INTERPRET="1").split() == ["InterpretedFunction", "5050.0"]


def test_hooks_and_metadata_of_launches():
    @triton.jit(launch_metadata=lambda grid, kernel, arguments: {"grid": grid, "n": arguments["n"]})
    def store(out, n):
        tl.store(out, n)

    seen = []
    hooks = ((knobs.runtime.launch_enter_hook, "enter"), (knobs.runtime.launch_exit_hook, "exit"))
    with knobs.runtime.scope():
        for hook, when in hooks:
            hook.add(lambda metadata, when=when: seen.append((when, metadata.get()["n"], metadata.get()["grid"])))
        try:
            store[(3,)](torch.zeros(1), 7)
        finally:
            for hook, _ in hooks:
                hook.calls.clear()
    assert seen == [("enter", 7, (3,)), ("exit", 7, (3,))]


def test_heuristics_under_autotune():
    tuned = triton.autotune([triton.Config({}, num_warps=warps) for warps in (2, 4)], key=["n"], reset_to_zero=["output_ptr"])
    _add(tuned(triton.heuristics({"BLOCK": lambda arguments: triton.next_power_of_2(arguments["n"]) // 4})(_renamed)))


@triton.jit
def _renamed(x, y, output_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(output_ptr + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


def test_futures_of_kernels():
    with ThreadPoolExecutor(2) as executor, AsyncCompileMode(executor):
        futures = [add_kernel.warmup(*[torch.zeros(1)] * 3, 100, BLOCK=block, grid=(1,)) for block in (512, 2048)]
        assert [future.result().name for future in futures] == ["add_kernel"] * 2
    _add(BLOCK=512)


def test_a_forked_process_launches():
    _add(BLOCK=64)
    child = os.fork()
    if child == 0:
        try:
            _add(BLOCK=64)
            _add(BLOCK=16)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


class Scaled(NamedTuple):
    source: torch.Tensor
    factor: float


@triton.jit
def apply(function: tl.constexpr, scaled):
    return function(tl.load(scaled.source), scaled.factor)


@triton.jit
def multiply(a, b):
    return a * b


@triton.jit
def tuple_kernel(out, function: tl.constexpr, nested):
    tl.store(out, apply(function, nested[1][0]) + nested[0])


def test_nested_and_named_tuples():
    out = torch.zeros(1)
    tuple_kernel[(1,)](out, multiply, (5, (Scaled(torch.tensor([2.0]), 1.5),)))
    assert out.item() == 8


@triton.constexpr_function
def power(exponent):
    return 2**exponent


@triton.language.core._aggregate
class Line:
    slope: tl.tensor
    offset: tl.constexpr

    @triton.jit
    def at(self, x):
        return self.slope * x + self.offset


@triton.jit
def aggregate_kernel(out, LOG: tl.constexpr):
    line = Line(tl.load(out + tl.arange(0, power(LOG))), tl.constexpr(3))
    for i in range(2):
        line = Line(line.slope + i, line.offset)
    tl.store(out + tl.arange(0, power(LOG)), line.at(2.0))


def test_aggregates_and_constexpr_functions():
    out = torch.arange(8.0)
    aggregate_kernel[(1,)](out, 3)
    assert torch.equal(out, (torch.arange(8.0) + 1) * 2 + 3)


def test_a_kernel_is_loaded_before_its_first_launch():
    """From what a hook was told of it when it was compiled, as services do when they start."""

    @triton.jit
    def fill(out, n, BLOCK: tl.constexpr):
        i = tl.arange(0, BLOCK)
        tl.store(out + i, n, i < n)

    told = []
    with knobs.runtime.scope():
        knobs.runtime.jit_cache_hook = lambda compile, **_: told.append(compile["specialization_data"])
        fill[(1,)](torch.zeros(8), 5, BLOCK=8)
    fill.device_caches.clear()
    out = torch.zeros(8)
    kernel = fill.preload(told[0])
    assert fill[(1,)](out, 5, BLOCK=8) is kernel
    assert out.tolist() == [5, 5, 5, 5, 5, 0, 0, 0]
