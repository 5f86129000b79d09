"""Building the runtime with zig's C compiler, once per machine and version of the sources.

The results lie in `.triton/spacemit` beside Triton's own cache, under a digest of sources, flags and compiler. One process
builds, the others wait for it; a file appears under its name only when it is whole.
"""

import fcntl
import functools
import hashlib
import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from triton import knobs

from triton_spacemit.backend import folders, protocol, wire
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.estimate import protocol as tracing_protocol
from triton_spacemit.dialect import abi, ime

SOURCES = Path(__file__).parent / "runtime"
#: Headers that are written from a module, which has their text.
_WRITTEN = {"abi.h": abi, "ime_table.h": ime, "protocol.h": protocol, "wire.h": wire, "tracing.h": tracing_protocol}
_SHARED = ("pool.c", "team.c", "services.c", "externals.c", "bfloat16.c", "memory.c", "signal_stack.c")


def cache_dir() -> Path:
    """The folder for what is built or fetched once per user: under TRITON_HOME, or a temporary one where that cannot be used."""
    folder = _usual_dir()
    problem = _problem(folder)
    return folders.instead_of(folder, problem, "TRITON_HOME") if problem else folder


def _usual_dir() -> Path:
    return Path(knobs.cache.home_dir) / ".triton" / "spacemit"


_problem = functools.cache(folders.problem)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if need be. Raises DeviceError where it cannot be written."""
    try:
        folders.make(folder)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise DeviceError(f"the folder {folder} cannot be written ({error}); set TRITON_HOME to one that can") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)  # releases the lock


def host_target(what: str) -> str:
    """This machine as zig names it, with the oldest C library there. Raises DeviceError where `what` does not run on it."""
    machine = platform.machine().replace("AMD64", "x86_64")
    target = {"x86_64": "x86_64-linux-gnu.2.17", "riscv64": "riscv64-linux-gnu.2.35"}.get(machine)
    if target is None:
        raise DeviceError(f"{what} runs on x86-64 and riscv64, not on {machine}")
    return target


@functools.cache
def host_library() -> Path:
    """The shared library that the host device runs kernels with."""
    target = host_target("the host device")
    return _build("host.so", ("host.c", "guard.c", "watch.c", *_SHARED), ("-target", target, "-shared", "-fPIC"))


@functools.cache
def calls_library() -> Path:
    """The shared library that calls operators again (`runtime/calls.c`). It takes functions of the Python that loads it."""
    target = host_target("the library of calls")
    return _build("calls.so", ("calls.c", "call_key.c", "call_plan.c"), ("-target", target, "-shared", "-fPIC"))


@functools.cache
def guest_program() -> Path:
    """The static riscv64 program that runs kernels under QEMU."""
    sources = ("guest_main.c", "guest.c", "vectors.c", "ime.c", "ime_call.c", "trace.c", *_SHARED)
    return _build("guest", sources, ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-static"))


#: Sources of the agent besides those that it shares with the guest.
AGENT = (
    "agent.c",
    "agent_link.c",
    "agent_workers.c",
    "agent_info.c",
    "agent_blobs.c",
    "worker.c",
    "ranges.c",
    "sha256.c",
    "guest.c",
    "vectors.c",
)
#: The machines that agents are built for, and how. No code in one for RISC-V uses vectors unless a kernel does (worker.c).
_AGENTS = {
    "riscv64": (("ime.c",), ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64")),
    "x86_64": ((), ("-target", "x86_64-linux-musl")),
}


@functools.cache
def agent_program(machine: str = "riscv64") -> Path:
    """The static program that runs kernels on a board, for a machine of `riscv64` or `x86_64`.

    Its code has the same addresses in each process: kernels call functions of the worker's by what the agent says.
    """
    more, flags = _AGENTS[machine]
    return _build(f"agent-{machine}", (*AGENT, *more, *_SHARED), (*flags, "-static", "-fno-pie", "-no-pie"))


@functools.cache
def package_launcher() -> Path:
    """The shared library with which packages of AOTInductor's launch kernels (`inductor.py`)."""
    # PyTorch catches the exceptions that pass through it.
    flags = ("-shared", "-fPIC", "-fvisibility=hidden", "-fexceptions", "-fasynchronous-unwind-tables")
    sources = ("package.c", "unguarded.c", "host.c", "pool.c", "team.c", "services.c", "bfloat16.c", "memory.c")
    return _build("launcher.so", sources, ("-target", host_target("a package"), *flags))


@functools.cache
def sandbox_program() -> Path:
    """The program that starts another one which may then do little besides computing."""
    return _build("sandbox", ("sandbox.c",), ("-target", host_target("a sandbox")))


def _build(name: str, sources: tuple[str, ...], flags: tuple[str, ...]) -> Path:
    try:
        compiler = version("ziglang")
    except PackageNotFoundError:
        raise DeviceError(f"building {name} needs the compiler of the Python package ziglang: pip install ziglang") from None
    for written, definition in _WRITTEN.items():
        if (SOURCES / written).read_text() != definition.header():
            raise DeviceError(f"{SOURCES / written} is not what {definition.__name__} defines: run `make docs`")
    flags = (*flags, "-std=gnu11", "-O2", "-Wall", "-s")
    digest = hashlib.sha256(repr((compiler, flags, sources)).encode())
    for source in (*sources, *sorted(path.name for path in SOURCES.glob("*.h"))):
        digest.update((SOURCES / source).read_bytes())
    file = f"{digest.hexdigest()[:20]}-{name}"
    usual = _usual_dir() / "native" / file
    if _is_whole(usual):  # also where nothing more could be written
        return usual
    folder = cache_dir() / "native"
    path = folder / file
    with locked(folder):
        if not _is_whole(path):
            with tempfile.TemporaryDirectory(dir=folder) as work:
                build([str(SOURCES / source) for source in sources], flags, Path(work) / name)
                content = (Path(work) / name).read_bytes()
            folders.write(path, content, durable=True)
            path.chmod(stat.S_IRWXU)
            folders.write(_digest_of(path), hashlib.sha256(content).hexdigest().encode(), durable=True)
    return path


def _digest_of(path: Path) -> Path:
    """The file with the digest of a built one."""
    return path.with_name(f"{path.name}.sha256")


def _is_whole(path: Path) -> bool:
    """Whether the built file is there, nobody else can have written it, and it is as it was built: a cut one would end the process."""
    try:
        trusted = not (folders.distrust(path.parent) or folders.distrust(path))
        return trusted and hashlib.sha256(path.read_bytes()).hexdigest() == _digest_of(path).read_text()
    except OSError:
        return False


def build(sources: list[str], flags: tuple[str, ...], output: Path) -> None:
    """Compile and link C files. Raises DeviceError with what the compiler says."""
    zig("cc", *flags, *sources, "-lpthread", "-lm", "-o", str(output), work=output.parent)


def zig(tool: str, *arguments: str, work: Path) -> None:
    """Run a tool of zig's (`cc`, `ar`) in the folder `work`. Raises DeviceError with what it says where it fails."""
    folder = str(cache_dir() / "zig")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
    command = [sys.executable, "-m", "ziglang", tool, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=work, check=False)
    if result.returncode:
        raise DeviceError(f"`zig {tool}` for {arguments[-1]} failed:\n{result.stderr.strip()}")
