"""Kernels that check their accesses: one that leaves the storages of the arguments is an exception that names line, element and bounds."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from kernels.case import error_ratio
from kernels.catalog import CASES

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs


@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n), i < n)


@triton.jit
def reverse_kernel(x_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr - stride * i, i < n, other=0.0))


@triton.jit
def gather_kernel(x_ptr, index_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    index = tl.load(index_ptr + i, i < n, other=1 << 20)
    tl.store(out_ptr + i, tl.load(x_ptr + index, i < n, other=0.0))


@triton.jit
def scatter_kernel(x_ptr, index_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    index = tl.load(index_ptr + i, i < n, other=1 << 20)
    tl.store(out_ptr + index, tl.load(x_ptr + i, i < n), i < n)


@triton.jit
def odd_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, (i % 2 == 0) & (i < n), other=0.0))


@triton.jit
def scalar_kernel(x_ptr, place, out_ptr):
    if place != 7:
        tl.store(out_ptr, tl.load(x_ptr + place))


@triton.jit
def atomic_kernel(x_ptr, place, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.atomic_add(x_ptr + place + i, 1.0, i < 60)


@triton.jit
def cas_kernel(x_ptr, place):
    tl.atomic_cas(x_ptr + place, 0, 1)


@triton.jit
def matrix_kernel(x_ptr, out_ptr, rows, columns, stride, BLOCK: tl.constexpr):
    i, j = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    inside = (i < rows) & (j < columns)
    tl.store(out_ptr + i * stride + j, tl.load(x_ptr + i * stride + j, inside), inside)


@triton.jit
def advance_kernel(x_ptr, out_ptr, turns, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    pointers = x_ptr + i
    for _ in range(turns):
        total += tl.load(pointers)
        pointers += BLOCK
    tl.store(out_ptr + i, total)


@triton.jit
def choose_kernel(x_ptr, y_ptr, out_ptr, first, place):
    chosen = tl.where(first > 0, x_ptr, y_ptr)
    tl.store(out_ptr, tl.load(chosen + place))


@triton.jit
def block_choice_kernel(x_ptr, y_ptr, out_ptr, place, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    chosen = tl.where(i % 2 == 0, x_ptr + i, y_ptr + i + place)
    tl.store(out_ptr + i, tl.load(chosen))


@triton.jit
def table_kernel(table_ptr, out_ptr, place):
    x_ptr = tl.load(table_ptr + place).to(tl.pointer_type(tl.float32))
    tl.store(out_ptr, tl.load(x_ptr + 3))


X, Y, SMALL = torch.arange(100.0), torch.zeros(100), torch.zeros(5)
INDEX = torch.arange(64)


def changed(place: int, value: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    index = INDEX.to(dtype).clone()
    index[place] = value
    return index


# kernel, arguments that are within bounds, arguments that are not, what the message says, the line in the kernel
Row = tuple[Any, tuple[Any, ...], tuple[Any, ...], str, int]
ROWS: dict[str, Row] = {
    "block": (copy_kernel, (X, Y, 100, 64), (X, Y, 101, 64), "load through 'x_ptr' .* element 100, and .* elements 0 to 99", 2),
    "view": (copy_kernel, (X[:50], Y, 100, 64), (X[10:], Y, 100, 64), "load .* element 99, and .* elements -10 to 89", 2),
    "store": (copy_kernel, (X, Y, 100, 64), (X, Y[1:], 100, 64), "store through 'out_ptr' .* element 99, and .* -1 to 98", 2),
    "narrow": (copy_kernel, (X.half(), Y, 100, 64), (X.to(torch.int8), Y, 103, 64), "load .* element 102, and .* elements 0 to 99", 2),
    "backwards": (reverse_kernel, (X[99:], Y, 34, 3, 64), (X[99:], Y, 35, 3, 64), "'x_ptr' .* element -102, and .* -99 to 0", 2),
    "gather": (gather_kernel, (X, INDEX, Y, 64, 64), (X, changed(9, 100), Y, 64, 64), "load through 'x_ptr' .* element 100, and", 3),
    "negative": (gather_kernel, (X, INDEX.int(), Y, 60, 64), (X, changed(9, -1, torch.int32), Y, 60, 64), "element -1, and", 3),
    "far": (gather_kernel, (X, INDEX, Y, 9, 64), (X, changed(8, 1 << 40), Y, 9, 64), f"element {1 << 40}, and", 3),
    "inactive lanes": (gather_kernel, (X, changed(9, 1 << 40), Y, 9, 64), (X, changed(9, -7), Y, 10, 64), "element -7, and", 3),
    "scatter": (scatter_kernel, (X, INDEX, Y, 60, 64), (X, changed(3, 100), Y, 60, 64), "store through 'out_ptr' .* element 100", 3),
    "mask": (odd_kernel, (X, torch.zeros(128), 100, 128), (X, torch.zeros(128), 101, 128), "'x_ptr' .* element 100, and", 2),
    "scalar": (scalar_kernel, (X, 99, Y), (X, 100, Y), "load through 'x_ptr' .* element 100, and .* elements 0 to 99", 2),
    "scalar before": (scalar_kernel, (X[5:], -5, Y), (X[5:], -6, Y), "element -6, and .* elements -5 to 94", 2),
    "empty": (scalar_kernel, (X[:0], 7, Y), (torch.zeros(0), 0, Y), "element 0, and there is no storage", 2),
    "atomic": (atomic_kernel, (X.clone(), 40, 64), (X.clone(), 41, 64), "atomic through 'x_ptr' .* element 100, and", 2),
    "cas": (cas_kernel, (INDEX.int(), 63), (INDEX.int(), 64), "atomic through 'x_ptr' .* element 64, and", 1),
    "rows": (matrix_kernel, (X, Y, 10, 10, 10, 16), (X, Y, 11, 10, 10, 16), "load .* element 109, and", 3),
    "columns": (matrix_kernel, (X, Y, 9, 16, 10, 16), (X, Y, 10, 11, 10, 16), "load .* element 100, and", 3),
    "loop": (advance_kernel, (X, Y, 3, 32), (X, Y, 4, 32), "load .* element 127, and", 5),
    "one of two": (choose_kernel, (X, SMALL, Y, 1, 99), (X, SMALL, Y, 0, 5), "'x_ptr' or 'y_ptr' .* element 5, and .* elements 0 to 4", 2),
    "addresses": (block_choice_kernel, (X, X, Y, 36, 64), (X, X.clone(), Y, 37, 64), "load through 'x_ptr' or 'y_ptr' .* element 100", 3),
}


@pytest.mark.parametrize("name", ROWS)
def test_accesses(target: str, name: str) -> None:
    kernel, right, wrong, message, line = ROWS[name]
    kernel[(2,) if kernel is copy_kernel else (1,)](*right, sanitize=True)
    with pytest.raises(DeviceError, match=message) as caught:
        kernel[(2,) if kernel is copy_kernel else (1,)](*wrong, sanitize=True)
    text = str(caught.value)
    assert text.startswith(f"kernel '{kernel.__name__}', program ({int(kernel is copy_kernel)}, 0, 0): ")
    assert text.endswith(f"{Path(__file__).name}:{kernel.starting_line_number + 1 + line}")
    kernel[(2,) if kernel is copy_kernel else (1,)](*right, sanitize=True)


def test_nothing_is_written_out_of_bounds(target: str) -> None:
    """The neighbours of a view of a larger tensor, whose storage ends in the middle of a block."""
    whole = torch.zeros(128)
    beside = torch.from_numpy(whole.numpy()[:100])
    with pytest.raises(DeviceError, match="store through 'out_ptr' .* elements 0 to 99"):
        copy_kernel[(1,)](torch.ones(128), beside, 128, BLOCK=128, sanitize=True)
    assert not whole[100:].any()


@pytest.mark.parametrize("how", ["setting", "debug", "option"])
def test_how_it_is_asked_for(host: None, how: str) -> None:
    knobs.sanitize = how == "setting"
    options = {"debug": {"debug": True}, "option": {"sanitize": True}, "setting": {"num_warps": 2}}[how]
    with pytest.raises(DeviceError, match="element 127, and there is a storage of elements 0 to 99"):
        copy_kernel[(1,)](X, torch.zeros(128), 128, BLOCK=128, **options)
    knobs.sanitize = False
    copy_kernel[(1,)](torch.ones(1 << 16)[:100], torch.zeros(128), 128, BLOCK=128)


def test_addresses_that_nobody_knows_the_storage_of_are_not_checked(host: None) -> None:
    """Raw addresses, and pointers that were loaded."""

    class Wrapped:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.dtype, self.data_ptr = tensor.dtype, tensor.data_ptr

    out = torch.zeros(4)
    scalar_kernel[(1,)](Wrapped(X[:3]), 50, out, sanitize=True)
    assert out[0] == 50
    table_kernel[(1,)](torch.tensor([X.data_ptr()]), out, 0, sanitize=True)
    assert out[0] == 3
    with pytest.raises(DeviceError, match="load through 'table_ptr' .* element 1,"):
        table_kernel[(1,)](torch.tensor([X.data_ptr()]), out, 1, sanitize=True)


@pytest.mark.parametrize("name", CASES)
def test_kernels_that_stay_within_bounds(host: None, name: str) -> None:
    """Padding that is read where a mask allows it is nothing to report."""
    case = CASES[name]
    with knobs.scope():
        knobs.sanitize = True
        run_fresh(lambda: _check(case))


def _check(case: Any) -> None:
    inputs = case.inputs()
    assert error_ratio(case.run(*inputs), case.reference(*inputs), case.bound(*inputs)) <= 1


def run_fresh(work: Callable[[], None]) -> None:
    """Run `work` with no kernel compiled before, and forget its kernels: the setting is read when one is compiled."""
    jitted = [f for f in gc.get_objects() if isinstance(f, triton.runtime.jit.JITFunction)]
    saved = [dict(f.device_caches) for f in jitted]
    for f in jitted:
        f.device_caches.clear()
    try:
        work()
    finally:
        for f, caches in zip(jitted, saved, strict=True):
            f.device_caches.clear()
            f.device_caches.update(caches)
