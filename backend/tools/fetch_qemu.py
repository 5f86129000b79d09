"""Fetching Debian's static build of QEMU where the distribution has none that is recent enough."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from triton_spacemit.backend.devices.find_qemu import ADVICE, fetched_path, find_qemu, version_of
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.native import locked
from triton_spacemit.backend.tools.debian import KEYRING, Archive

_PACKAGE = "qemu-user"
_SUITES = ("bookworm-backports", "trixie")


def fetch(target: Path) -> str:
    """Put a static qemu-riscv64 at `target`; says what it is and who signed it. Raises DeviceError where that is not possible."""
    with locked(target.parent), tempfile.TemporaryDirectory() as work:
        try:
            archive = Archive(Path(work), *_SUITES)
            version = archive.newest(_PACKAGE)
            root = archive.unpack(f"{_PACKAGE}={version}")
        except DeviceError as error:
            raise DeviceError(f"QEMU could not be fetched: {error}. {ADVICE}.") from None
        shutil.copy2(root / "usr/bin/qemu-riscv64", target.with_suffix(".new"))
        os.replace(target.with_suffix(".new"), target)
    version_of.cache_clear()
    said = subprocess.run([target, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"{said}\nfrom Debian's package {_PACKAGE} {version}, whose signature by a key of {KEYRING} apt has verified"


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
