"""Kernels in this process that fault, or do not end: their launch fails, everything else goes on."""

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, kernel_ir, launch

from triton_spacemit.backend.devices.host import HostDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

STORE_TO = "  store volatile i32 1, ptr {}\n  ret void\n"
FOREVER = "  br label %l\nl:\n  %v = load volatile i32, ptr %p0\n  %c = icmp eq i32 %v, 0\n  br i1 %c, label %l, label %e\ne:\n  ret void\n"
DECLARATIONS = """
declare void @llvm.trap()
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""
DIVIDE = "  %z = load volatile i32, ptr %p0\n  %q = sdiv i32 7, %z\n  store i32 %q, ptr %p0\n  ret void\n"
STACK = """  %a = alloca [64 x i8], i64 4000000
  store volatile i8 0, ptr %a
  ret void
"""
SLACK = 0.2  # seconds in which a kernel is to end


def if_program(number: int, body: str) -> str:
    """A kernel whose program `number` has this body; the others end at once."""
    return f"  %bad = icmp eq i32 %id, {number}\n  br i1 %bad, label %other, label %fine\nfine:\n  ret void\nother:\n{body}"


def check_it_still_works(device: HostDevice, grid: int = 100) -> None:
    out = torch.zeros(grid, dtype=torch.int32)
    kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
    launch(device, kernel, out, grid=(grid, 1, 1))
    assert (out == 1).all()


def in_a_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error


@pytest.fixture
def interrupts() -> Any:
    """SIGINT raises KeyboardInterrupt: another test's library may have had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_after(seconds: float, number: signal.Signals = signal.SIGINT) -> None:
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()


def launch_and_interrupt(work: Callable[[], None], seconds: float) -> None:
    interrupt_after(seconds)  # which may come at once on a busy machine
    work()


# ---- faults ----


@pytest.mark.parametrize("caller", [lambda work: work(), in_a_thread], ids=["main thread", "another thread"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (STORE_TO.format("null"), r"invalid memory access \(SIGSEGV\) at address 0x0, at 0x[0-9a-f]+ in its code"),
        (STORE_TO.format("inttoptr (i64 81985529216486895 to ptr)"), r"SIGSEGV\) at an address that no memory has, at 0x"),
        ("  call void @llvm.trap()\n  unreachable\n", r"illegal instruction \(SIGILL\), at 0x"),
        (DIVIDE, r"arithmetic fault \(SIGFPE\), at 0x"),
        (
            "  call void @llvm.memset.p0.i64(ptr inttoptr (i64 4096 to ptr), i8 0, i64 1000, i1 false)\n" + STORE_TO.format("%p0"),
            r"SIGSEGV\) at address 0x1[0-9a-f]{3}, at 0x[0-9a-f]+ in its code",
        ),
        (
            "  call void @llvm.memcpy.p0.p0.i64(ptr %p0, ptr inttoptr (i64 8192 to ptr), i64 100000, i1 false)\n" + STORE_TO.format("%p0"),
            r"SIGSEGV\) at address 0x[0-9a-f]+, at 0x[0-9a-f]+ in its code",
        ),
        (
            "  tail call void @llvm.memset.p0.i64(ptr inttoptr (i64 4096 to ptr), i8 0, i64 1000, i1 false)\n  ret void\n",
            r"SIGSEGV\) at address 0x1[0-9a-f]{3}, ",
        ),
        ("  call void inttoptr (i64 4096 to ptr)()\n" + STORE_TO.format("%p0"), r"SIGSEGV\) at address 0x1000, at 0x[0-9a-f]+ in its code"),
    ],
    ids=["null", "wild", "trap", "division", "in memset", "in memcpy", "at the end of a program", "jump"],
)
def test_a_fault_is_an_error_and_the_next_launch_works(host: HostDevice, body: str, message: str, threads: int, caller: Any) -> None:
    if sys.byteorder != "little" or (os.uname().machine == "riscv64" and "SIGFPE" in message):
        pytest.skip("a division by zero is no fault on RISC-V")
    knobs.threads = threads
    kernel = compiled(host, if_program(37, body), DECLARATIONS)
    x = torch.zeros(4, dtype=torch.int32)
    for _ in range(3):
        with pytest.raises(DeviceError, match=r"kernel 'k', program \(37, 0, 0\): .*" + message):
            caller(lambda: launch(host, kernel, x, grid=(50, 1, 1)))
        caller(lambda: check_it_still_works(host))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_end_of_the_stack(host: HostDevice, threads: int) -> None:
    """As the compiler has large frames touched: page by page."""
    knobs.threads = threads
    text = kernel_ir(if_program(0, STACK)).replace("ptr %context) {\n  %p0", 'ptr %context) "probe-stack"="inline-asm" {\n  %p0')
    kernel = host.load(Artifact("k", "host", binary=compile_object(text, host.chip)))
    for caller in (lambda work: work(), in_a_thread):
        with pytest.raises(DeviceError, match=r"SIGSEGV.*needs more than the \d+ bytes of its thread's stack, at 0x"):
            caller(lambda: launch(host, kernel, grid=(1, 1, 1)))
        check_it_still_works(host)


