"""The runtime in C under sanitizers: its pools, teams and barriers, and kernels that fail, fault or do not end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from triton_spacemit.backend import native

SOURCES = ("host.c", "guard.c", "watch.c", "pool.c", "team.c", "services.c", "memory.c", "signal_stack.c")
LAUNCHES = 100_000
OPTIONS = {
    "thread": ("TSAN_OPTIONS", "exitcode=66 halt_on_error=1"),
    "address": ("ASAN_OPTIONS", "exitcode=66 handle_segv=0 allow_user_segv_handler=1 use_sigaltstack=0 detect_stack_use_after_return=0"),
    "undefined": ("UBSAN_OPTIONS", "exitcode=66 halt_on_error=1 print_stacktrace=1"),
}


def build(folder: Path, sanitizer: str) -> Path:
    """The program of `launches.c`. By GCC, which has the library of every sanitizer, else by zig, which lacks that for addresses."""
    compiler = [gcc] if (gcc := shutil.which("gcc")) else [sys.executable, "-m", "ziglang", "cc"]
    if not gcc and sanitizer == "address":
        pytest.skip("needs GCC: zig has no library for this sanitizer")
    files = [*(native.SOURCES / name for name in SOURCES), Path(__file__).with_name("launches.c")]
    flags = (f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g", "-O1", "-std=gnu11", f"-I{native.SOURCES}")
    command = [*compiler, *flags, *files, "-lpthread", "-lm", "-o", folder / "launches"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "launches"


def check(folder: Path, sanitizer: str, launches: int) -> None:
    name, options = OPTIONS[sanitizer]
    # ThreadSanitizer holds signals back until the program calls something, which an endless kernel does not.
    command = [build(folder, sanitizer), str(launches), str(int(sanitizer != "thread"))]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {name: options})
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stdout + result.stderr
    assert "WARNING" not in result.stderr
    assert "runtime error" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", OPTIONS)
def test_a_hundred_thousand_launches(tmp_path: Path, sanitizer: str) -> None:
    check(tmp_path, sanitizer, LAUNCHES)


def test_some_launches(tmp_path: Path) -> None:
    check(tmp_path, "undefined", 1000)
