"""The host device: its cost, its growth, and forks."""

import multiprocessing
import os
import resource
import sys
import threading
from pathlib import Path

import pytest
import torch
from kernels.handwritten import INCREMENT, compiled, launch

from triton_spacemit.backend import native
from triton_spacemit.backend.devices import Signature
from triton_spacemit.backend.devices.host import HostDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_launch_of_one_program_is_cheap(host: HostDevice) -> None:
    """Counted, as times depend on the machine: it takes a few calls in Python, and waits for no other thread."""
    kernel = compiled(host, "  ret void\n")
    arguments = (kernel, (1, 1, 1), bytes(40), (), Signature((), ()))
    host.launch(*arguments)
    calls: list[str] = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    host.launch(*arguments)
    sys.setprofile(None)
    assert sum(event in ("call", "c_call") for event in calls) <= 2  # the launch, and the end of counting
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    for _ in range(1000):
        host.launch(*arguments)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < 100


def test_a_thousand_kernels_do_not_grow_the_process(host: HostDevice) -> None:
    binaries = [compile_object(INCREMENT.replace("add i32 %v, 1", f"add i32 %v, {i}"), host.chip) for i in range(1, 11)]
    out = torch.zeros(1, dtype=torch.int32)
    launch(host, host.load(Artifact("k", host.chip.name, binary=binaries[0])), out)
    before = _resident_bytes()
    for i in range(5000):
        kernel = host.load(Artifact("k", host.chip.name, binary=binaries[i % 10]))
        launch(host, kernel, out)
        host.unload(kernel)
    assert out.item() == 1 + 500 * 55
    assert _resident_bytes() - before < 4 << 20


def test_code_is_never_writable_and_executable(host: HostDevice) -> None:
    kernel = compiled(host, "  %o = atomicrmw add ptr @c, i32 1 seq_cst\n  ret void\n", "@c = private global i32 0")
    rights = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if kernel.address <= start < kernel.address + kernel.size or start <= kernel.address < end:
            rights[max(start, kernel.address) - kernel.address] = line.split()[1]
    assert rights[0] == "r-xp"
    assert not any("w" in right and "x" in right for right in rights.values())
    assert "rw-p" in rights.values()


def _sum_in_child(host: HostDevice, kernel: object, queue: multiprocessing.Queue) -> None:
    out = torch.zeros(5000, dtype=torch.int32)
    launch(host, kernel, out, grid=(5000, 1, 1))
    queue.put((int(out.sum()), len(os.listdir("/proc/self/task"))))


def test_the_child_of_a_fork_has_a_pool_of_its_own(host: HostDevice) -> None:
    knobs.threads = 3
    kernel = host.load(Artifact("k", host.chip.name, binary=compile_object(INCREMENT, host.chip)))
    out = torch.zeros(5000, dtype=torch.int32)
    launch(host, kernel, out, grid=(5000, 1, 1))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_sum_in_child, args=(host, kernel, queue))
    child.start()
    assert queue.get(timeout=60) == (5000, 3 + 1)  # the pool, and who watches over launches
    child.join()
    assert child.exitcode == 0
    launch(host, kernel, out, grid=(5000, 1, 1))
    assert (out == 2).all()


def test_threads_of_the_caller_launch_at_the_same_time(host: HostDevice) -> None:
    knobs.threads = 2
    kernel = host.load(Artifact("k", host.chip.name, binary=compile_object(INCREMENT, host.chip)))
    outs = [torch.zeros(64, dtype=torch.int32) for _ in range(4)]

    def work(out: torch.Tensor) -> None:
        for _ in range(200):
            launch(host, kernel, out, grid=(64, 1, 1))

    threads = [threading.Thread(target=work, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((out == 200).all() for out in outs)


def test_too_much_scratch_memory_is_an_error(host: HostDevice) -> None:
    kernel = compiled(host, "  ret void\n", scratch_bytes=1 << 60)
    with pytest.raises(DeviceError, match="no memory for 1152921504606846976 bytes of scratch"):
        launch(host, kernel, grid=(4, 1, 1))


def test_a_machine_that_cannot_build_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(native, "version", lambda name: (_ for _ in ()).throw(native.PackageNotFoundError(name)))
    with pytest.raises(DeviceError, match="pip install ziglang"):
        native._build("host.so", ("host.c",), ())


def test_a_failed_build_shows_the_compilers_message_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "cache_dir", lambda: tmp_path)
    with pytest.raises(DeviceError, match=r"`zig cc` for .*host.so failed:\n(.*\n)*.*unknown architecture"):
        native._build("host.so", ("host.c",), ("-target", "unknown-arch-linux-gnu"))
    assert [path.name for path in (tmp_path / "native").iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="TRITON_HOME"), native.locked(tmp_path / "file" / "folder"):
        os.abort()  # must not be reached