def test_a_mapped_file_that_was_cut(host: HostDevice, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(1 << 16))
    x = torch.from_file(str(path), shared=True, size=1 << 14, dtype=torch.int32)
    os.truncate(path, 0)
    kernel = compiled(host, STORE_TO.format("%p0"))
    with pytest.raises(DeviceError, match=r"memory access that the machine refuses \(SIGBUS\) at address 0x"):
        launch(host, kernel, x)
    check_it_still_works(host)


def test_a_wild_barrier_is_the_kernels_fault(host: HostDevice) -> None:
    """And is found before the runtime takes a lock."""
    arrive = "  %f = call ptr @service(ptr %context, i64 5)\n  call void %f(ptr %context, ptr inttoptr (i64 4096 to ptr))\n  ret void\n"
    kernel = compiled(host, arrive)
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"SIGSEGV\) at address 0x1000, "):
            launch(host, kernel, grid=(3, 1, 1))
    check_it_still_works(host)


def test_other_programs_of_a_launch_that_failed_are_ended(host: HostDevice) -> None:
    """Some wait for what the one that faulted would have written."""
    knobs.threads = 3
    body = "  %first = icmp eq i32 %id, 0\n  br i1 %first, label %bad, label %l\nbad:\n  store volatile i32 1, ptr null\n  ret void\n"
    kernel = compiled(host, body + FOREVER.split("\n", 1)[1])
    with pytest.raises(DeviceError, match=r"program \(0, 0, 0\): .*SIGSEGV"):
        launch(host, kernel, torch.zeros(1, dtype=torch.int32), grid=(3, 1, 1))
    check_it_still_works(host)


def test_the_modes_of_the_callers_thread_stay(host: HostDevice) -> None:
    tiny = torch.tensor([1e-310], dtype=torch.float64)
    if not torch.set_flush_denormal(True):
        pytest.skip("the processor has no such mode")
    try:
        with pytest.raises(DeviceError, match="SIGSEGV"):
            launch(host, compiled(host, STORE_TO.format("null")))
        assert (tiny * 1.0).item() == 0
    finally:
        torch.set_flush_denormal(False)


def test_two_thousand_faults_leave_nothing_behind(host: HostDevice) -> None:
    knobs.threads = 2
    kernel = compiled(host, if_program(3, STORE_TO.format("null")))

    def fault(times: int) -> None:
        for _ in range(times):
            with pytest.raises(DeviceError):
                launch(host, kernel, grid=(8, 1, 1))

    def counts() -> tuple[int, int, int]:
        lines = len(Path("/proc/self/maps").read_text().splitlines())
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(), len(os.listdir("/proc/self/fd")), lines

    fault(500)
    gc.collect()
    before = counts()
    fault(2000)
    gc.collect()
    after = counts()
    assert after[0] - before[0] < 4 << 20
    assert after[1] == before[1]
    assert after[2] - before[2] < 10


PROCESS = """
import ctypes, faulthandler, os, signal, sys, threading, time, torch
from kernels.handwritten import compiled, launch
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import DeviceError
host = get_device("host", "host")
bad = compiled(host, "  store volatile i32 1, ptr null\\n  ret void\\n")
endless = compiled(host, "  br label %l\\nl:\\n  %v = load volatile i32, ptr %p0\\n  br label %l\\n")
def fault():
    try:
        launch(host, bad, grid=(3, 1, 1))
    except DeviceError as error:
        print("caught", "SIGSEGV" in str(error), flush=True)
x = torch.zeros(1, dtype=torch.int32)
"""


