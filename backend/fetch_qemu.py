"""QEMU: finding one that is recent enough, and fetching Debian's static build where the distribution has none.

Fetching needs no root and names no mirror: the machine's own apt configuration does.
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import cache_dir, locked

MINIMUM = (8, 1)  # the first with Zfh, Zvfh and single-instruction tracing
_SUITES = ("bookworm-backports", "trixie")
_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ADVICE = (
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
        raise DeviceError(f"{program} does not run ({error}). {_ADVICE}") from None
    match = re.search(r"version (\d+)\.(\d+)(?:\.(\d+))?", result.stdout)
    if result.returncode or match is None:
        raise DeviceError(f"{program} --version gives no version of QEMU. {_ADVICE}")
    return tuple(int(part or 0) for part in match.groups())


def find_qemu() -> str:
    """The qemu-riscv64 to use: the chosen one, else the first that is recent enough of the fetched one and those on PATH.

    Raises DeviceError saying what to install.
    """
    if knobs.qemu:
        candidates = [shutil.which(knobs.qemu) or knobs.qemu]
    else:
        names = [str(fetched_path()), "qemu-riscv64", "qemu-riscv64-static"]
        candidates = [path for path in map(shutil.which, names) if path]
    old = []
    for path in candidates:
        version = version_of(path)
        if version >= MINIMUM:
            return path
        old.append(f"{path} is version {'.'.join(map(str, version))}")
    raise DeviceError(f"{'; '.join(old) or 'no qemu-riscv64 was found'}. {_ADVICE}.")


def mirror_of(sources: str) -> str | None:
    """The first Debian mirror that the text of apt's source lists names."""
    pattern = r"^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s*)?)(\S+/debian/?)(?:\s|$)"
    match = re.search(pattern, sources, re.MULTILINE)
    return match[1] if match else None


def _run(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if result.returncode:
        raise DeviceError(f"{command[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


def fetch(target: Path) -> str:
    """Put a static qemu-riscv64 at `target`; its first line of `--version`. Raises DeviceError where that is not possible."""
    missing = [tool for tool in ("apt-get", "apt-cache", "dpkg") if not shutil.which(tool)]
    if missing:
        raise DeviceError(f"fetching QEMU needs apt ({', '.join(missing)} not found). {_ADVICE}.")
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    mirror = mirror_of("\n".join(path.read_text(errors="replace") for path in lists if path.is_file()))
    if mirror is None:
        raise DeviceError(f"apt's sources on this machine name no Debian mirror. {_ADVICE}.")
    with locked(target.parent), tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for folder in ("lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        (work / "sources.list").write_text("".join(f"deb [signed-by={_KEY}] {mirror} {suite} main\n" for suite in _SUITES))
        settings = {"Dir::Etc::SourceList": work / "sources.list", "Dir::Etc::SourceParts": "/dev/null", "APT::Sandbox::User": ""}
        settings |= {"Dir::State::Lists": work / "lists", "Dir::Cache": work / "cache"}
        options = ["-qq", *(f"-o{key}={value}" for key, value in settings.items())]
        _run(["apt-get", *options, "update"], work)
        versions = [line.split("|")[1].strip() for line in _run(["apt-cache", *options, "madison", "qemu-user"], work).splitlines()]
        if not versions:
            raise DeviceError(f"{mirror} has no package qemu-user in {', '.join(_SUITES)}. {_ADVICE}.")
        newest = functools.reduce(lambda a, b: b if _newer(b, a) else a, versions)
        _run(["apt-get", *options, "download", f"qemu-user={newest}"], work)
        _run(["dpkg", "-x", str(next(work.glob("qemu-user_*.deb"))), "root"], work)
        shutil.copy2(work / "root/usr/bin/qemu-riscv64", target.with_suffix(".new"))
        os.replace(target.with_suffix(".new"), target)
    version_of.cache_clear()
    return _run([str(target), "--version"], target.parent).splitlines()[0]


def _newer(a: str, b: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


def _is_found() -> bool:
    try:
        find_qemu()
    except DeviceError:
        return False
    return True


def main() -> int:
    """The command `triton-spacemit-fetch-qemu`."""
    parser = argparse.ArgumentParser(prog="triton-spacemit-fetch-qemu", description=fetch.__doc__)
    found = "file to write (default: %(default)s, where it is found)"
    parser.add_argument("target", nargs="?", type=Path, default=fetched_path(), help=found)
    parser.add_argument("--if-needed", action="store_true", help="only where no QEMU that is recent enough is found")
    arguments = parser.parse_args()
    target = arguments.target.resolve()
    try:
        if not (arguments.if_needed and _is_found()):
            print(f"{target}: {fetch(target)}")
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
