"""Finding a qemu-riscv64 that is recent enough."""

import functools
import re
import shutil
import subprocess
from pathlib import Path

from triton_spacemit.backend import folders
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import cache_dir

MINIMUM = (8, 1)  # the first with Zfh, Zvfh and single-instruction tracing
ADVICE = (
    f"Running RISC-V code needs qemu-riscv64 {MINIMUM[0]}.{MINIMUM[1]} or newer: install Debian's or Ubuntu's package qemu-user "
    "(or qemu-user-static), run `triton-spacemit-fetch-qemu` (no root needed), or set TRITON_SPACEMIT_QEMU to the program"
)


def fetched_path() -> Path:
    """Where `fetch` puts the program."""
    return cache_dir() / "qemu" / "qemu-riscv64"


@functools.cache
def version_of(program: str) -> tuple[int, ...]:
    """The version of a qemu-riscv64. Raises DeviceError where it does not run."""
    try:
        result = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{program} does not run ({error}). {ADVICE}") from None
    match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", result.stdout)
    if result.returncode or match is None:
        raise DeviceError(f"{program} --version gives no version of QEMU. {ADVICE}")
    return tuple(int(part or 0) for part in match.groups())


def find_qemu() -> str:
    """The qemu-riscv64 to use: the chosen one, else the first that is recent enough of the fetched one and those on PATH.

    Raises DeviceError saying what to install.
    """
    if knobs.qemu:
        candidates = [shutil.which(knobs.qemu) or knobs.qemu]
    else:
        fetched = fetched_path()
        trusted = fetched.exists() and not folders.distrust(fetched.parent) and not folders.distrust(fetched)
        names = [*([str(fetched)] if trusted else []), "qemu-riscv64", "qemu-riscv64-static"]
        candidates = [path for path in map(shutil.which, names) if path]
    old = []
    for path in candidates:
        version = version_of(path)
        if version >= MINIMUM:
            return path
        old.append(f"{path} is version {'.'.join(map(str, version))}")
    raise DeviceError(f"{'; '.join(old) or 'no qemu-riscv64 was found'}. {ADVICE}.")
