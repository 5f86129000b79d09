"""Long unrolled programs: they compile however long a chain of operations is, and code grows no faster than they do."""

import re
import sys
import threading
from collections.abc import Callable
from types import FrameType

import pytest
import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile


@triton.jit
def chain(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    v = tl.load(x + i)
    for t in tl.static_range(T):
        v = tl.maximum(v * 0.5, v - t)
    tl.store(out + i, v)


@triton.jit
def chain_of_indices(x, out, step, n, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    j = i
    for t in tl.static_range(T):
        j = j + step * (t + 1)
    tl.store(out + i, tl.load(x + j, j < n), j < n)


@triton.jit
def scalar_chain(x, out, N: tl.constexpr, T: tl.constexpr):
    a = tl.load(x)
    for t in tl.static_range(T):
        a = a * 0.5 + t
    tl.store(out, a)


def run(kernel: triton.JITFunction, turns: int, n: int = 256) -> tuple[torch.Tensor, torch.Tensor, object]:
    x, out = torch.randn(n, generator=torch.Generator().manual_seed(0)), torch.zeros(n)
    return x, out, kernel[(1,)](x, out, N=n, T=turns)


@pytest.mark.parametrize("turns", [200, 700])
def test_chain(host, turns):
    x, out, _ = run(chain, turns)
    want = x
    for t in range(turns):
        want = torch.maximum(want * 0.5, want - t)
    assert torch.equal(out, want)


def test_chain_of_indices(host):
    turns, n, step = 400, 256, 2
    first = step * turns * (turns + 1) // 2
    x, out = torch.randn(first + n), torch.zeros(n)
    chain_of_indices[(1,)](x, out, step, first + 100, N=n, T=turns)
    assert torch.equal(out, torch.cat([x[first : first + 100], torch.zeros(n - 100)]))


def test_scalar_chain(host):
    x, out, _ = run(scalar_chain, 500)
    want = x[0]
    for t in range(500):
        want = want * 0.5 + t
    assert abs(out[0] - want) <= 1e-5 * abs(want)


@triton.jit
def sums(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    v = tl.load(x + i)
    for t in tl.static_range(T):
        v = tl.where(v > t, v * 2 - t, v + tl.sum(v, 0) * 0.001)
    tl.store(out + i, v)


@triton.jit
def many_stores(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    a, b = tl.load(x + i * 3), tl.load(x + i * 3 + 1)
    for t in tl.static_range(T):
        tl.store(out + i + t * 7, a + b)
    tl.store(out + i, a * b)


@triton.jit
def products(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    p = i[:, None] * N + i[None, :]
    a = tl.load(x + p)
    v = a
    for _ in tl.static_range(T):
        v = tl.dot(v, a) * 0.01
    tl.store(out + p, v)


@pytest.mark.parametrize(("kernel", "n", "size"), [(sums, 1024, 1024), (many_stores, 1024, 4096), (products, 16, 256)])
def test_code_grows_with_the_program(host, kernel, n, size):
    """Twice the turns are at most some two times the code: nothing is computed again for each turn behind it."""
    x, out = torch.randn(size), torch.zeros(2 * size)
    short, long = (len(kernel[(1,)](x, out, N=n, T=turns).asm["llir"]) for turns in (24, 48))
    assert long <= 2.3 * short


@triton.jit
def many_buffers(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    for t in tl.static_range(T):
        old = tl.atomic_add(x + t * N + i, 1.0)
        tl.store(out + t * N + i, old + tl.max(old))


def test_many_small_buffers_do_not_use_up_the_stack(host):
    """They are put on the stack up to a limit; a thread with little of it, twice that here, runs the program."""
    n, turns = 256, 280
    x, out, raised = torch.arange(n * turns, dtype=torch.float32), torch.zeros(n * turns), []
    rows = x.clone().view(turns, n)
    expected = rows + rows.max(1, keepdim=True).values
    kernel = many_buffers[(1,)](x, out, N=n, T=turns)
    assert torch.equal(out.view(turns, n), expected)
    on_stack = sum(4 * int(lanes) for lanes in re.findall(r"alloca <(\d+) x float>", kernel.asm["llir"]))
    assert 1 << 17 < on_stack <= 1 << 18 < 4 * n * turns

    def work() -> None:
        try:
            many_buffers[(1,)](x, out, N=n, T=turns)
        except BaseException as error:
            raised.append(error)

    before = threading.stack_size(1 << 19)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert not raised
    assert torch.equal(out.view(turns, n), expected + 2)


@triton.jit
def copies(x, out, N: tl.constexpr, T: tl.constexpr):
    i = tl.arange(0, N)
    for t in tl.static_range(T):
        tl.store(out + t * N + i, tl.load(x + t * N + i) + t)


def _lines_executed(turns: int) -> int:
    """How many lines of Python the loops' pass runs to compile `copies`: its time without the machine's part in it."""
    source = ASTSource(copies, {"x": "*fp32", "out": "*fp32", "N": "constexpr", "T": "constexpr"}, {"N": 64, "T": turns})
    lines = 0

    def count(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        nonlocal lines
        if "/passes/loops/" not in frame.f_code.co_filename:
            return None
        lines += event == "line"
        return count

    outer = sys.gettrace()
    sys.settrace(count)
    try:
        compile(source, target=GPUTarget("cpu", "x60", 32))
    finally:
        sys.settrace(outer)
    return lines


def test_time_grows_no_faster_than_the_number_of_stores(host):
    short, long = _lines_executed(60), _lines_executed(180)
    assert short > 10_000
    assert long <= 3.2 * short
