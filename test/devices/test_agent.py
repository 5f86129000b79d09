"""The agent as a program that nobody trusts, and that trusts nobody: what it refuses, what its workers cannot do, and what a host does not
take from another one.
"""

import hashlib
import json
import mmap
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import pytest
import torch
from kernels.handwritten import INCREMENT, kernel_ir, launch
from targets import own_board

from triton_spacemit.backend import board, set_device, wire
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.link import Link, over_process, over_socket
from triton_spacemit.backend.devices.remote import RemoteDevice
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import SOURCES, agent_program
from triton_spacemit.backend.protocol import CONTROL, CONTROL_BYTES, Event
from triton_spacemit.backend.wire import Frame
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.passes.codegen import compile_object

HELLO = struct.pack("<II", wire.VERSION, 0)
PAGE = 4096
ARENA, CODE = wire.ARENA_START, wire.CODE_START


# ---- under sanitizers ----

SANITIZED = ("ranges.c", "sha256.c", "agent_blobs.c")


def fuzz(folder: Path, frames: int) -> None:
    if not (gcc := shutil.which("gcc")):
        pytest.skip("needs GCC: zig has no library for this sanitizer")
    program = folder / "frames"
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O2", "-std=gnu11", f"-I{SOURCES}")
    sources = (Path(__file__).parent / "frames.c", *(SOURCES / name for name in SANITIZED))
    subprocess.run([gcc, *flags, *map(str, sources), "-o", str(program)], check=True)
    result = subprocess.run([program, str(frames), "11"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    count, taken, sessions, refusals, launches, _ = (int(word) for word in result.stdout.split() if word.isdigit())
    assert count == frames
    # Not all is refused, and not all is taken: each rule is broken often enough.
    assert taken > frames // 2
    assert min(sessions, refusals, launches) > frames // 300


def test_tens_of_thousands_of_frames(tmp_path: Path) -> None:
    fuzz(tmp_path, 50_000)


@pytest.mark.slow
def test_ten_million_frames(tmp_path: Path) -> None:
    fuzz(tmp_path, 10_000_000)


# ---- what it refuses ----


@pytest.fixture
def link() -> Iterator[Link]:
    """To an agent that has been greeted and has two ranges and a kernel."""
    found = over_process("test", [str(agent_program("x86_64")), "--stdio", "--memory", str(64 << 20)])
    found.send(found.frame(Frame.HELLO, HELLO)[1], 10)
    kind, _, size = found.header(30)
    assert kind == Frame.INFO
    found.body(size, 10)
    for start in (ARENA, ARENA + 4 * PAGE):
        found.send(found.frame(Frame.ALLOCATE, struct.pack("<QQ", start, 2 * PAGE))[1], 10)
    yield found
    found.close()


def answer(link: Link, kind: int, *parts: bytes) -> str:
    """What the agent says of a frame as an error, after which it has ended; empty where it goes on."""
    try:
        link.send([*link.frame(Frame(kind), *parts)[1], *link.frame(Frame.PING)[1]], 10)
    except LinkError as error:  # it has ended before all was sent
        return str(error)
    while True:
        found, _, size = link.header(10)
        if found == Frame.PONG:
            return ""
        body = link.body(size, 10) if found != Frame.DATA else None
        if found == Frame.DATA:
            link.body_into(memoryview(bytearray(size)), 10)
        if found == Frame.ERROR:
            assert link.process is not None
            assert link.process.wait(10) == 1
            assert body is not None
            return body.decode()


def span(start: int, size: int) -> bytes:
    return struct.pack("<QQ", start, size)


BIG = (1 << 64) - PAGE


@pytest.mark.parametrize(
    ("kind", "parts", "message"),
    [
        (Frame.WRITE, [span(ARENA, 10), b"0123456789"], ""),
        (Frame.READ, [span(ARENA + PAGE, PAGE)], ""),
        (Frame.FREE, [span(ARENA, 2 * PAGE)], ""),
        (Frame.ALLOCATE, [span(ARENA + 2 * PAGE, PAGE)], ""),
        (Frame.WRITE, [span(ARENA, 11), b"0123456789"], "10 bytes for a range of 11"),
        (Frame.WRITE, [span(ARENA + 2 * PAGE - 5, 10), b"0123456789"], "are not allocated"),
        (Frame.WRITE, [span(ARENA - 1, 2), b"01"], "are not allocated"),
        (Frame.WRITE, [span(CODE, 2), b"01"], "are not allocated"),
        (Frame.WRITE, [b"short"], "11 bytes too short"),
        (Frame.READ, [span(ARENA, BIG)], "are not allocated"),
        (Frame.READ, [span(BIG, 2 * PAGE)], "are not allocated"),
        (Frame.READ, [span(0, 8)], "are not allocated"),
        (Frame.READ, [span(ARENA, 6 * PAGE)], "are not allocated"),
        (Frame.READ, [span(ARENA, 8), b"more"], "4 bytes too many"),
        (Frame.FILL, [struct.pack("<QQQ", ARENA, 3 * PAGE, 1)], "are not allocated"),
        (Frame.FREE, [span(ARENA, PAGE)], "were not allocated"),
        (Frame.FREE, [span(ARENA + PAGE, PAGE)], "were not allocated"),
        (Frame.FREE, [span(ARENA, BIG)], "were not allocated"),
        (Frame.FREE, [span(ARENA, 6 * PAGE)], "were not allocated"),
        (Frame.ALLOCATE, [span(ARENA + PAGE, 5 * PAGE)], "are taken"),
        (Frame.ALLOCATE, [span(ARENA + 8 * PAGE, 1 << 40)], "cannot be allocated"),
        (Frame.ALLOCATE, [span(ARENA + 8 * PAGE, BIG)], "cannot be allocated"),
        (Frame.ALLOCATE, [span(ARENA + 8 * PAGE + 8, PAGE)], "cannot be allocated"),
        (Frame.ALLOCATE, [span(CODE, PAGE)], "cannot be allocated"),
        (Frame.ALLOCATE, [span(ARENA + 8 * PAGE, 0)], "cannot be allocated"),
        (Frame.LAUNCH, [bytes(wire.LAUNCHING.size)], "there is no kernel at 0"),
        (Frame.LAUNCH, [struct.pack("<Q", ARENA), bytes(wire.LAUNCHING.size - 8)], "there is no kernel at"),
        (Frame.LAUNCH, [bytes(1 << 20)], "too long|more than the"),
        (
            Frame.HELLO,
            [struct.pack("<II", wire.VERSION + 1, 0)],
            f"speaks version {wire.VERSION}, and was asked for version {wire.VERSION + 1}",
        ),
        (Frame.INFO, [], "there is no frame 32"),
        (Frame.PING, [bytes((1 << 20) + 1)], "a frame of 1048577 bytes is too long"),
        (Frame.WORKER, [struct.pack("<II", 0, 9), bytes(128)], "no worker of this kind"),
    ],
)
def test_frames_that_break_a_rule(link: Link, kind: int, parts: list[bytes], message: str) -> None:
    said = answer(link, kind, *parts)
    assert bool(said) == bool(message), said
    if message:
        assert re.search(message, said), said


def image(data: bytes, start: int = CODE, digest: bytes | None = None, ends: tuple[int, ...] = (PAGE, PAGE, PAGE)) -> list[bytes]:
    body = struct.pack("<5Q", start, len(data), *ends) + (hashlib.sha256(data).digest() if digest is None else digest)
    return [body, data]


def test_images_are_executable_or_writable_and_what_their_digests_say(link: Link) -> None:
    assert answer(link, Frame.CODE, *image(bytes(PAGE))) == ""
    assert "are taken" in answer(link, Frame.CODE, *image(bytes(PAGE)))


@pytest.mark.parametrize(
    "parts",
    [
        image(bytes(PAGE), digest=bytes(32)),
        image(bytes(PAGE), start=ARENA + 8 * PAGE),
        image(bytes(PAGE), start=CODE + 1),
        image(bytes(PAGE), ends=(PAGE, 0, PAGE)),
        image(bytes(PAGE), ends=(2 * PAGE, 2 * PAGE, 2 * PAGE)),
        image(bytes(PAGE), ends=(1, PAGE, PAGE)),
        image(bytes(PAGE - 1)),
    ],
)
def test_images_that_are_none(link: Link, parts: list[bytes]) -> None:
    said = answer(link, Frame.CODE, *parts)
    assert "are no image" in said or "is not what its digest says" in said, said


def test_nothing_comes_before_hello() -> None:
    link = over_process("test", [str(agent_program("x86_64")), "--stdio"])
    assert answer(link, Frame.READ, span(ARENA, 8)) == "HELLO comes first"
    link.close()


def test_memory_is_only_what_is_lent(link: Link) -> None:
    """A kernel cannot make the file larger, nor this process allocate more than the agent said."""
    assert link.process is not None
    file = next(path for path in Path(f"/proc/{link.process.pid}/fd").iterdir() if "memfd:triton-spacemit" in os.readlink(path))
    assert file.stat().st_size <= (64 << 20) + CONTROL_BYTES
    handle = os.open(file, os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(handle, 1 << 30)
    finally:
        os.close(handle)


# ---- the socket ----


def test_a_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    process = subprocess.Popen([agent_program("x86_64"), "--listen", path])
    try:
        for _ in range(200):
            if path.exists():
                break
            time.sleep(0.05)
        assert path.stat().st_mode & 0o777 == 0o600
        links = [over_socket("test", str(path)) for _ in range(2)]  # each has an agent of its own
        for link in links:
            link.send(link.frame(Frame.HELLO, HELLO)[1], 10)
            kind, _, size = link.header(30)
            assert kind == Frame.INFO
            link.body(size, 10)
        assert "are not allocated" in answer_of_socket(links[0])
        links[1].send(links[1].frame(Frame.PING)[1], 10)
        assert links[1].header(10)[0] == Frame.PONG
        for link in links:
            link.close()
        knobs.board = f"unix:{path}"
        set_device("remote", "host")
        device = get_device("remote", "host")
        check_kernels(device)  # type: ignore[arg-type]
        device.close()  # type: ignore[attr-defined]
    finally:
        process.terminate()
        process.wait()


def answer_of_socket(link: Link) -> str:
    link.send(link.frame(Frame.READ, span(ARENA, 8))[1], 10)
    kind, _, size = link.header(10)
    assert kind == Frame.ERROR
    return link.body(size, 10).decode()


# ---- what kernels cannot do ----

CALL_NUMBERS = {"open": 2, "socket": 41, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "ptrace": 101, "unlink": 87, "openat": 257}
CALL_NUMBERS |= {
    "connect": 42,
    "tkill": 200,
    "tgkill": 234,
    "process_vm_writev": 311,
    "memfd_create": 319,
    "io_uring_setup": 425,
    "getpid": 39,
}
CALL_NUMBERS |= {"write": 1, "mprotect": 10, "mmap": 9, "ftruncate": 77, "prctl": 157, "setrlimit": 160}
NO_SUCH_CALL = -38

# The system call that the first element of an int64 array names, with its next six as arguments; the result in the first.
CALL = "\n".join(
    [
        *(f"  %g{i} = getelementptr i64, ptr %p0, i64 {i}\n  %v{i} = load volatile i64, ptr %g{i}" for i in range(7)),
        '  %r = call i64 asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},{rdx},{r10},{r8},{r9},~{rcx},~{r11},~{memory}"'
        "(i64 %v0, i64 %v1, i64 %v2, i64 %v3, i64 %v4, i64 %v5, i64 %v6)",
        "  store volatile i64 %r, ptr %p0",
        "  ret void\n",
    ]
)


@pytest.fixture
def sandboxed() -> Iterator[RemoteDevice]:
    knobs.board = own_board("--require-sandbox")
    set_device("remote", "host")
    device = get_device("remote", "host")
    yield device  # type: ignore[misc]
    device.close()  # type: ignore[attr-defined]


def check_kernels(device: RemoteDevice) -> None:
    out = torch.zeros(5000, dtype=torch.int32)
    kernel = device.load(Artifact("k", device.chip.name, binary=compile_object(INCREMENT, device.chip)))
    for threads in (1, 4, 2):
        knobs.threads = threads
        launch(device, kernel, out, grid=(5000, 1, 1))
    assert (out == 3).all()


def call(device: RemoteDevice, name: str, *arguments: int, text: bytes = b"") -> int:
    """What a system call gives in the worker; `text` lies behind the arguments, and the argument -7 stands for its address."""
    words = board.empty(64, dtype=torch.int64)
    content = torch.zeros(64, dtype=torch.int64)
    content[8 : 8 + len(text) // 8 + 1] = torch.frombuffer(bytearray(text.ljust(8 * (len(text) // 8 + 1), b"\0")), dtype=torch.int64)
    for i, argument in enumerate((CALL_NUMBERS[name], *arguments)):
        content[i] = words.data_ptr() + 64 if argument == -7 else argument
    words.copy_(content)
    llvm.initialize_native_asmparser()
    binary = compile_object(kernel_ir(CALL), device.chip)
    launch(device, device.load(Artifact("k", device.chip.name, binary=binary)), words)
    return int(words.cpu()[0])


def test_kernels_run_in_the_sandbox(sandboxed: RemoteDevice) -> None:
    assert sandboxed.info().no_sandbox == ""
    check_kernels(sandboxed)
    assert call(sandboxed, "getpid") > 0


def test_kernels_open_no_files(sandboxed: RemoteDevice, tmp_path: Path) -> None:
    made, victim = tmp_path / "made", tmp_path / "victim"
    victim.write_text("")
    assert call(sandboxed, "open", -7, os.O_CREAT | os.O_WRONLY, 0o600, text=bytes(made)) == NO_SUCH_CALL
    assert call(sandboxed, "openat", -100, -7, os.O_CREAT | os.O_WRONLY, 0o600, text=bytes(made)) == NO_SUCH_CALL
    assert call(sandboxed, "unlink", -7, text=bytes(victim)) == NO_SUCH_CALL
    assert call(sandboxed, "memfd_create", -7, 0, text=b"x") == NO_SUCH_CALL
    assert not made.exists()
    assert victim.exists()


def test_kernels_have_no_sockets_processes_and_signals(sandboxed: RemoteDevice) -> None:
    for name in ("socket", "connect", "fork", "ptrace", "process_vm_writev", "io_uring_setup", "prctl", "setrlimit"):
        assert call(sandboxed, name, 1, 1, 0) == NO_SUCH_CALL, name
    assert call(sandboxed, "execve", -7, 0, 0, text=b"/bin/true") == NO_SUCH_CALL
    assert call(sandboxed, "clone", signal.SIGCHLD, 0, 0, 0, 0) == NO_SUCH_CALL
    assert call(sandboxed, "kill", os.getpid(), 0) == NO_SUCH_CALL
    assert call(sandboxed, "tkill", os.getpid(), 0) == NO_SUCH_CALL
    assert call(sandboxed, "tgkill", os.getpid(), os.getpid(), 0) == NO_SUCH_CALL


def test_kernels_make_no_memory_that_is_written_and_executed(sandboxed: RemoteDevice) -> None:
    read, write, execute, private_anonymous = 1, 2, 4, 0x22
    assert call(sandboxed, "mmap", 0, PAGE, read | write, private_anonymous, -1, 0) > 0
    assert call(sandboxed, "mmap", 0, PAGE, read | write | execute, private_anonymous, -1, 0) == NO_SUCH_CALL
    assert call(sandboxed, "mprotect", CODE, PAGE, read | write | execute) == NO_SUCH_CALL
    assert call(sandboxed, "mprotect", CODE, PAGE, read | execute) == NO_SUCH_CALL
    assert call(sandboxed, "ftruncate", 3, 1 << 40) == NO_SUCH_CALL


def test_the_link_is_out_of_reach(sandboxed: RemoteDevice) -> None:
    """What a kernel writes to the standard output goes nowhere; other descriptors of the agent's are not open."""
    assert call(sandboxed, "write", 1, -7, 5, text=b"hello") == 5
    for descriptor in range(5, 30):
        assert call(sandboxed, "write", descriptor, -7, 5, text=b"hello") < 0, descriptor
    check_kernels(sandboxed)


def test_a_kernel_that_lies_to_the_agent(sandboxed: RemoteDevice) -> None:
    """Its worker's control block says what it likes: the launch fails or has odd results, and no more."""
    session = sandboxed._session()
    binary = compile_object(kernel_ir("  store volatile i32 99, ptr %p0\n  ret void\n"), sandboxed.chip)
    kernel = sandboxed.load(Artifact("k", "host", binary=binary))
    maps = None
    launch(sandboxed, kernel, torch.zeros(1, dtype=torch.int32))
    assert session.link.process is not None
    agent = session.link.process.pid
    worker = int(Path(f"/proc/{agent}/task/{agent}/children").read_text().split()[-1])
    for row in Path(f"/proc/{worker}/maps").read_text().splitlines():
        if "memfd:triton-spacemit" in row and row.split()[2] == "00000000":
            maps = int(row.partition("-")[0], 16)
    assert maps is not None
    body = "\n".join(f"  store volatile i32 -1, ptr inttoptr (i64 {maps + offset} to ptr)" for offset in range(16, 300, 4))
    liar = sandboxed.load(Artifact("k", "host", binary=compile_object(kernel_ir(f"{body}\n  ret void\n"), sandboxed.chip)))
    try:
        launch(sandboxed, liar)
    except DeviceError:
        pass
    check_kernels(sandboxed)


def test_an_agent_that_needs_a_sandbox_refuses_without(tmp_path: Path) -> None:
    """Here the system refuses it: the process is in a sandbox already, which lets no other be made."""
    program = tmp_path / "without"
    program.write_text(
        "import ctypes, os, struct, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 317), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000)]\n"
        "code = b''.join(struct.pack('<HBBI', *rule) for rule in rules)\n"
        "memory = ctypes.create_string_buffer(code)\n"
        "filter = struct.pack('<HxxxxxxQ', len(rules), ctypes.addressof(memory))\n"
        "assert not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, filter)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    start = [sys.executable, str(program), str(agent_program("x86_64")), "--stdio"]
    with pytest.raises(LinkError, match=r"cannot be put in a sandbox here \(Function not implemented\), and --require-sandbox was given"):
        greet_with([*start, "--require-sandbox"])
    info = greet_with(start)
    assert (info["sandbox"], info["no_sandbox"]) == (False, "Function not implemented")


def greet_with(command: list[str]) -> dict[str, Any]:
    link = over_process("test", command)
    try:
        sequence, parts = link.frame(Frame.HELLO, HELLO)
        link.send(parts, 10)
        return json.loads(link.body(link.expect(Frame.INFO, sequence, 30), 10))
    finally:
        link.close()


# ---- the way to the A100's cores ----


def test_a_worker_that_begins_the_program_anew(tmp_path: Path) -> None:
    """As one does that has asked for other cores: with its file and its bell at fixed numbers, and the areas as arguments."""
    areas = (4 << 20, 16 << 20)
    file, (bell, ring), (alive, life) = os.memfd_create("worker"), os.pipe(), os.pipe()
    os.ftruncate(file, CONTROL_BYTES + sum(areas))
    control = CONTROL.as_ctypes().from_buffer(mmap.mmap(file, CONTROL_BYTES))
    places = [(os.POSIX_SPAWN_DUP2, source, to) for source, to in ((file, 203), (ring, 204), (alive, 200))]
    places += [(os.POSIX_SPAWN_DUP2, 200 + number, number) for number in (3, 4, 0)]
    arguments = ["agent", "--worker", "0", *map(str, areas), "1"]
    process = os.posix_spawn(agent_program("x86_64"), arguments, {}, file_actions=places)
    try:
        assert os.read(bell, 1)
        assert control.event == Event.READY
        assert "Seccomp:\t2" in Path(f"/proc/{process}/status").read_text()
    finally:
        os.close(life)
        assert os.waitpid(process, 0)[1] == 0  # it sees that its agent is gone


# ---- what hosts do not take ----

# An agent in Python that passes frames on to a real one, and changes what that answers as its argument says.
LIAR = """
import os, struct, subprocess, sys, threading
real = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def pump():
    while data := os.read(0, 1 << 16):
        real.stdin.write(data); real.stdin.flush()
    real.stdin.close()
threading.Thread(target=pump, daemon=True).start()
def say(kind, sequence, body):
    os.write(1, struct.pack("<IIIIQ", 0x4D435053, kind, sequence, 0, len(body)) + body)
while header := real.stdout.read(24):
    magic, kind, sequence, _, size = struct.unpack("<IIIIQ", header)
    body = real.stdout.read(size)
    exec(sys.argv[1])
    say(kind, sequence, body)
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("pass", None),
        ("if kind == 33: body = body[:16] + body[17:]", "sends 416 bytes? where|sends 415 bytes where 416 were asked for"),
        ("if kind == 33: body += b'x' * (1 << 20)", "bytes where 416 were asked for"),
        (
            "if kind == 33: body = struct.pack('<QQ', 0x7fff0000, 400) + body[16:]",
            "sends 400 bytes of 0x7fff0000 where others were asked for",
        ),
        ("if kind == 33: kind = 34", "answers with PRINT where DATA was asked for"),
        ("if kind == 33: sequence += 1", "answers with DATA where DATA was asked for"),
        ("if kind == 35: kind = 33", "answers a launch with DATA"),
        ("if kind == 35: body = body[:20] + struct.pack('<I', 1 << 31) + body[24:]", "says of a launch what makes no sense"),
        ("if kind == 35: body = body[:4] + struct.pack('<I', 1 << 31) + body[8:]", "says of a launch what makes no sense"),
        ("if kind == 35: body = b''", "says of a launch what makes no sense"),
        ("if kind == 35: body = struct.pack('<I', 77) + body[4:]", "says that a launch ended with status 77"),
        ("if kind == 35: say(34, sequence, b'x' * ((1 << 20) + 1))", "sends a frame of 1048577 bytes"),
        ("if kind == 35: kind, body = 36, b'x' * 64", "tells of signal|what makes no sense"),
        ("if kind == 35: kind = 77", "what answers there is no agent"),
        ("if kind == 35: os.write(1, b'garbage' * 10)", "what answers there is no agent"),
        ("if kind == 35: os._exit(3)", "ended with status 3"),
        ("if kind == 32: body = b'{'", "makes no sense"),
        ("if kind == 32: body = b'[]'", "makes no sense"),
        ("if kind == 32: body = body.replace(b'\"protocol\":1', b'\"protocol\":2')", "has versions 2 and"),
        ("if kind == 32: body = body.replace(b'\"start\":137438953472', b'\"start\":0')", "its arena is"),
        ("if kind == 32: body = body.replace(b'\"memcpy\":', b'\"memcpy\":-')", "no number of 64 bits"),
    ],
)
def test_an_agent_that_lies(tmp_path: Path, change: str, message: str | None) -> None:
    """Nothing but what was asked for is taken, and this process's memory is as it was."""
    program = tmp_path / "liar"
    program.write_text(LIAR)
    knobs.board = "exec:" + shlex.join([sys.executable, str(program), change, str(agent_program("x86_64")), "--stdio"])
    device: Any = None
    out = torch.zeros(100, dtype=torch.int32)

    def run() -> None:
        nonlocal device
        set_device("remote", "host")
        device = get_device("remote", "host")
        kernel = device.load(Artifact("k", "host", binary=compile_object(INCREMENT, device.chip)))
        launch(device, kernel, out, grid=(100, 1, 1))

    if message is None:
        run()
        assert (out == 1).all()
    else:
        with pytest.raises(DeviceError, match=message):
            run()
        assert not out.any()
    if device is not None:
        device.close()
    knobs.board = own_board()
    run()
    assert out[0] == (2 if message is None else 1)
    device.close()
