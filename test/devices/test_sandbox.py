"""The guest's sandbox: kernels run as without it, and what a hostile one asks the system for has no effect."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, kernel_ir, launch

from triton_spacemit.backend.devices.qemu import QemuDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

pytestmark = pytest.mark.qemu
NO_SUCH_CALL = -38

FENCE, ECALL = bytes.fromhex("0f003003"), bytes.fromhex("73000000")
# The system call that the first element of an int64 array names, with its next six as arguments; the result in the first. The fence stands
# for the instruction that does it, which cannot be written here; arguments are in the registers where the system looks for them.
CALL = "\n".join(
    [
        *(f"  %g{i} = getelementptr i64, ptr %p0, i64 {i}\n  %v{i} = load volatile i64, ptr %g{i}" for i in range(7)),
        "  %r = call i64 @system(i64 %v1, i64 %v2, i64 %v3, i64 %v4, i64 %v5, i64 %v6, i64 0, i64 %v0)",
        "  store volatile i64 %r, ptr %p0",
        "  ret void\n",
    ]
)
SYSTEM = """
define internal i64 @system(i64 %0, i64 %1, i64 %2, i64 %3, i64 %4, i64 %5, i64 %6, i64 %7) noinline {
  fence seq_cst
  ret i64 %0
}
"""
OPENAT, SOCKET, CLONE, KILL, EXECVE, UNLINKAT, PTRACE, TGKILL, GETPID, PROCESS_VM_WRITEV = 56, 198, 220, 129, 221, 35, 117, 131, 172, 271


@pytest.fixture
def sandboxed(qemu: QemuDevice) -> QemuDevice:
    knobs.sandbox = True
    return qemu


def call(device: QemuDevice, number: int, *arguments: int, text: bytes = b"") -> int:
    """What a system call gives in the guest; `text` lies behind the arguments, and the argument -7 stands for its address."""
    words = torch.zeros(64, dtype=torch.int64)
    place = words.data_ptr() + 64
    words[8 : 8 + len(text) // 8 + 1] = torch.frombuffer(bytearray(text.ljust(8 * (len(text) // 8 + 1), b"\0")), dtype=torch.int64)
    for i, argument in enumerate((number, *arguments)):
        words[i] = place if argument == -7 else argument
    binary = compile_object(kernel_ir(CALL, SYSTEM), device.chip)
    assert binary.count(FENCE) == 1
    launch(device, device.load(Artifact("k", device.chip.name, binary=binary.replace(FENCE, ECALL))), words)
    return int(words[0])


def check_kernels(device: QemuDevice) -> None:
    out = torch.zeros(5000, dtype=torch.int32)
    kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
    for threads in (1, 4, 2):
        knobs.threads = threads
        launch(device, kernel, out, grid=(5000, 1, 1))
    assert (out == 3).all()


def test_kernels_run(sandboxed: QemuDevice) -> None:
    check_kernels(sandboxed)
    with pytest.raises(DeviceError, match="SIGSEGV"):
        launch(sandboxed, compiled(sandboxed, "  store volatile i32 1, ptr null\n  ret void\n"))
    check_kernels(sandboxed)
    knobs.timeout = 0.3
    with pytest.raises(DeviceError, match="still running after 0.3 seconds"):
        launch(sandboxed, compiled(sandboxed, "  br label %l\nl:\n  %v = load volatile i32, ptr %p0\n  br label %l\n"), torch.zeros(1))


def test_files(sandboxed: QemuDevice, tmp_path: Path) -> None:
    path, victim = tmp_path / "made", tmp_path / "victim"
    victim.write_text("")
    flags = os.O_CREAT | os.O_WRONLY
    assert call(sandboxed, OPENAT, -100, -7, flags, 0o600, text=bytes(path)) == NO_SUCH_CALL
    assert call(sandboxed, UNLINKAT, -100, -7, 0, text=bytes(victim)) == NO_SUCH_CALL
    assert not path.exists()
    assert victim.exists()
    knobs.sandbox = False  # the same kernels can do so without it
    assert call(sandboxed, OPENAT, -100, -7, flags, 0o600, text=bytes(path)) >= 0
    assert call(sandboxed, UNLINKAT, -100, -7, 0, text=bytes(victim)) == 0
    assert path.exists()
    assert not victim.exists()


def test_sockets_and_processes(sandboxed: QemuDevice) -> None:
    assert call(sandboxed, SOCKET, 1, 1, 0) == NO_SUCH_CALL
    assert call(sandboxed, CLONE, signal.SIGCHLD, 0, 0, 0, 0) == NO_SUCH_CALL
    assert call(sandboxed, EXECVE, -7, 0, 0, text=b"/bin/true") < 0
    assert call(sandboxed, KILL, os.getpid(), 0) == NO_SUCH_CALL
    assert call(sandboxed, TGKILL, os.getpid(), os.getpid(), 0) == NO_SUCH_CALL
    assert call(sandboxed, PTRACE, 16, os.getpid(), 0, 0) < 0
    assert call(sandboxed, PROCESS_VM_WRITEV, os.getpid(), 0, 0, 0, 0, 0) == NO_SUCH_CALL
    assert call(sandboxed, GETPID) > 0
    knobs.sandbox = False
    assert call(sandboxed, SOCKET, 1, 1, 0) >= 0
    assert call(sandboxed, KILL, os.getpid(), 0) == 0


def test_each_guest_is_in_one(sandboxed: QemuDevice) -> None:
    """Also one that replaces another, and those that count instructions."""
    assert call(sandboxed, SOCKET, 1, 1, 0) == NO_SUCH_CALL
    assert sandboxed._session.guest is not None
    sandboxed._session.guest.process.kill()
    time.sleep(0.1)
    assert call(sandboxed, SOCKET, 1, 1, 0) == NO_SUCH_CALL
    results: list[int] = []
    counts = sandboxed.count(lambda: results.append(call(sandboxed, SOCKET, 1, 1, 0)))
    assert results == [NO_SUCH_CALL]
    assert counts.instructions > 10


def test_what_cannot_start_says_so(sandboxed: QemuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QemuDevice, "command", lambda self, *options: ["/nonexistent/qemu"])
    sandboxed.close()
    with pytest.raises(DeviceError, match="the sandbox cannot be made: /nonexistent/qemu: No such file"):
        check_kernels(sandboxed)


def test_the_default(qemu: QemuDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox where the system has it, else none; one that was asked for is there, or an error."""
    assert knobs.sandbox is None
    assert call(qemu, SOCKET, 1, 1, 0) == NO_SUCH_CALL
    monkeypatch.setattr("triton_spacemit.backend.devices.qemu.has_sandboxes", lambda: False)
    assert call(qemu, SOCKET, 1, 1, 0) >= 0
    knobs.sandbox = True
    assert call(qemu, SOCKET, 1, 1, 0) == NO_SUCH_CALL


def test_scratch_memory_that_the_machine_has_not(sandboxed: QemuDevice) -> None:
    """What the machine has left is read from a file that was opened before."""
    with pytest.raises(DeviceError, match="no memory in the guest for 1099511627776 bytes"):
        launch(sandboxed, compiled(sandboxed, "  ret void\n", scratch_bytes=1 << 40), grid=(2, 1, 1))
    check_kernels(sandboxed)
