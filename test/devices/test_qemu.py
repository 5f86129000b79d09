"""The qemu device: faults and how it recovers, the memory that guest and host share, and what it leaves behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from kernels.handwritten import COPY, FOLLOW, INCREMENT, compiled, kernel_ir, launch, read_only

from triton_spacemit.backend.devices.guest import Guest
from triton_spacemit.backend.devices.mirror import merge
from triton_spacemit.backend.devices.qemu import QemuDevice
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.protocol import Command
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

pytestmark = pytest.mark.qemu

STORE_TO = "  store volatile i32 1, ptr {}\n  ret void\n"
FOREVER = "  br label %l\nl:\n  %v = load volatile i32, ptr %p0\n  br label %l\n"


def check_it_still_works(device: QemuDevice) -> None:
    out = torch.zeros(100, dtype=torch.int32)
    launch(device, device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip))), out, grid=(100, 1, 1))
    assert (out == 1).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (STORE_TO.format("null"), r"invalid memory access \(SIGSEGV\) at address 0x0, at 0x"),
        (STORE_TO.format("inttoptr (i64 81985529216486895 to ptr)"), r"SIGSEGV"),
        ("  call void @llvm.trap()\n  unreachable\n", r"SIGILL|SIGTRAP|illegal instruction"),
        (
            "  call void @llvm.memset.p0.i64(ptr inttoptr (i64 4096 to ptr), i8 0, i64 1000, i1 false)\n" + STORE_TO.format("%p0"),
            r"address 0x1[0-9a-f]{3}, at 0x[0-9a-f]+ in its code",
        ),
        ("  %a = alloca [64 x i8], i64 1000000\n  store volatile i8 0, ptr %a\n  ret void\n", "SIGSEGV"),
    ],
    ids=["null", "wild", "trap", "in memset", "stack"],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_fault_is_an_error_and_the_next_launch_works(qemu: QemuDevice, body: str, message: str, threads: int) -> None:
    knobs.threads = threads
    condition = f"  %bad = icmp eq i32 %id, 37\n  br i1 %bad, label %fault, label %fine\nfine:\n  ret void\nfault:\n{body}"
    kernel = compiled(qemu, condition, "declare void @llvm.trap()\ndeclare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    with pytest.raises(DeviceError, match=r"kernel 'k', program \(37, 0, 0\): .*" + message):
        launch(qemu, kernel, grid=(50, 1, 1))
    check_it_still_works(qemu)


def test_a_fault_names_the_source_line(qemu: QemuDevice) -> None:
    lines = "\n".join(f"  store volatile i32 {i}, ptr %p{i == 2:d}, !dbg !{10 + i}" for i in range(4))
    body = kernel_ir(lines + "\n  ret void, !dbg !13\n").replace("ptr %context) {\n  %p0", "ptr %context) !dbg !5 {\n  %p0")
    for call in ("@slot(ptr %arguments, i64 0)", "@slot(ptr %arguments, i64 1)", "@pid(ptr %context)"):
        body = body.replace(f"call ptr {call}", f"call ptr {call}, !dbg !10").replace(f"call i32 {call}", f"call i32 {call}, !dbg !10")
    metadata = """
