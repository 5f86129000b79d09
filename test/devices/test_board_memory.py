"""Memory on a board: what is sent to it and what is not, and tensors that stay there."""

import ctypes
import mmap
from pathlib import Path
from typing import Any

import pytest
import torch
from boards import NULL, check_it_still_works, increment, session_of, worker_of
from kernels.handwritten import COPY, FOLLOW, INCREMENT, compiled, launch, read_only
from targets import emulated_board, own_board

from triton_spacemit.backend import board
from triton_spacemit.backend.devices.addresses import PAGE, Addresses
from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.errors import ArgumentError, DeviceError
from triton_spacemit.backend.knobs import knobs

BLOCK = 1 << 16


# ---- what is sent ----


def moved(device: RemoteDevice, kernel: Any, *values: Any, grid: tuple[int, int, int] = (1, 1, 1)) -> tuple[int, int]:
    """The bytes that a launch sends and receives."""
    link = session_of(device).link
    before = link.sent_bytes, link.received_bytes
    launch(device, kernel, *values, grid=grid)
    return link.sent_bytes - before[0], link.received_bytes - before[1]


def test_only_what_has_changed_is_sent_and_only_what_is_stored_comes_back(remote: RemoteDevice) -> None:
    x, y = torch.zeros(1 << 20, dtype=torch.int32), torch.ones(1 << 20, dtype=torch.int32)
    kernel = compiled(remote, COPY)
    kernel.stored = (0,)
    sent, received = moved(remote, kernel, x, y)
    assert sent > 2 * x.nbytes
    assert x.nbytes < received < x.nbytes + 1000
    sent, received = moved(remote, kernel, x, y)
    assert sent < 500  # neither tensors nor code
    y[5 * BLOCK // 4 + 3] = 7
    y[6 * BLOCK // 4] = 8
    sent, _ = moved(remote, kernel, x, y)
    assert 2 * BLOCK < sent < 2 * BLOCK + 500
    y[0] = 1234
    moved(remote, kernel, x, y)
    assert x[0] == 1234
    assert x.sum() == 1234
    kernel.stored = ()
    x[0] = 0
    _, received = moved(remote, kernel, x, y)
    assert received < 300
    assert x[0] == 0  # it was said to store nothing


def test_results_that_a_fault_leaves_are_not_taken(remote: RemoteDevice) -> None:
    """Nor does what the board has then count as sent."""
    x = torch.zeros(100, dtype=torch.int32)
    body = INCREMENT.split("%id = call i32 @pid(ptr %context)")[1].rsplit("ret void", 1)[0] + NULL
    with pytest.raises(DeviceError, match="SIGSEGV"):
        launch(remote, compiled(remote, body), x, grid=(100, 1, 1))
    assert not x.any()
    launch(remote, increment(remote), x, grid=(100, 1, 1))
    assert (x == 1).all()


def test_overlapping_and_odd_arguments(remote: RemoteDevice) -> None:
    base = torch.arange(20_000, dtype=torch.int32)
    expected = base.clone()
    kernel = compiled(remote, COPY)
    launch(remote, kernel, base[5000:], base[::7][100:])
    expected[5000] = 700
    assert torch.equal(base, expected)
    other = torch.frombuffer(base.numpy(), dtype=torch.int32, offset=40_000, count=100)  # a storage in that of `base`
    launch(remote, kernel, other, base[7:])
    expected[10_000] = 7
    assert torch.equal(base, expected)
    launch(remote, kernel, base, other[1:])
    assert base[0] == 10_001
    for empty in (torch.empty(0), base[:0], base[7:7]):
        launch(remote, compiled(remote, "  ret void\n"), empty, None)


def test_read_only_memory_can_be_read_but_not_written(remote: RemoteDevice, tmp_path: Path) -> None:
    readonly, out = read_only(tmp_path / "data"), torch.zeros(1, dtype=torch.int32)
    launch(remote, compiled(remote, COPY), out, readonly[1500:])
    assert out.item() == 5
    with pytest.raises(DeviceError, match="read-only"):
        launch(remote, compiled(remote, COPY), readonly, torch.tensor([9], dtype=torch.int32))
    assert readonly[0] == 5
    check_it_still_works(remote)


def test_memory_that_cannot_be_read(remote: RemoteDevice) -> None:
    memory = mmap.mmap(-1, 8192)
    tensor = torch.frombuffer(memory, dtype=torch.int32)
    libc = ctypes.CDLL(None)
    libc.mprotect(ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(8192), 0)
    with pytest.raises(DeviceError, match="the memory of an argument at 0x[0-9a-f]+ cannot be read"):
        launch(remote, compiled(remote, COPY), torch.zeros(1, dtype=torch.int32), tensor)
    libc.mprotect(ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(8192), 3)
    check_it_still_works(remote)


def test_addresses_of_this_process_are_refused(remote: RemoteDevice) -> None:
    x = torch.zeros(4, dtype=torch.int32)
    with pytest.raises(ArgumentError, match=rf"kernel 'k' was given the address {x.data_ptr():#x} of this process"):
        launch(remote, compiled(remote, COPY), x.data_ptr(), x)
    follow = "  %a = load i64, ptr %p1\n  %q = inttoptr i64 %a to ptr\n  store i32 1, ptr %q\n  ret void\n"
    with pytest.raises(DeviceError, match="of this process, which the board does not have: pointers in memory must be those of tensors on"):
        launch(remote, compiled(remote, follow), x, torch.tensor([x.data_ptr()]), types=("*i32", "*i64"))
    check_it_still_works(remote)


def test_copies_of_tensors_that_are_gone_are_given_back(remote: RemoteDevice) -> None:
    kernel = compiled(remote, COPY)
    for _ in range(30):
        launch(remote, kernel, torch.ones(1 << 18, dtype=torch.int32), torch.ones(1 << 18, dtype=torch.int32))
    assert sum(copy.size for copy in session_of(remote).copies.values()) <= 6 << 20


def test_the_board_is_full(remote: RemoteDevice) -> None:
    """Copies make room for others; what has no room at all is refused by both sides' names, and the next launch works."""
    knobs.board = (own_board if remote.chip.name == "host" else lambda option: emulated_board("x60", option))("--memory 33554432")
    kernel = compiled(remote, COPY)
    tensors = [torch.full((1 << 20,), i, dtype=torch.int32) for i in range(8)]
    for turn in range(3):
        for i in range(1, 8):
            launch(remote, kernel, tensors[0], tensors[i])
            assert tensors[0][0] == i, turn
    with pytest.raises(DeviceError, match=r"board '.*' lends \d+ bytes of memory, which have no room for \d+ more"):
        launch(remote, kernel, torch.zeros(1 << 23, dtype=torch.int32), tensors[1])
    launch(remote, kernel, tensors[0], tensors[3])
    assert tensors[0][0] == 3


# ---- tensors that stay ----


def test_a_tensor_on_the_board_is_sent_once(remote: RemoteDevice) -> None:
    x = torch.arange(1 << 18, dtype=torch.int32)
    there, out = board.tensor(x), board.empty(1 << 18, dtype=torch.int32)
    assert torch.equal(there.cpu(), x)
    assert not out.cpu().any()
    kernel = increment(remote)
    launch(remote, kernel, there, grid=(1000, 1, 1))
    sent, received = moved(remote, kernel, there, grid=(1000, 1, 1))
    assert sent < 300
    assert received < 300
    x[:1000] += 2
    assert torch.equal(there.cpu(), x)
    launch(remote, compiled(remote, COPY), out, there)
    assert out.cpu()[0] == 2
    out.copy_(x)
    assert torch.equal(out.cpu(), x)


def test_pointers_to_tensors_on_the_board(remote: RemoteDevice) -> None:
    targets = [board.tensor(torch.tensor([i], dtype=torch.int32)) for i in range(5)]
    table = torch.tensor([target.data_ptr() for target in targets])
    launch(remote, compiled(remote, FOLLOW), None, table, grid=(5, 1, 1), types=("*i32", "*i64"))
    assert [target.cpu().item() for target in targets] == [1, 2, 3, 4, 5]
    launch(remote, compiled(remote, COPY), targets[0].data_ptr(), targets[4])
    assert targets[0].cpu().item() == 5


def test_memory_of_tensors_on_the_board_is_given_back(remote: RemoteDevice) -> None:
    session = session_of(remote)
    for _ in range(100):
        board.empty(1 << 16)
    check_it_still_works(remote)
    assert len(session.arena._taken) < 5
    assert len(session.arena._free) < 5


def test_a_fault_costs_no_tensor(remote: RemoteDevice) -> None:
    there = board.tensor(torch.arange(1000, dtype=torch.int32))
    worker = None
    for turn in range(3):
        with pytest.raises(DeviceError, match="SIGSEGV"):
            launch(remote, compiled(remote, NULL), there)
        assert torch.equal(there.cpu(), torch.arange(1000, dtype=torch.int32) + turn)
        launch(remote, increment(remote), there, grid=(1000, 1, 1))
        assert worker_of(remote) != worker
        worker = worker_of(remote)


# ---- addresses ----


def test_addresses_are_handed_out_and_taken_back() -> None:
    addresses = Addresses(1 << 37, 100 * PAGE)
    taken = [addresses.take(size) for size in (1, PAGE, PAGE + 1, 10 * PAGE)]
    assert all(address is not None and address % PAGE == 0 for address in taken)
    ranges = sorted((address, address + addresses.size_of(address)) for address in taken if address is not None)
    assert all(after[0] - before[1] >= PAGE for before, after in zip(ranges, ranges[1:], strict=False))
    assert addresses.take(90 * PAGE) is None
    for address in (taken[1], taken[0], taken[3], taken[2]):
        assert address is not None
        addresses.give(address)
    assert addresses.take(99 * PAGE) == 1 << 37
    assert addresses.take(1) is None
