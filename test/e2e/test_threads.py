"""Compiling and launching from several threads of one process."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import driver
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.launcher import Loading
from triton_spacemit.dialect.context import make_context


@triton.jit
def scaled_kernel(x, y, n, FACTOR: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, i < n) * FACTOR, i < n)


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run `work(number)` in so many threads that begin together; what they raise."""
    begin, raised = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def check(factor: int, block: int) -> None:
    x = torch.arange(100.0)
    y = torch.zeros(100)
    scaled_kernel[(triton.cdiv(100, block),)](x, y, 100, FACTOR=factor, BLOCK=block)
    assert torch.equal(y, x * factor)


CONTEXTS = """
import threading
from triton_spacemit.dialect.context import make_context
threads = [threading.Thread(target=lambda: [make_context() for _ in range(20)]) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_contexts_are_made_in_threads() -> None:
    """In a process of its own, since what goes wrong ends it."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", CONTEXTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_contexts_of_other_threads_are_freed() -> None:
    contexts: list[Any] = []
    assert not in_threads(4, lambda number: contexts.append(make_context()))
    assert len({id(context) for context in contexts}) == 4
    contexts.clear()
    make_context()


@pytest.mark.parametrize("same", [True, False], ids=["one kernel", "kernels of their own"])
def test_first_launches_at_the_same_time(target: str, same: bool) -> None:
    scaled_kernel.device_caches.clear()

    def work(number: int) -> None:
        for turn in range(3):
            check(3 + turn if same else 10 * number + turn + 20, 16 << turn)

    assert not in_threads(6, work)


@pytest.mark.parametrize("fails", [False, True])
def test_a_launch_waits_for_the_thread_that_loads(host: None, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """Triton lets a thread launch a kernel whose code another thread has not loaded yet."""
    scaled_kernel.device_caches.clear()
    between, waits = threading.Event(), threading.Event()
    load, wait = driver.Utils.load_binary, Loading.wait

    def slow_load(self: Any, name: str, binary: bytes, *rest: Any) -> Any:
        between.set()
        waits.wait(5)
        return load(self, name, b"" if fails else binary, *rest)

    def watched(self: Any, name: str) -> Any:
        waits.set()
        return wait(self, name)

    monkeypatch.setattr(driver.Utils, "load_binary", slow_load)
    monkeypatch.setattr(Loading, "wait", watched)
    kernel = scaled_kernel.warmup(*torch.zeros(2, 100), 100, FACTOR=7, BLOCK=128, grid=(1,))
    x, y = torch.arange(100.0), torch.zeros(100)

    def work(number: int) -> None:
        if number:
            # As a launch in Triton does, with the code that there is.
            assert between.wait(60)
            kernel._run(1, 1, 1, 0, kernel.function, None, None, None, None, x, y, 100)
        else:
            kernel._init_handles()

    raised = in_threads(2, work)
    assert waits.is_set()
    if fails:
        assert [type(error) for error in raised] == [ObjectError, DeviceError] or [type(e) for e in raised] == [DeviceError, ObjectError]
    else:
        assert not raised
        assert torch.equal(y, x * 7)
