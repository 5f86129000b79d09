"""The device `remote`: faults that cost a worker and no tensor, and processes and links that end."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from boards import FOREVER, NULL, check_it_still_works, increment, session_of, worker_of
from kernels.handwritten import compiled, launch
from targets import emulated_board, own_board

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import knobs

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


@triton.jit
def waiting_kernel(out):
    bar = smt.mbarrier(expect_count=2)
    smt.barrier_wait(bar, flag=1)
    tl.store(out, 1)


def test_a_deadlock_is_told_by_who_finds_it(remote: RemoteDevice) -> None:
    """Whichever thread does: the line that it names lies in memory of the kernel that no program has read."""
    knobs.threads = 2
    out = torch.zeros(1, dtype=torch.int32)
    for _ in range(5):
        with pytest.raises(DeviceError, match=r"deadlock: nobody .* that is waited for at .*test_remote.py:\d+"):
            waiting_kernel[(5,)](out)
    assert out.item() == 0


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