def run_process(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run([sys.executable, *options, "-c", PROCESS + code], env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_a_fault_outside_of_kernels_ends_the_process(host: HostDevice, when: str) -> None:
    """With faulthandler's report where that is on, whether it was turned on before or after the device was made."""
    code = f"fault()\n{'faulthandler.enable()' if when == 'after' else ''}\nctypes.string_at(8)\n"
    done = run_process(code, *(["-X", "faulthandler"] if when == "before" else []))
    assert done.returncode == -signal.SIGSEGV, done
    assert done.stdout == "caught True\n"
    assert ("Fatal Python error: Segmentation fault" in done.stderr) == (when != "never")


def test_faulthandler_may_be_turned_on_later(host: HostDevice) -> None:
    code = "launch(host, compiled(host, '  ret void\\n'))\nfaulthandler.enable()\ntime.sleep(0.3)\nfault()\nfault()\nprint('end')\n"
    done = run_process(code)
    assert (done.returncode, done.stdout) == (0, "caught True\ncaught True\nend\n"), done


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGILL])
def test_a_signal_that_was_sent_is_no_fault_of_the_kernel(host: HostDevice, number: signal.Signals) -> None:
    done = run_process(f"threading.Timer(0.5, lambda: os.kill(os.getpid(), {number:d})).start()\nlaunch(host, endless, x)\n")
    assert (done.returncode, done.stdout) == (-number, ""), done


def test_a_process_ends_while_other_threads_run_kernels(host: HostDevice) -> None:
    code = """
for count in (1, 2):
    threading.Thread(target=lambda: launch(host, endless, x, grid=(count, 1, 1)), daemon=True).start()
time.sleep(0.5)
print("end")
"""
    done = run_process(code)
    assert (done.returncode, done.stdout) == (0, "end\n"), done


def test_a_kernel_is_launched_while_the_interpreter_ends(host: HostDevice) -> None:
    """From a finalizer: it runs, and a fault is told."""
    code = """
good = compiled(host, "  store i32 5, ptr %p0\\n  ret void\\n")
class Late:
    def __del__(self, write=os.write, launch=launch, host=host, good=good, bad=bad, x=x, DeviceError=DeviceError):
        launch(host, good, x, grid=(3, 1, 1))
        try:
            launch(host, bad, grid=(3, 1, 1))
        except DeviceError as error:
            write(1, f"{x.item()} {error}".encode())
_keep = Late()
"""
    done = run_process(code)
    assert done.returncode == 0, done
    assert "5 kernel 'k', program (" in done.stdout, done
    assert "SIGSEGV" in done.stdout, done


def _fault_in_child(host: HostDevice, kernel: object, endless: object, queue: multiprocessing.Queue) -> None:
    knobs.timeout = 0.1
    said = []
    for one, x in ((kernel, None), (endless, torch.zeros(1, dtype=torch.int32))):
        try:
            launch(host, one, x, grid=(4, 1, 1))
        except DeviceError as error:
            said.append(str(error))
    queue.put(said)


def test_the_child_of_a_fork(host: HostDevice) -> None:
    knobs.threads = 2
    kernel, endless = compiled(host, STORE_TO.format("null")), compiled(host, FOREVER)
    with pytest.raises(DeviceError):
        launch(host, kernel, grid=(4, 1, 1))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_fault_in_child, args=(host, kernel, endless, queue))
    child.start()
    said = queue.get(timeout=60)
    child.join()
    assert ["SIGSEGV" in said[0], "still running after 0.1 seconds" in said[1]] == [True, True]
    check_it_still_works(host)


# ---- launches that do not end ----


@pytest.mark.parametrize("caller", [lambda work: work(), in_a_thread], ids=["main thread", "another thread"])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_endless_loop_is_stopped(host: HostDevice, threads: int, caller: Any) -> None:
    knobs.threads = threads
    kernel = compiled(host, FOREVER)
    for seconds in (0.3, 0.01):
        knobs.timeout = seconds
        start = time.monotonic()
        with pytest.raises(DeviceError, match=rf"program \([012], 0, 0\): still running after {seconds} seconds .*; it was at 0x"):
            caller(lambda: launch(host, kernel, torch.zeros(1, dtype=torch.int32), grid=(3, 1, 1)))
        assert time.monotonic() - start < seconds + 5 * SLACK  # the machine may be busy
        check_it_still_works(host)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("ends", ["timeout", "interrupt"])
def test_a_kernel_that_is_nearly_always_in_a_function_of_the_system(host: HostDevice, ends: str) -> None:
    body = "  br label %l\nl:\n  call void @llvm.memset.p0.i64(ptr %p0, i8 0, i64 67108864, i1 false)\n  br label %l\n"
    kernel = compiled(host, body, DECLARATIONS)
    x = torch.ones(1 << 24, dtype=torch.int32)
    if ends == "timeout":
        knobs.timeout = 0.3
    else:
        interrupt_after(0.3)
    start = time.monotonic()
    with pytest.raises(DeviceError if ends == "timeout" else KeyboardInterrupt):
        launch(host, kernel, x)
    assert time.monotonic() - start < 0.3 + 5 * SLACK
    check_it_still_works(host)


