"""Parallel loops, barriers and buffers: results, more iterations than threads, deadlocks, faults."""

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs


def runs(target):
    """Launches and programs of each: ten thousand runs of a program in all. Those of one launch run in the guest without the host."""
    return (10000, 1) if target == "host" else (100, 100)


@triton.jit
def scale_kernel(x, out, n, step, BLOCK: tl.constexpr):
    for i in smt.parallel(1, n, step):
        index = i * BLOCK + tl.arange(0, BLOCK)
        tl.store(out + index, tl.load(x + index) * i)


@pytest.mark.parametrize("block", [16, 1024])
def test_iterations(target, block):
    x, out = torch.randn(9, block), torch.zeros(9, block)
    scale_kernel[(1,)](x, out, 9, 3, BLOCK=block)
    expected = torch.zeros(9, block)
    for i in (1, 4, 7):
        expected[i] = x[i] * i
    assert torch.equal(out, expected)


@triton.jit
def backwards_kernel(out, first, last):
    for i in smt.parallel(first, last, -2):
        tl.store(out + i, i)


def test_iterations_backwards(target):
    out = torch.zeros(10, dtype=torch.int32)
    backwards_kernel[(1,)](out, 9, 2)
    assert out.tolist() == [0, 0, 0, 3, 0, 5, 0, 7, 0, 9]


@triton.jit
def alone_kernel(x, n):
    """Iterations that use nothing from around them."""
    for i in smt.parallel(0, n):
        tl.device_assert(i < 4, "fewer than five")
    tl.store(x, n)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_iterations_that_need_nothing(target, n):
    x = torch.zeros(1, dtype=torch.int32)
    alone_kernel[(1,)](x, n, debug=True)
    assert x.item() == n
    with pytest.raises(RuntimeError, match="fewer than five"):
        alone_kernel[(1,)](x, 5, debug=True)


