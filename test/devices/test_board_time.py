"""Time on a board: what `do_bench` and `triton.autotune` measure there has no part of the link."""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from targets import cache, cache_folder, own_board
from triton import knobs as triton_knobs
from triton.runtime import driver
from triton.testing import do_bench
from triton.tools.tensor_descriptor import TensorDescriptor

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.link import Link
from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.errors import ArgumentError, DeviceError
from triton_spacemit.backend.knobs import knobs

__all__ = ["cache", "cache_folder"]
DELAY = 0.02  # seconds


@triton.jit
def work_kernel(x, TURNS: tl.constexpr):
    i = tl.arange(0, 64)
    value = tl.load(x + i)
    for _ in range(TURNS):
        value = value * 1.0001 + 0.5
    tl.store(x + i, value)


@triton.jit
def count_kernel(x):
    tl.store(x, tl.load(x) + 1)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, cache: None) -> Iterator[RemoteDevice]:
    """This machine as a board behind a link that is slow to send."""
    send = Link.send

    def late(self: Link, parts: Any, patience: float) -> None:
        time.sleep(DELAY)
        send(self, parts, patience)

    knobs.board = own_board()
    set_device("remote", "host")
    found = get_device("remote", "host")
    monkeypatch.setattr(Link, "send", late)
    yield found  # type: ignore[misc]
    found.close()  # type: ignore[attr-defined]


def test_do_bench_is_the_boards_time(device: RemoteDevice) -> None:
    x = board.tensor(torch.zeros(64))
    few, many = (do_bench(lambda turns=turns: work_kernel[(1,)](x, TURNS=turns), warmup=0, rep=1) for turns in (100_000, 2_000_000))
    assert 0.02 < few < DELAY * 1e3 / 2  # so many dependent operations take at least a fifth of a nanosecond each
    assert many > 5 * few


def test_autotune_repeats_launches_on_the_board(device: RemoteDevice) -> None:
    tuned = triton.autotune([triton.Config({"TURNS": turns}) for turns in (1_000_000, 10, 300_000)], key=[])(work_kernel)
    x = torch.zeros(64)
    with device.session() as session:
        before = session.link.sent_bytes
        tuned[(1,)](x)
        assert tuned.best_config.kwargs == {"TURNS": 10}
        assert session.link.sent_bytes - before < 1 << 20  # not one launch for each repeat


def test_repeats_and_their_times(device: RemoteDevice) -> None:
    x = torch.zeros(1)
    count_kernel[(1,)](x)
    seconds = device.seconds
    with device.timing(50) as timing:
        count_kernel[(1,)](x)
    assert x.item() == 51
    assert [len(times) for times in timing.times] == [50]
    assert device.seconds - seconds == pytest.approx(sum(timing.times[0]) * 1e-9)
    count_kernel[(1,)](x)
    assert x.item() == 52
    if not device.info().no_counters:
        (counted,) = timing.counts
        assert counted is not None
        assert min(counted) > 50
    else:
        assert timing.counts == [None]


def test_hooks_are_told_the_time(device: RemoteDevice) -> None:
    told: list[Any] = []

    def note(metadata: Any) -> None:
        told.append(metadata.get())

    triton_knobs.runtime.launch_exit_hook.add(note)
    try:
        count_kernel[(1,)](torch.zeros(1))
    finally:
        triton_knobs.runtime.launch_exit_hook.remove(note)
    assert told[0]["name"] == "count_kernel"
    assert told[0]["nanoseconds"] == device.nanoseconds
    assert len(device.nanoseconds) == 1


@triton.jit
def block_kernel(source, out, BLOCK: tl.constexpr):
    out.store([0, 0], source.load([0, BLOCK]) + 1.0)


def test_descriptors_of_tensors_on_the_board(device: RemoteDevice) -> None:
    x = torch.arange(32.0 * 64).reshape(32, 64)
    there, out = board.tensor(x), board.empty(32, 32)
    block_kernel[(1,)](TensorDescriptor.from_tensor(there, [32, 32]), TensorDescriptor.from_tensor(out, [32, 32]), BLOCK=32)
    assert torch.equal(out.cpu(), x[:, 32:] + 1)


def test_other_devices_take_no_tensors_of_a_board(device: RemoteDevice) -> None:
    there = board.tensor(torch.zeros(1))
    set_device("host")
    with pytest.raises(ArgumentError, match="argument 'x' of kernel 'count_kernel' is a tensor on device 'board'"):
        count_kernel[(1,)](there)
    with pytest.raises(DeviceError, match="need the device 'remote'; the active one is 'host'"):
        board.empty(3)


def test_timed_launches_take_turns_with_other_sessions(device: RemoteDevice) -> None:
    x = torch.zeros(1)
    count_kernel[(1,)](x)
    with open(Path(tempfile.gettempdir(), f"triton-spacemit-{os.getuid()}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        count_kernel[(1,)](x)  # this one is not timed
        release = threading.Timer(0.5, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        release.start()
        start = time.monotonic()
        with device.timing(2):
            count_kernel[(1,)](x)
        assert time.monotonic() - start > 0.4
        release.join()
    assert x.item() == 4


def test_quantiles_and_modes(device: RemoteDevice) -> None:
    benchmark = driver.active.get_benchmarker()
    x = board.tensor(torch.zeros(64))

    def call() -> None:
        work_kernel[(1,)](x, TURNS=1000)

    low, middle, high = benchmark(call, quantiles=(0.1, 0.5, 0.9), warmup=1, rep=2)
    assert 0 < low <= middle <= high
    assert benchmark(call, warmup=1, rep=2, return_mode="min") <= benchmark(call, warmup=1, rep=2, return_mode="max")
    assert len(benchmark(call, warmup=1, rep=2, return_mode="all")) > 10