def test_a_thread_whose_signals_are_blocked(host: HostDevice) -> None:
    """As libraries make theirs."""
    knobs.timeout = 0.2

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
        for body, text in ((STORE_TO.format("null"), "SIGSEGV"), (FOREVER, "still running")):
            with pytest.raises(DeviceError, match=text):
                launch(host, compiled(host, body), torch.zeros(1, dtype=torch.int32))

    in_a_thread(work)


def test_a_fork_in_the_middle_of_a_launch(host: HostDevice) -> None:
    """By a handler of a signal: the launch goes on in both processes."""
    x, children = torch.zeros(1, dtype=torch.int32), []
    knobs.threads = 2

    def handler(number: int, frame: object) -> None:
        child = os.fork()
        x.fill_(1)
        if child:
            children.append(child)

    own = os.getpid()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        interrupt_after(0.2, signal.SIGALRM)
        launch(host, compiled(host, FOREVER), x)
        if os.getpid() != own:
            knobs.timeout = 0.2
            x.fill_(0)
            try:
                launch(host, compiled(host, FOREVER), x, grid=(2, 1, 1))
            except DeviceError:
                check_it_still_works(host)
                os._exit(0)
            os._exit(1)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert os.waitpid(children[0], 0)[1] == 0
    check_it_still_works(host)


def test_a_timeout_that_is_none(host: HostDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_SPACEMIT_TIMEOUT", "nonsense")
    check_it_still_works(host)  # nobody asks
    with pytest.raises(RuntimeError, match="TRITON_SPACEMIT_TIMEOUT=nonsense"):
        launch(host, compiled(host, FOREVER), torch.zeros(1, dtype=torch.int32))


def test_no_timeout(host: HostDevice) -> None:
    knobs.timeout = 0
    x = torch.zeros(1, dtype=torch.int32)
    threading.Timer(0.4, lambda: x.fill_(1)).start()
    start = time.monotonic()
    launch(host, compiled(host, FOREVER), x)
    assert time.monotonic() - start >= 0.3


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("body", [FOREVER, if_program(2, FOREVER)], ids=["all", "one"])
@pytest.mark.parametrize("delay", [0.02, 0.5])
def test_an_interrupt_ends_the_launch(host: HostDevice, threads: int, body: str, delay: float) -> None:
    """Wherever the programs are: the caller may have none left, and wait for others."""
    knobs.threads = threads
    kernel, x = compiled(host, body), torch.zeros(1, dtype=torch.int32)
    took = []
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            launch_and_interrupt(lambda: launch(host, kernel, x, grid=(3, 1, 1)), delay)
        took.append(time.monotonic() - start - delay)
        check_it_still_works(host)
    assert min(took) < SLACK


@pytest.mark.parametrize("threads", [1, 3])
def test_handlers_of_signals_run_meanwhile(host: HostDevice, threads: int) -> None:
    """And the kernel goes on behind them; one may launch a kernel itself."""
    knobs.threads = threads
    x, calls = torch.zeros(1, dtype=torch.int32), []

    def handler(number: int, frame: object) -> None:
        check_it_still_works(host)
        with pytest.raises(DeviceError):
            launch(host, compiled(host, STORE_TO.format("null")))
        calls.append(number)
        if len(calls) == 2:
            x.fill_(1)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        interrupt_after(0.3, signal.SIGALRM)
        interrupt_after(0.8, signal.SIGALRM)
        launch(host, compiled(host, FOREVER), x, grid=(3, 1, 1))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == [signal.SIGALRM] * 2


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_is_for_the_main_thread(host: HostDevice) -> None:
    """As for any thread in Python: a launch of another goes on."""
    x = torch.zeros(1, dtype=torch.int32)
    kernel = compiled(host, FOREVER)
    ended = threading.Event()

    def work() -> None:
        launch(host, kernel, x)
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    interrupt_after(0.2)
    with pytest.raises(KeyboardInterrupt):
        thread.join()
    assert not ended.wait(0.3)
    x.fill_(1)
    assert ended.wait(10)
    thread.join()


# Waits at the launch's barrier number 0, at which nobody else arrives: program 1 does not end.
BARRIER = """
  %h = alloca i64
  %g = call ptr @service(ptr %context, i64 8)
  call void %g(ptr %context, i32 0, ptr %h)
  %a = load i64, ptr %h
  %b = inttoptr i64 %a to ptr
  %first = icmp eq i32 %id, 0
  br i1 %first, label %w, label %l
w:
  %f = call ptr @service(ptr %context, i64 6)
  call void %f(ptr %context, ptr %b, i32 1, ptr @place)
  ret void
l:
  %v = load volatile i32, ptr %p0
  br label %l
"""
PLACE = '@place = private constant [6 x i8] c"here\\00\\00"'
PRINT = """
  br label %l
l:
  %f = call ptr @service(ptr %context, i64 1)
  call void %f(ptr %context, ptr @place, i32 32, i32 0, i32 0, ptr null, ptr null)
  br label %l
"""


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ends", ["timeout", "interrupt"])
def test_programs_that_wait_at_a_barrier(host: HostDevice, threads: int, ends: str) -> None:
    knobs.threads = threads
    kernel = compiled(host, BARRIER, PLACE)
    if ends == "timeout":
        knobs.timeout = 0.2
    else:
        interrupt_after(0.2)
    with pytest.raises(DeviceError if ends == "timeout" else KeyboardInterrupt):
        launch(host, kernel, torch.zeros(1, dtype=torch.int32), grid=(2, 1, 1))
    check_it_still_works(host)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("reads", [True, False], ids=["read", "not read"])
@pytest.mark.parametrize("ends", ["timeout", "interrupt"])
def test_programs_that_print(host: HostDevice, ends: str, reads: bool) -> None:
    """Also where nobody reads what they print."""
    kernel = compiled(host, PRINT, PLACE)
    read, write = os.pipe()
    output = os.dup(1)
    os.dup2(write, 1)
    os.close(write)
    if reads:
        threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(read, 1 << 16), b"")], daemon=True).start()
    try:
        if ends == "timeout":
            knobs.timeout = 0.3
        else:
            interrupt_after(0.3)
        start = time.monotonic()
        with pytest.raises(DeviceError if ends == "timeout" else KeyboardInterrupt):
            launch(host, kernel, grid=(4, 1, 1))
        assert time.monotonic() - start < 3
    finally:
        os.dup2(output, 1)
        os.close(output)
        if not reads:
            os.close(read)
    check_it_still_works(host)


