"""llvm-mca: how many cycles an iteration of a loop takes, as LLVM's model of a processor sees it.

LLVM 22 is the first that models the X60: an in-order core on which a load that is used at once stalls. Where the machine has no llvm-mca of
it, Debian's packages can be unpacked, without root, as QEMU's are.

It knows nothing of the time of a matrix instruction, of which 1.8 to 1.9 cycles each are reported of the X60. The model sees `vwmacc.vv` of
bytes in its place, which has the same registers and starts every second cycle.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.native import cache_dir, locked
from triton_spacemit.backend.tools.debian import Archive
from triton_spacemit.dialect.chips import Chip, get_chip

MINIMUM = 22
_LIBRARIES = "libllvm22 libc6 libstdc++6 libgcc-s1 libz3-4 libedit2 libffi8 libxml2 zlib1g libzstd1 libtinfo6 libbsd0 libmd0 liblzma5"
_SUITE = "trixie"
_ITERATIONS = 200
_MATRIX = re.compile(r"smt\.vmadot\w*")
_REGION = re.compile(r"^\[\d+\] Code Region - (\d+)$.*?^Total Cycles:\s+(\d+)$", re.MULTILINE | re.DOTALL)


def find() -> tuple[str, ...] | None:
    """The command of an llvm-mca that is recent enough: the machine's own, or one that was fetched; None where there is neither."""
    for name in ("llvm-mca-22", "llvm-mca"):
        if (path := shutil.which(name)) and version_of((path,)) >= MINIMUM:
            return (path,)
    root = cache_dir() / "llvm-22"
    if not root.exists():
        return None
    libraries = root / "usr/lib/x86_64-linux-gnu"
    paths = f"{libraries}:{root}/usr/lib/llvm-22/lib"
    return str(libraries / "ld-linux-x86-64.so.2"), "--library-path", paths, str(root / "usr/lib/llvm-22/bin/llvm-mca")


def version_of(command: Sequence[str]) -> int:
    """The major version of LLVM that a command says it is of; 0 where it is no llvm-mca."""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0
    match = re.search(r"LLVM version (\d+)", said)
    return int(match[1]) if match else 0


def fetch() -> None:
    """Unpack Debian's llvm-mca beside what else is fetched for this user. Raises DeviceError where that is not possible."""
    folder = cache_dir() / "llvm-22"
    with locked(folder.parent), tempfile.TemporaryDirectory(dir=folder.parent) as work:
        if folder.exists():
            return
        try:
            root = Archive(Path(work), _SUITE).unpack("llvm-22", *_LIBRARIES.split())
        except DeviceError as error:
            raise DeviceError(f"no llvm-mca of LLVM 22 was found, and it could not be fetched: {error}") from None
        root.rename(folder)


@functools.cache
def command() -> tuple[str, ...]:
    """The one that `find` finds, fetched first where there is none."""
    if find() is None:
        fetch()
    found = find()
    assert found is not None
    return found


def hints(sew: int, lmul: float) -> list[str]:
    """What tells llvm-mca the vector type of the instructions that follow."""
    return [f"# LLVM-MCA-RISCV-LMUL {f'MF{round(1 / lmul)}' if lmul < 1 else f'M{round(lmul)}'}", f"# LLVM-MCA-RISCV-SEW E{sew}"]


def cycles(loops: Sequence[Sequence[str]], chip: Chip | None = None, mca: Sequence[str] | None = None) -> list[float]:
    """Cycles of one iteration of many, of each loop. Raises DeviceError where llvm-mca refuses one.

    chip: the X60 where none is given. mca: the command to run; fetched if need be where none is given.
    """
    chip = chip or get_chip("x60")
    flags = (f"-mtriple={chip.triple}", f"-mcpu={chip.cpu}", f"-mattr={chip.features}", f"--iterations={_ITERATIONS}")
    lines = []
    for number, loop in enumerate(loops):
        known = [_MATRIX.sub("vwmacc.vv", line) for line in loop]
        lines += [f"# LLVM-MCA-BEGIN {number}", *known, f"# LLVM-MCA-END {number}"]
    run = subprocess.run([*(mca or command()), *flags], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    found = {int(number): int(total) / _ITERATIONS for number, total in _REGION.findall(run.stdout)}
    if run.returncode or len(found) != len(loops):
        raise DeviceError(f"llvm-mca failed: {run.stderr.strip() or 'it says nothing of some loops'}")
    return [found[number] for number in range(len(loops))]
