"""Fetching Debian's static build of QEMU where the distribution has none that is recent enough.

It needs no root and names no mirror: the machine's own apt configuration does.
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

from triton_spacemit.backend.devices.find_qemu import ADVICE, fetched_path, find_qemu, version_of
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.native import locked

_SUITES = ("bookworm-backports", "trixie")
_KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


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
        raise DeviceError(f"fetching QEMU needs apt ({', '.join(missing)} not found). {ADVICE}.")
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    mirror = mirror_of("\n".join(path.read_text(errors="replace") for path in lists if path.is_file()))
    if mirror is None:
        raise DeviceError(f"apt's sources on this machine name no Debian mirror. {ADVICE}.")
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
            raise DeviceError(f"{mirror} has no package qemu-user in {', '.join(_SUITES)}. {ADVICE}.")
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
