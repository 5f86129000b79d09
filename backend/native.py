"""Building the runtime with zig's C compiler, once per machine and version of the sources.

The results lie in `.triton/spacemit` beside Triton's own cache, under a digest of sources, flags and compiler. One process
builds, the others wait for it; a file appears under its name only when it is whole.
"""

import fcntl
import functools
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from triton import knobs

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect import abi

_SOURCES = Path(__file__).parent / "runtime"
_SHARED = ("pool.c", "team.c", "services.c", "externals.c")


def cache_dir() -> Path:
    """The folder for what is built or fetched once per user."""
    return Path(knobs.cache.home_dir) / ".triton" / "spacemit"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if need be. Raises DeviceError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "w")  # noqa: SIM115, closed below; closing it releases the lock
    except OSError as error:
        raise DeviceError(f"the folder {folder} cannot be written ({error}); set TRITON_HOME to one that can") from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@functools.cache
def host_library() -> Path:
    """The shared library that the host device runs kernels with."""
    machine = platform.machine().replace("AMD64", "x86_64")
    target = {"x86_64": "x86_64-linux-gnu.2.17", "riscv64": "riscv64-linux-gnu.2.35"}.get(machine)
    if target is None:
        raise DeviceError(f"the host device runs on x86-64 and riscv64, not on {machine}")
    return _build("host.so", ("host.c", *_SHARED), ("-target", target, "-shared", "-fPIC"))


@functools.cache
def guest_program() -> Path:
    """The static riscv64 program that runs kernels under QEMU."""
    return _build("guest", ("guest.c", *_SHARED), ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v", "-static"))


def _build(name: str, sources: tuple[str, ...], flags: tuple[str, ...]) -> Path:
    try:
        compiler = version("ziglang")
    except PackageNotFoundError:
        raise DeviceError(f"building {name} needs the compiler of the Python package ziglang: pip install ziglang") from None
    if (_SOURCES / "abi.h").read_text() != abi.header():
        raise DeviceError(f"{_SOURCES / 'abi.h'} is not that of this compiler (dialect/abi.py): run `make docs`")
    flags = (*flags, "-std=gnu11", "-O2", "-Wall", "-s")
    digest = hashlib.sha256(repr((compiler, flags, sources)).encode())
    for source in (*sources, *sorted(path.name for path in _SOURCES.glob("*.h"))):
        digest.update((_SOURCES / source).read_bytes())
    folder = cache_dir() / "native"
    path = folder / f"{digest.hexdigest()[:20]}-{name}"
    if path.exists():
        return path
    with locked(folder):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                build([str(_SOURCES / source) for source in sources], flags, Path(work) / name)
                os.replace(Path(work) / name, path)
    return path


def build(sources: list[str], flags: tuple[str, ...], output: Path) -> None:
    """Compile and link C files. Raises DeviceError with what the compiler says."""
    command = [sys.executable, "-m", "ziglang", "cc", *flags, *sources, "-lpthread", "-lm", "-o", str(output)]
    zig = {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(cache_dir() / "zig")}
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **zig}, cwd=output.parent, check=False)
    if result.returncode:
        raise DeviceError(f"building {output.name} with ziglang failed:\n{result.stderr.strip()}")