@triton.jit
def scratch_kernel(x, out, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Each iteration keeps a block of its own in memory while it uses it twice."""
    for i in smt.parallel(0, n):
        block = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        row = tl.load(x + i * ROWS * COLUMNS + block)
        total = tl.cumsum(row, 1)
        tl.store(out + i * ROWS * COLUMNS + block, tl.trans(tl.trans(total) - tl.max(total, 1)[None, :]))


def test_threads_have_memory_of_their_own(target):
    x = torch.randint(-9, 9, (12, 8, 128)).float()
    out = torch.empty_like(x)
    scratch_kernel[(1,)](x, out, 12, ROWS=8, COLUMNS=128)
    total = x.cumsum(2)
    assert torch.equal(out, total - total.amax(2, keepdim=True))


@triton.jit
def nested_kernel(out, n, m):
    for i in smt.parallel(0, n):
        for j in smt.parallel(0, m):
            tl.store(out + i * m + j, i * 100 + j)


def test_nested_loops(target):
    out = torch.zeros(5, 7, dtype=torch.int32)
    nested_kernel[(1,)](out, 5, 7)
    assert torch.equal(out, torch.arange(5, dtype=torch.int32)[:, None] * 100 + torch.arange(7, dtype=torch.int32))


@triton.jit
def producer_kernel(x, out, n, BLOCK: tl.constexpr):
    """The last iteration fills the buffer that all others wait for."""
    out += tl.program_id(0) * n * BLOCK
    buffer = smt.alloc((1, BLOCK))
    ready = smt.mbarrier(flag=0, expect_count=1)
    for i in smt.parallel(0, n):
        index = tl.arange(0, BLOCK)[None, :]
        if i == n - 1:
            tl.store(buffer, tl.load(x + index) * 3)
            smt.barrier_arrive(ready)
        else:
            smt.barrier_wait(ready, flag=1)
        tl.store(out + i * BLOCK + index, tl.load(buffer) + i)


def test_producer_and_consumers(target):
    iterations = 16 if target == "host" else 5
    x = torch.randn(64)
    expected = x * 3 + torch.arange(iterations)[:, None]
    launches, programs = runs(target)
    for _ in range(launches):
        out = torch.empty(programs, iterations, 64)
        producer_kernel[(programs,)](x, out, iterations, BLOCK=64)
        assert (out == expected).all()


@triton.jit
def meet(bar, out, i, n):
    """Write a number, and when all `n` have done so, the sum of all numbers."""
    tl.store(out + i, i + 1)
    smt.barrier_arrive(bar)
    smt.barrier_wait(bar, flag=1)
    total = 0
    for j in range(n):
        total += tl.load(out + j)
    tl.store(out + n + i, total)


@triton.jit
def all_to_all_kernel(out, n):
    out += tl.program_id(0) * n * 2
    bar = smt.mbarrier(expect_count=n)
    for i in smt.parallel(0, n):
        meet(bar, out, i, n)


def test_all_to_all(target):
    n = 16 if target == "host" else 6
    launches, programs = runs(target)
    for _ in range(launches):
        out = torch.zeros(programs, 2, n, dtype=torch.int32)
        all_to_all_kernel[(programs,)](out, n)
        assert (out[:, 1] == n * (n + 1) // 2).all()


@triton.jit
def phases_kernel(out, n, PHASES: tl.constexpr):
    """In each phase everybody adds what its neighbour wrote in the phase before."""
    bars = smt.mbarrier_copies(expect_count=n, copies=PHASES)
    for i in smt.parallel(0, n):
        value = i + 1
        for phase in range(PHASES):
            tl.store(out + phase * n + i, value)
            smt.barrier_arrive(bars[phase])
            smt.barrier_wait(bars[phase], flag=1)
            value += tl.load(out + phase * n + (i + 1) % n)
        tl.store(out + PHASES * n + i, value)


def test_many_barriers(target):
    n, phases = 8, 5
    out = torch.zeros(phases + 1, n, dtype=torch.int32)
    phases_kernel[(1,)](out, n, PHASES=phases)
    value = torch.arange(1, n + 1, dtype=torch.int32)
    for phase in range(phases):
        assert torch.equal(out[phase], value)
        value = value + value.roll(-1)
    assert torch.equal(out[phases], value)


@triton.jit
def global_kernel(out, n):
    meet(smt.global_mbarrier(5), out, tl.program_id(0), n)


def test_barrier_between_programs(target):
    """Forty programs meet on four threads."""
    for _ in range(500 if target == "host" else 20):
        out = torch.zeros(80, dtype=torch.int32)
        global_kernel[(40,)](out, 40)
        assert (out[40:] == 40 * 41 // 2).all()


@triton.jit
def buffers_kernel(x, out, COPIES: tl.constexpr, BLOCK: tl.constexpr):
    buffers = smt.alloc_copies((1, BLOCK), tl.float16, copies=COPIES)
    index = tl.arange(0, BLOCK)[None, :]
    for i in range(COPIES):
        tl.store(buffers[i], tl.load(x + i * BLOCK + index))
    for i in range(COPIES):
        tl.store(out + i * BLOCK + index, tl.load(buffers[COPIES - 1 - i]))


def test_copies_of_buffers(target):
    x = torch.randn(3, 2048).half()
    out = torch.empty_like(x)
    buffers_kernel[(1,)](x, out, COPIES=3, BLOCK=2048)
    assert torch.equal(out, x.flip(0))


@triton.jit
def expect_kernel(out, n):
    bar = smt.mbarrier(expect_count=1000)
    smt.barrier_set_expect(bar, n)
    for i in smt.parallel(0, n):
        smt.barrier_arrive(bar)
        smt.barrier_wait(bar, flag=1)
        tl.store(out + i, smt.get_num_of_thread())


def test_expect_and_number_of_threads(target):
    out = torch.zeros(6, dtype=torch.int32)
    expect_kernel[(1,)](out, 6)
    assert (out == knobs.num_threads).all()


@triton.jit
def deadlock_kernel(out, n):
    bar = smt.mbarrier(expect_count=n + 1)
    for i in smt.parallel(0, n):
        smt.barrier_arrive(bar)
        smt.barrier_wait(bar, flag=1)
        tl.store(out + i, i)


def line_of(kernel, text):
    lines = kernel.fn.__code__.co_firstlineno, kernel.src.splitlines()
    source = open(kernel.fn.__code__.co_filename).read().splitlines()
    return next(n + 1 for n in range(lines[0] - 1, len(source)) if text in source[n])


@pytest.mark.parametrize("programs", [1, 3])
def test_deadlock_is_reported_with_its_line(target, programs):
    out = torch.zeros(8, dtype=torch.int32)
    for _ in range(3):
        with pytest.raises(DeviceError, match=r"'deadlock_kernel', program \(\d, 0, 0\): deadlock.*:") as caught:
            deadlock_kernel[(programs,)](out, 8)
        assert str(caught.value).endswith(f"test_threads.py:{line_of(deadlock_kernel, 'barrier_wait')}")
    assert (out == 0).all()
    test_nested_loops(target)


@triton.jit
def unmet_kernel(out, GLOBAL: tl.constexpr):
    """Too few arrive: of the threads of a program without a parallel loop, or of the programs."""
    if GLOBAL:
        bar = smt.global_mbarrier(1)
    else:
        bar = smt.mbarrier(expect_count=2)
    if tl.program_id(0) != 2:
        smt.barrier_arrive(bar)
    smt.barrier_wait(bar, flag=1)
    tl.store(out, 1)


@pytest.mark.parametrize("programs_meet", [False, True])
def test_deadlock_outside_of_loops(target, programs_meet):
    out = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(DeviceError, match="deadlock") as caught:
        unmet_kernel[(5,)](out, GLOBAL=programs_meet)
    assert str(caught.value).endswith(f"test_threads.py:{line_of(unmet_kernel, 'barrier_wait')}")
    assert out.item() == 0


@triton.jit
def number_kernel(i):
    smt.barrier_arrive(smt.global_mbarrier(i))


@pytest.mark.parametrize("number", [-1, 64])
def test_number_of_a_barrier_between_programs(target, number):
    with pytest.raises(DeviceError, match="the id of a global barrier must be 0 to 63"):
        number_kernel[(2,)](number)


@triton.jit
def failing_kernel(out, n):
    bar = smt.mbarrier(expect_count=n)
    for i in smt.parallel(0, n):
        tl.device_assert(i != 3, "not three")
        smt.barrier_arrive(bar)
        smt.barrier_wait(bar, flag=1)
        tl.store(out + i, i)


def test_failure_in_an_iteration(target):
    """The others wait for one that has failed: they are woken."""
    out = torch.zeros(8, dtype=torch.int32)
    for _ in range(3):
        with pytest.raises(DeviceError, match="not three"):
            failing_kernel[(1,)](out, 8, debug=True)
    assert (out == 0).all()


@triton.jit
def zero_step_kernel(out, step):
    for i in smt.parallel(0, 4, step):
        tl.store(out + i, i)


def test_step_must_be_positive(target):
    with pytest.raises(DeviceError, match="the step of a parallel loop must be positive"):
        zero_step_kernel[(1,)](torch.zeros(4, dtype=torch.int32), 0)


@triton.jit
def misuse_kernel(out, MODE: tl.constexpr):
    if MODE == "loop":
        for i in range(4):
            bar = smt.mbarrier()
            smt.barrier_arrive(bar)
            tl.store(out + i, i)
    elif MODE == "while":
        i = tl.load(out)
        while i < 4:
            bar = smt.mbarrier()
            smt.barrier_arrive(bar)
            i += 1
    elif MODE == "thread":
        for i in smt.parallel(0, 4):
            bar = smt.mbarrier()
            smt.barrier_arrive(bar)
            tl.store(out + i, i)


@pytest.mark.parametrize("mode", ["loop", "while", "thread"])
def test_barrier_made_in_a_loop_is_refused(target, mode):
    with pytest.raises(CompilationError, match="cannot be inside a loop: make the barrier before it") as caught:
        misuse_kernel[(1,)](torch.zeros(4, dtype=torch.int32), MODE=mode)
    assert "bar = smt.mbarrier()" in str(caught.value)
