"""Cycles of a loop on the X60 as llvm-mca's model of it sees them: an in-order core on which a load that is used at once stalls.

LLVM 22 is the first with that model. Where the machine has no llvm-mca of it, Debian's packages are unpacked, without root, as QEMU's are.
"""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.fetch_qemu import mirror_of
from triton_spacemit.backend.native import cache_dir, locked

_LIBRARIES = "libllvm22 libc6 libstdc++6 libgcc-s1 libz3-4 libedit2 libffi8 libxml2 zlib1g libzstd1 libtinfo6 libbsd0 libmd0 liblzma5"
_SUITE, _KEY = "trixie", "/usr/share/keyrings/debian-archive-keyring.gpg"
_ITERATIONS = 200
_MULTIPLICATION = re.compile(r"\s+v(f?w?n?m(acc|add|sac|sub)|f?w?mul|f?nms|w?macc)")
_LABEL = re.compile(r"(\.L\w+):")
_VTYPE = re.compile(r"\s+vset.*\be(\d+), (mf?\d)\b")


def _fetch(folder: Path) -> None:
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    mirror = mirror_of("\n".join(path.read_text(errors="replace") for path in lists if path.is_file()))
    if mirror is None:
        raise DeviceError("no llvm-mca of LLVM 22 was found, and apt's sources on this machine name no Debian mirror")
    with locked(folder.parent), tempfile.TemporaryDirectory(dir=folder.parent) as name:
        if folder.exists():
            return
        work = Path(name)
        (work / "lists/partial").mkdir(parents=True)
        (work / "cache/archives/partial").mkdir(parents=True)
        (work / "sources.list").write_text(f"deb [signed-by={_KEY}] {mirror} {_SUITE} main\n")
        settings = {"Dir::Etc::SourceList": work / "sources.list", "Dir::Etc::SourceParts": "/dev/null", "APT::Sandbox::User": ""}
        settings |= {"Dir::State::Lists": work / "lists", "Dir::Cache": work / "cache"}
        apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]
        for command in ([*apt, "update"], [*apt, "download", "llvm-22", *_LIBRARIES.split()]):
            subprocess.run(command, cwd=work, check=True, capture_output=True)
        for package in work.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package.name, "root"], cwd=work, check=True)
        (work / "root").rename(folder)


@functools.cache
def _command() -> tuple[str, ...]:
    """llvm-mca of LLVM 22 or newer: the machine's own, else Debian's, through its own loader."""
    for name in ("llvm-mca-22", "llvm-mca"):
        if path := shutil.which(name):
            version = re.search(r"version (\d+)", subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout)
            if version and int(version[1]) >= 22:
                return (path,)
    root = cache_dir() / "llvm-22"
    if not root.exists():
        _fetch(root)
    libraries = root / "usr/lib/x86_64-linux-gnu"
    paths = f"{libraries}:{root}/usr/lib/llvm-22/lib"
    return str(libraries / "ld-linux-x86-64.so.2"), "--library-path", paths, str(root / "usr/lib/llvm-22/bin/llvm-mca")


def inner_loop(assembly: str) -> list[str]:
    """The loop without branches in it that multiplies most, each instruction after the vector type that it works on (llvm-mca's hint)."""
    best: list[str] = []
    most = 0
    loop: list[str] = []
    label, vtype = "", ("32", "m1")
    for line in assembly.splitlines():
        if match := _LABEL.match(line):
            label, loop = match[1], _hints(vtype)
            continue
        if not re.match(r"\s+[a-z]", line) or re.match(r"\s+\.", line):
            continue
        if match := _VTYPE.match(line):
            vtype = match[1], match[2]
            loop += _hints(vtype)
        loop.append(line)
        if re.match(r"\s+(b\w+|j\w*)\s", line):
            products = sum(bool(_MULTIPLICATION.match(line)) for line in loop)
            if re.search(rf"{re.escape(label)}$", line) and label and products > most:
                best, most = list(loop), products
            label = ""
    if not best:
        raise DeviceError("the kernel has no loop that multiplies vectors")
    return best


def _hints(vtype: tuple[str, str]) -> list[str]:
    return [f"# LLVM-MCA-RISCV-LMUL {vtype[1].upper()}", f"# LLVM-MCA-RISCV-SEW E{vtype[0]}"]


def multiplications(loop: list[str]) -> list[str]:
    """The vector multiplications of a loop, with their hints."""
    return [line for line in loop if line.startswith("#") or _MULTIPLICATION.match(line)]


def cycles(loop: list[str]) -> float:
    """Cycles of one iteration of many."""
    flags = ("-mtriple=riscv64", "-mcpu=spacemit-x60", "-mattr=+v,+zvfh,+zfh", f"--iterations={_ITERATIONS}")
    text = "\n".join(loop) + "\n"
    result = subprocess.run([*_command(), *flags], input=text, capture_output=True, text=True, check=False)
    total = re.search(r"Total Cycles:\s+(\d+)", result.stdout)
    if total is None:
        raise DeviceError(f"llvm-mca failed: {result.stderr.strip()}")
    return int(total[1]) / _ITERATIONS