def test_launches_of_threads_do_not_wait_for_each_other(host: HostDevice) -> None:
    knobs.threads = 2
    x = torch.zeros(1, dtype=torch.int32)
    kernel, beside = compiled(host, FOREVER), threading.Event()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            launch(host, kernel, x, grid=(4, 1, 1))
        except BaseException as error:
            raised.append(error)
        finally:
            beside.set()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        check_it_still_works(host)
    assert not beside.is_set()
    x.fill_(1)
    for thread in threads:
        thread.join()
    assert not raised


def test_failures_are_told_to_the_thread_that_launched(host: HostDevice) -> None:
    knobs.threads = 2
    kernels = [compiled(host, if_program(number, STORE_TO.format(f"inttoptr (i64 {16 * number} to ptr)"))) for number in range(4)]
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(200):
            with pytest.raises(DeviceError) as caught:
                launch(host, kernels[number], grid=(20, 1, 1))
            if f"program ({number}, 0, 0): invalid memory access (SIGSEGV) at address {16 * number:#x}" not in str(caught.value):
                wrong.append(str(caught.value))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_handlers_that_were_there_before_get_their_faults(tmp_path: Path) -> None:
    """A library that handles its own faults, as some runtimes do."""
    code = """
#include <setjmp.h>
#include <signal.h>
static jmp_buf stop;
static void handler(int number) { longjmp(stop, 1); }
void install(void) { struct sigaction a = {.sa_handler = handler, .sa_flags = SA_NODEFER}; sigaction(SIGSEGV, &a, 0); }
int probe(volatile int *address) { if (setjmp(stop)) return 1; *address; return 0; }
"""
    (tmp_path / "probe.c").write_text(code)
    library = tmp_path / "probe.so"
    flags = ("-shared", "-fPIC", "-O0", "-fno-sanitize=all")
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, tmp_path / "probe.c", "-o", library], check=True, capture_output=True)
    test = f"""
import ctypes
library = ctypes.CDLL({str(library)!r})
library.probe.argtypes = (ctypes.c_void_p,)
library.install()
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    whole = test + PROCESS + "fault()\nprint(library.probe(8), flush=True)\nfault()\nprint(library.probe(8))\n"
    done = subprocess.run([sys.executable, "-c", whole], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "caught True\n1\ncaught True\n1\n", done
