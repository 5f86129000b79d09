"""The device `remote`: what is sent and what is not, faults that cost a worker and no tensor, and links that end."""

import ctypes
import mmap
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, launch
from targets import emulated_board, own_board

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.addresses import PAGE, Addresses
from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.devices.session import Session
from triton_spacemit.backend.errors import ArgumentError, DeviceError, LinkError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

FOREVER = "  br label %l\nl:\n  %v = load volatile i32, ptr %p0\n  br label %l\n"
COPY = "  %v = load i32, ptr %p1\n  store i32 %v, ptr %p0\n  ret void\n"
NULL = "  store volatile i32 1, ptr null\n  ret void\n"
BLOCK = 1 << 16


@pytest.fixture(params=["own", pytest.param("x60", marks=pytest.mark.qemu)])
def remote(request: pytest.FixtureRequest) -> Iterator[RemoteDevice]:
    """This machine as a board, in its sandbox, and an emulated one."""
    knobs.board = own_board("--require-sandbox") if request.param == "own" else emulated_board("x60")
    chip = "host" if request.param == "own" else "x60"
    set_device("remote", chip)
    device = get_device("remote", chip)
    yield device
    device.close()


def increment(device: RemoteDevice, stored: tuple[int, ...] | None = None) -> Any:
    return device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip), stored=stored))


def check_it_still_works(device: RemoteDevice) -> None:
    out = torch.zeros(100, dtype=torch.int32)
    launch(device, increment(device), out, grid=(100, 1, 1))
    assert (out == 1).all()


def session_of(device: RemoteDevice) -> Session:
    with device.session() as session:
        return session


def worker_of(device: RemoteDevice) -> int:
    """The process that runs kernels: the agent's child."""
    process = session_of(device).link.process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[-1])


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
    launch(remote, compiled(remote, "  ret void\n"), torch.empty(0), None)


def test_read_only_memory_can_be_read_but_not_written(remote: RemoteDevice, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"\5\0\0\0" * 2000)
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with path.open("rb") as file:
        address = libc.mmap(None, ctypes.c_size_t(8000), mmap.PROT_READ, mmap.MAP_PRIVATE, file.fileno(), ctypes.c_long(0))
    readonly = torch.frombuffer((ctypes.c_char * 8000).from_address(address), dtype=torch.int32)
    out = torch.zeros(1, dtype=torch.int32)
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
    follow = """
  %e = getelementptr i64, ptr %p1, i32 %id
  %a = load i64, ptr %e
  %q = inttoptr i64 %a to ptr
  %v = load i32, ptr %q
  %w = add i32 %v, 1
  store i32 %w, ptr %q
  ret void
"""
    launch(remote, compiled(remote, follow), None, table, grid=(5, 1, 1), types=("*i32", "*i64"))
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


# ---- faults ----


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (NULL, r"invalid memory access \(SIGSEGV\) at address 0x0, at 0x"),
        ("  store volatile i32 1, ptr inttoptr (i64 81985529216486895 to ptr)\n  ret void\n", "SIGSEGV"),
        ("  call void @llvm.trap()\n  unreachable\n", "SIGILL|SIGTRAP|illegal instruction"),
        ("  %a = alloca [64 x i8], i64 1000000\n  store volatile i8 0, ptr %a\n  ret void\n", "SIGSEGV"),
    ],
    ids=["null", "wild", "trap", "stack"],
)
def test_a_fault_names_its_program(remote: RemoteDevice, body: str, message: str, threads: int) -> None:
    knobs.threads = threads
    condition = f"  %bad = icmp eq i32 %id, 37\n  br i1 %bad, label %fault, label %fine\nfine:\n  ret void\nfault:\n{body}"
    with pytest.raises(DeviceError, match=r"kernel 'k', program \(37, 0, 0\): .*" + message):
        launch(remote, compiled(remote, condition, "declare void @llvm.trap()"), grid=(50, 1, 1))
    check_it_still_works(remote)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_endless_loop_is_stopped(remote: RemoteDevice, threads: int) -> None:
    knobs.timeout, knobs.threads = 0.3, threads
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"program \([012], 0, 0\): still running after 0.3 seconds .* at 0x[0-9a-f]+ in its code"):
        launch(remote, compiled(remote, FOREVER), torch.zeros(1, dtype=torch.int32), grid=(3, 1, 1))
    assert time.monotonic() - start < 10
    check_it_still_works(remote)