!llvm.dbg.cu = !{!0}
!llvm.module.flags = !{!2, !3}
!0 = distinct !DICompileUnit(language: DW_LANG_C, file: !1, producer: "test", isOptimized: true, emissionKind: LineTablesOnly)
!1 = !DIFile(filename: "kernel.py", directory: "/somewhere")
!2 = !{i32 2, !"Debug Info Version", i32 3}
!3 = !{i32 7, !"Dwarf Version", i32 5}
!4 = !DISubroutineType(types: !{})
!5 = distinct !DISubprogram(name: "k", file: !1, line: 1, type: !4, unit: !0, spFlags: DISPFlagDefinition)
"""
    metadata += "\n".join(f"!{10 + i} = !DILocation(line: {20 + i}, column: 1, scope: !5)" for i in range(4))
    kernel = qemu.load(Artifact("k", qemu.chip.name, binary=compile_object(body + metadata, qemu.chip)))
    with pytest.raises(DeviceError, match=r"at kernel\.py:22$"):
        launch(qemu, kernel, torch.zeros(1, dtype=torch.int32), 0)


def test_an_endless_loop_is_stopped(qemu: QemuDevice) -> None:
    knobs.timeout = 0.3
    kernel = compiled(qemu, FOREVER)
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"program \([01], 0, 0\): still running after 0.3 seconds .* at 0x[0-9a-f]+ in its code"):
        launch(qemu, kernel, torch.zeros(1, dtype=torch.int32), grid=(2, 1, 1))
    assert time.monotonic() - start < 5
    check_it_still_works(qemu)


def test_a_dead_guest_is_replaced(qemu: QemuDevice) -> None:
    check_it_still_works(qemu)
    qemu._session.guest.process.kill()
    time.sleep(0.2)
    check_it_still_works(qemu)
    kernel = compiled(qemu, FOREVER)
    guest = qemu._session.guest.process
    threading.Timer(0.3, guest.kill).start()
    with pytest.raises(DeviceError, match="kernel 'k': the guest ended with status -9"):
        launch(qemu, kernel, torch.zeros(1, dtype=torch.int32))
    check_it_still_works(qemu)


def test_an_interrupt_ends_the_launch(qemu: QemuDevice) -> None:
    kernel = compiled(qemu, FOREVER)
    ended = threading.Event()

    def interrupt() -> None:
        """Again where an interrupt came into a finalizer, from which Python passes no exception on."""
        wait = 0.3
        while not ended.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 5

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # another test's library may have had it ignored
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            launch(qemu, kernel, torch.zeros(1, dtype=torch.int32))
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before)
    check_it_still_works(qemu)


# ---- memory ----


def test_views_and_overlapping_arguments(qemu: QemuDevice) -> None:
    base = torch.arange(20_000, dtype=torch.int32)
    expected = base.clone()
    launch(qemu, compiled(qemu, COPY), base[5000:], base[::7][100:])
    expected[5000] = 700
    assert torch.equal(base, expected)


def test_neighbours_on_a_page_keep_their_values(qemu: QemuDevice) -> None:
    kernel = compiled(qemu, INCREMENT.split("%id = call i32 @pid(ptr %context)")[1].rsplit("}", 1)[0])
    tensors = [torch.full((5,), i, dtype=torch.int32) for i in range(50)]
    for tensor in tensors[::2]:
        launch(qemu, kernel, tensor, grid=(5, 1, 1))
    assert [tensor.tolist() for tensor in tensors] == [[i + (i % 2 == 0)] * 5 for i in range(50)]


def test_pointers_in_memory_and_raw_addresses(qemu: QemuDevice) -> None:
    small = [torch.full((3,), i, dtype=torch.int32) for i in range(200)]
    large = torch.zeros(3_000_000, dtype=torch.int32)
    table = torch.tensor([t.data_ptr() for t in small] + [large.data_ptr() + 4 * i for i in range(0, 3_000_000, 9973)])
    launch(qemu, compiled(qemu, FOLLOW), None, table, grid=(len(table), 1, 1), types=("*i32", "*i64"))
    assert [t.tolist() for t in small] == [[i + 1, i, i] for i in range(200)]
    assert large.sum() == len(range(0, 3_000_000, 9973))
    launch(qemu, compiled(qemu, COPY), large.data_ptr(), small[7].data_ptr() + 4)
    assert large[:2].tolist() == [7, 0]


def test_a_pointer_to_a_neighbour_of_an_argument(qemu: QemuDevice) -> None:
    page = bytearray(3 * 4096)
    start = -torch.frombuffer(page, dtype=torch.uint8).data_ptr() % 4096
    table = torch.frombuffer(page, dtype=torch.int64, offset=start + 800, count=2)
    near = [torch.frombuffer(page, dtype=torch.int32, offset=start + offset, count=1) for offset in (796, 816)]
    for i, tensor in enumerate(near):
        tensor[0] = 10 * i
        table[i] = tensor.data_ptr()
    launch(qemu, compiled(qemu, FOLLOW), None, table, grid=(2, 1, 1), types=("*i32", "*i64"))
    assert [tensor.item() for tensor in near] == [1, 11]


def test_what_a_pointer_led_to_is_read_anew_by_each_launch(qemu: QemuDevice) -> None:
    target, table = torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int64)
    table[0] = target.data_ptr()
    kernel = compiled(qemu, FOLLOW)
    for value in (5, 70):
        target[0] = value
        launch(qemu, kernel, None, table, types=("*i32", "*i64"))
        assert target.item() == value + 1


def test_memory_of_no_argument_is_out_of_reach_without_pointers(qemu: QemuDevice) -> None:
    out = torch.zeros(4096, dtype=torch.int32)
    kernel = qemu.load(Artifact("k", qemu.chip.name, binary=compile_object(INCREMENT, qemu.chip)))
    with pytest.raises(DeviceError, match="SIGSEGV"):
        launch(qemu, kernel, out, grid=(1 << 20, 1, 1))
    assert not out.any()


def test_read_only_memory_can_be_read_but_not_written(qemu: QemuDevice, tmp_path: Path) -> None:
    readonly, out = read_only(tmp_path / "data"), torch.zeros(1, dtype=torch.int32)
    launch(qemu, compiled(qemu, COPY), out, readonly[1500:])
    assert out.item() == 5
    with pytest.raises(DeviceError, match="read-only memory"):
        launch(qemu, compiled(qemu, COPY), readonly, torch.tensor([9], dtype=torch.int32))
    assert readonly[0] == 5


def test_hundreds_of_megabytes(qemu: QemuDevice) -> None:
    large = torch.ones(80_000_000, dtype=torch.int32)
    launch(qemu, compiled(qemu, COPY), large[79_999_999:], torch.tensor([3], dtype=torch.int32))
    assert large.sum(dtype=torch.int64) == 80_000_002


def test_memory_of_past_tensors_is_given_back(qemu: QemuDevice) -> None:
    kernel = compiled(qemu, COPY)
    for _ in range(5):
        tensor = torch.ones(10_000_000, dtype=torch.int32)
        launch(qemu, kernel, tensor, tensor)
        del tensor
    launch(qemu, kernel, torch.ones(1, dtype=torch.int32), torch.ones(1, dtype=torch.int32))
    assert os.fstat(qemu._session.guest.file).st_blocks * 512 < 4_000_000


def test_the_union_of_ranges() -> None:
    assert merge([(5, 9), (1, 3), (8, 12), (4, 4), (2, 3), (12, 13)]) == [(1, 3), (5, 12), (12, 13)]


# ---- processes ----


def _increment_in_child(queue: multiprocessing.Queue) -> None:
    from triton_spacemit.backend.devices import get_device

    device = get_device("qemu", "x60")
    out = torch.zeros(10, dtype=torch.int32)
    launch(device, device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip))), out, grid=(10, 1, 1))
    queue.put((out.tolist(), device._session.guest.process.pid))
    device.close()


def test_the_child_of_a_fork_has_a_guest_of_its_own(qemu: QemuDevice) -> None:
    check_it_still_works(qemu)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_increment_in_child, args=(queue,))
    child.start()
    values, pid = queue.get(timeout=60)
    child.join()
    assert (values, child.exitcode) == ([1] * 10, 0)
    assert pid != qemu._session.guest.process.pid
    assert qemu._session.guest.process.poll() is None
    check_it_still_works(qemu)


SCRIPT = """
import os, sys, torch, struct, signal
sys.path.insert(0, sys.argv[1])
from kernels.handwritten import INCREMENT, launch
from triton_spacemit.backend.devices import get_device
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object
device = get_device("qemu", "x60")
kernel = device.load(Artifact("k", "x60", binary=compile_object(INCREMENT, device.chip)))
launch(device, kernel, torch.zeros(1, dtype=torch.int32))
print(device._session.guest.process.pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["exits", "killed"])
def test_no_guest_outlives_its_host(qemu: QemuDevice, end: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), end], capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == (0 if end == "exits" else -signal.SIGKILL), result.stderr
    process = Path(f"/proc/{int(result.stdout)}/cmdline")
    for _ in range(100):
        # Gone, or a zombie that the system's first process has not yet collected.
        if not process.exists() or not process.read_bytes():
            return
        time.sleep(0.05)
    pytest.fail("the guest still runs")