def test_an_interrupt_ends_the_launch_and_keeps_the_tensors(remote: RemoteDevice) -> None:
    there = board.tensor(torch.ones(10, dtype=torch.int32))
    kernel = compiled(remote, FOREVER)
    ended = threading.Event()

    def interrupt() -> None:
        wait = 0.3
        while not ended.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 5

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            launch(remote, kernel, torch.zeros(1, dtype=torch.int32))
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before)
    assert (there.cpu() == 1).all()
    check_it_still_works(remote)


def test_faults_leave_nothing_behind(remote: RemoteDevice) -> None:
    check_faults(remote, 30)


@pytest.mark.slow
def test_a_thousand_faults_leave_nothing_behind(remote: RemoteDevice) -> None:
    check_faults(remote, 1000)


def check_faults(device: RemoteDevice, count: int) -> None:
    """Descriptors and memory of the agent, and processes, are as many afterwards as they were."""
    kernel, there = compiled(device, NULL), board.tensor(torch.arange(1000))

    def state() -> tuple[int, int, int]:
        process = session_of(device).link.process
        assert process is not None
        rows = dict(row.split(":", 1) for row in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in row)
        descriptors = len(os.listdir(f"/proc/{process.pid}/fd"))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return descriptors, len(children), int(rows["RssAnon"].split()[0])

    for turn in range(count):
        if turn == 5:
            before = state()
        with pytest.raises(DeviceError, match="SIGSEGV"):
            launch(device, kernel, there)
    after = state()
    assert after[:2] == before[:2]
    assert after[2] <= before[2] + 2048  # kilobytes
    assert torch.equal(there.cpu(), torch.arange(1000))


# ---- processes and links that end ----


def test_a_worker_that_is_killed(remote: RemoteDevice) -> None:
    there = board.tensor(torch.ones(10, dtype=torch.int32))
    check_it_still_works(remote)
    os.kill(worker_of(remote), signal.SIGKILL)
    time.sleep(0.1)
    check_it_still_works(remote)  # nothing was under way
    kernel, worker = compiled(remote, FOREVER), worker_of(remote)
    threading.Timer(0.5, lambda: os.kill(worker, signal.SIGKILL)).start()
    with pytest.raises(DeviceError, match="kernel 'k': the worker on board '.*' ended with signal 9"):
        launch(remote, kernel, torch.zeros(1, dtype=torch.int32))
    assert (there.cpu() == 1).all()
    check_it_still_works(remote)


def test_an_agent_that_is_killed(remote: RemoteDevice) -> None:
    there = board.tensor(torch.ones(10, dtype=torch.int32))
    check_it_still_works(remote)
    worker, agent = worker_of(remote), session_of(remote).link.process
    assert agent is not None
    threading.Timer(0.3, agent.kill).start()
    with pytest.raises(LinkError, match=r"the link to board '.*' was lost: its agent ended with status -9"):
        launch(remote, compiled(remote, FOREVER), torch.zeros(1, dtype=torch.int32))
    wait_for_end(worker)
    with pytest.raises(LinkError, match="has ended, and with it this tensor"):
        there.cpu()
    check_it_still_works(remote)
    with pytest.raises(LinkError, match="has ended, and with it this tensor"):
        launch(remote, increment(remote), there)
    agent = session_of(remote).link.process
    assert agent is not None
    agent.kill()
    agent.wait()
    check_it_still_works(remote)  # nothing was under way, and no tensor was there


def wait_for_end(process: int) -> None:
    for _ in range(200):
        command = Path(f"/proc/{process}/cmdline")
        if not command.exists() or not command.read_bytes():  # gone, or a zombie that its parent has not yet collected
            return
        time.sleep(0.05)
    pytest.fail("the process still runs")


def test_nothing_outlives_its_host(remote: RemoteDevice) -> None:
    check_it_still_works(remote)
    worker, agent = worker_of(remote), session_of(remote).link.process
    assert agent is not None
    remote.close()
    wait_for_end(worker)
    wait_for_end(agent.pid)