# ---- guests that stop or die, and large storages ----


@pytest.mark.parametrize("command", [Command.MAP, Command.UNMAP, Command.LAUNCH])
def test_a_guest_that_dies_before_a_launch_is_replaced(qemu: QemuDevice, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """The launch is begun again, since nothing has run; a second death is an error."""
    check_it_still_works(qemu)
    tell, deaths = Guest.tell, [1]

    def tell_the_dying(self: Guest, told: int, *operands: int, payload: bytes = b"") -> None:
        if told == command and deaths[0]:
            deaths[0] -= 1
            self.process.kill()
            self.process.wait()
        tell(self, told, *operands, payload=payload)

    monkeypatch.setattr(Guest, "tell", tell_the_dying)
    check_it_still_works(qemu)
    assert deaths == [0]
    if command != Command.UNMAP:  # a fresh guest has nothing to unmap
        deaths[0] = 2
        with pytest.raises(DeviceError, match="the guest ended with status -9"):
            check_it_still_works(qemu)
    deaths[0] = 0
    check_it_still_works(qemu)


def test_a_stopped_guest_ends_by_the_timeout(qemu: QemuDevice) -> None:
    check_it_still_works(qemu)
    for _ in range(2):
        assert qemu._session.guest is not None
        os.kill(qemu._session.guest.process.pid, signal.SIGSTOP)
        start = time.monotonic()
        with knobs.scope():
            knobs.timeout = 0.5
            with pytest.raises(DeviceError, match="the guest does not answer"):
                check_it_still_works(qemu)
        assert time.monotonic() - start < 5
        check_it_still_works(qemu)


# Adds 1 to the element of %p0 that element `id` of %p1 says.
INDEXED = """
  %e = getelementptr i32, ptr %p1, i32 %id
  %i = load i32, ptr %e
  %g = getelementptr i32, ptr %p0, i32 %i
  %v = load i32, ptr %g
  %w = add i32 %v, 1
  store i32 %w, ptr %g
  ret void
"""


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes guests are given, a number each time."""
    counts: list[int] = []
    copy_in = Guest.copy_in

    def counted(self: Guest, start: int, end: int) -> int:
        counts.append(end - start)
        return copy_in(self, start, end)

    monkeypatch.setattr(Guest, "copy_in", counted)
    return counts


def test_a_view_of_a_large_storage_is_copied_alone(qemu: QemuDevice, copied: list[int]) -> None:
    large = torch.zeros(10_000_000, dtype=torch.int32)
    view, index = large[5_000_000:5_001_000], torch.tensor([0, 999, 7], dtype=torch.int32)
    launch(qemu, compiled(qemu, INDEXED), view, index, grid=(3, 1, 1))
    assert [view[0], view[999], view[7], large.sum()] == [1, 1, 1, 3]
    assert sum(copied) < 40_000
    strided = large.view(1000, 10_000)[10:20, ::100]
    copied.clear()
    launch(qemu, compiled(qemu, INDEXED), strided, torch.tensor([0, 99_900], dtype=torch.int32), grid=(2, 1, 1))
    assert [strided[0, 0], strided[9, 99], large.sum()] == [1, 1, 5]
    assert sum(copied) < 450_000


def test_the_rest_of_a_large_storage_is_there(qemu: QemuDevice) -> None:
    """A kernel may go from a view to all of its storage, up to the storage's last byte and not beyond."""
    large = torch.zeros(3_000_001, dtype=torch.int32)
    places = [0, 1, 999_999, 1_000_000, 1_000_100, 1_000_101, 1_002_000, 2_999_999, 3_000_000]
    index = torch.tensor(places, dtype=torch.int32) - 1_000_000
    kernel = compiled(qemu, INDEXED)
    for turn in range(3):
        large[5] = turn
        launch(qemu, kernel, large[1_000_000:1_000_100], index, grid=(len(places), 1, 1))
        assert large[places].tolist() == [turn + 1] * len(places)
        assert large.sum() == len(places) * (turn + 1) + turn
    with pytest.raises(DeviceError, match="SIGSEGV"):
        launch(qemu, kernel, large[1_000_000:1_000_100], torch.tensor([5_000_000], dtype=torch.int32))
    assert large.sum() == len(places) * 3 + 2


@pytest.mark.parametrize("setting", ["EMULATE", "SANDBOX", "TIMEOUT", "THREADS"])
def test_a_setting_that_is_none_leaves_no_guest_behind(qemu: QemuDevice, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """A guest that is given up is forgotten with all that it held."""
    out = torch.zeros(4, dtype=torch.int32)
    kernel = qemu.load(Artifact("k", qemu.chip.name, binary=compile_object(INCREMENT, qemu.chip)))
    launch(qemu, kernel, out, grid=(4, 1, 1))
    with monkeypatch.context() as patch:
        patch.setenv(f"TRITON_SPACEMIT_{setting}", "nonsense")
        for _ in range(2):
            with pytest.raises(RuntimeError, match=f"TRITON_SPACEMIT_{setting}"):
                launch(qemu, kernel, out, grid=(4, 1, 1))
    launch(qemu, kernel, out, grid=(4, 1, 1))
    assert (out == 2).all()