def test_a_stopped_agent_is_given_up(remote: RemoteDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triton_spacemit.backend.devices.remote._GRACE", 0.5)
    check_it_still_works(remote)
    agent = session_of(remote).link.process
    assert agent is not None
    os.kill(agent.pid, signal.SIGSTOP)
    knobs.timeout = 0.5
    with pytest.raises(LinkError, match="it does not answer for 1 seconds"):
        check_it_still_works(remote)
    knobs.timeout = 300
    check_it_still_works(remote)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the device 'remote' needs a board: set TRITON_SPACEMIT_BOARD"),
        ("k1", "TRITON_SPACEMIT_BOARD='k1' is no board: expected ssh://HOST, unix:PATH or exec:COMMAND"),
        ("exec:", "is no board"),
        ("exec:/nonexistent/agent", "/nonexistent/agent does not start: No such file"),
        ("exec:false", "its agent ended with status 1"),
        ("exec:echo this is no agent, and has more to say", "what answers there is no agent"),
        ("exec:sh -c 'echo not today >&2'", r"its agent ended with status 0 \(not today\)"),
        ("unix:/nonexistent", "cannot be reached: No such file"),
        ("ssh://", "is no board"),
        ("ssh://-oProxyCommand=x", "is no board"),
        ("ssh://a b", "is no board"),
    ],
)
def test_boards_that_are_none(name: str, message: str) -> None:
    knobs.board = name or None
    with pytest.raises(LinkError, match=message):
        set_device("remote")


def test_another_chip_is_refused_by_both_names(remote: RemoteDevice) -> None:
    set_device("remote", "a100")
    device = get_device("remote", "a100")
    with pytest.raises(DeviceError, match=r"board '.*' has \d+ cores \(.*\); code for chip 'a100' needs VLEN 1024"):
        check_it_still_works(device)
    check_it_still_works(remote)


@pytest.mark.qemu
@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_the_chip_is_what_the_board_says(chip: str) -> None:
    knobs.board = emulated_board(chip)
    set_device("remote")
    assert knobs.chip == chip


def _increment_in_child(name: str, queue: multiprocessing.Queue) -> None:
    device = get_device("remote", name)
    out = torch.zeros(10, dtype=torch.int32)
    launch(device, increment(device), out, grid=(10, 1, 1))  # type: ignore[arg-type]
    queue.put((out.tolist(), session_of(device).link.process.pid))  # type: ignore[arg-type, union-attr]
    device.close()  # type: ignore[attr-defined]


def test_the_child_of_a_fork_has_an_agent_of_its_own(remote: RemoteDevice) -> None:
    there = board.tensor(torch.ones(10, dtype=torch.int32))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_increment_in_child, args=(remote.chip.name, queue))
    child.start()
    values, agent = queue.get(timeout=60)
    child.join()
    assert (values, child.exitcode) == ([1] * 10, 0)
    process = session_of(remote).link.process
    assert process is not None
    assert agent != process.pid
    assert (there.cpu() == 1).all()
    check_it_still_works(remote)


@pytest.mark.qemu
def test_a_sandbox_that_was_asked_for_is_there_or_an_error() -> None:
    knobs.sandbox = True
    knobs.board = emulated_board("x60")
    set_device("remote", "x60")
    with pytest.raises(DeviceError, match=r"board '.*' has no sandbox \(.*\), and TRITON_SPACEMIT_SANDBOX asks for one"):
        check_it_still_works(get_device("remote", "x60"))  # type: ignore[arg-type]
    knobs.board = own_board()
    set_device("remote", "host")
    check_it_still_works(get_device("remote", "host"))  # type: ignore[arg-type]


def test_kernels_of_one_board_are_forgotten_by_another(remote: RemoteDevice) -> None:
    kernel = increment(remote)
    first = knobs.board
    launch(remote, kernel, torch.zeros(1, dtype=torch.int32))
    one = session_of(remote)
    knobs.board = f"{first} --memory 67108864"
    launch(remote, kernel, torch.zeros(1, dtype=torch.int32))
    other = session_of(remote)
    assert one is not other
    assert kernel in one.placed
    assert kernel in other.placed
    remote.unload(kernel)
    check_it_still_works(remote)
    assert kernel not in one.placed
    assert kernel not in other.placed
    knobs.board = first
    check_it_still_works(remote)


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
