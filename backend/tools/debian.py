"""Packages of Debian, fetched without root and unpacked where they do no harm.

The machine's own apt configuration names the mirror. Whatever else it says, apt takes nothing here that is not signed: the key is that of
Debian's archive, and every setting that would let an unsigned or weakly signed package through is switched off.
"""

import functools
import re
import shutil
import subprocess
from pathlib import Path

from triton_spacemit.backend.errors import DeviceError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_UNSIGNED = (
    "APT::Get::AllowUnauthenticated",
    "Acquire::AllowInsecureRepositories",
    "Acquire::AllowWeakRepositories",
    "Acquire::AllowDowngradeToInsecureRepositories",
)


def mirror_of(sources: str) -> str | None:
    """The first Debian mirror that the text of apt's source lists names."""
    pattern = r"^(?:URIs:\s*|deb\s+(?:\[[^\]]*\]\s*)?)(\S+/debian/?)(?:\s|$)"
    match = re.search(pattern, sources, re.MULTILINE)
    return match[1] if match else None


class Archive:
    """Debian's packages of some suites, with `work` for what apt keeps. Raises DeviceError where there is no apt or no mirror."""

    def __init__(self, work: Path, *suites: str) -> None:
        missing = [tool for tool in ("apt-get", "apt-cache", "dpkg") if not shutil.which(tool)]
        if missing:
            raise DeviceError(f"this needs apt ({', '.join(missing)} not found)")
        lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
        mirror = mirror_of("\n".join(path.read_text(errors="replace") for path in lists if path.is_file()))
        if mirror is None:
            raise DeviceError("apt's sources on this machine name no Debian mirror")
        self.work, self.suites = work, suites
        for folder in ("lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        (work / "sources.list").write_text("".join(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in suites))
        settings = {"Dir::Etc::SourceList": work / "sources.list", "Dir::Etc::SourceParts": "/dev/null", "APT::Sandbox::User": ""}
        settings |= {"Dir::State::Lists": work / "lists", "Dir::Cache": work / "cache"}
        settings |= dict.fromkeys(_UNSIGNED, "false")
        self._options = ["-qq", *(f"-o{key}={value}" for key, value in settings.items())]
        self.run("apt-get", *self._options, "update")

    def run(self, *command: str) -> str:
        """What the command prints, run where packages are put. Raises DeviceError with what it says where it fails."""
        result = subprocess.run(command, capture_output=True, text=True, cwd=self.work, check=False)
        if result.returncode:
            raise DeviceError(f"{command[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def newest(self, package: str) -> str:
        """Its newest version in the suites."""
        lines = self.run("apt-cache", *self._options, "madison", package).splitlines()
        versions = [line.split("|")[1].strip() for line in lines]
        if not versions:
            raise DeviceError(f"Debian's mirror has no package {package} in {', '.join(self.suites)}")
        return functools.reduce(lambda a, b: b if _is_newer(b, a) else a, versions)

    def unpack(self, *packages: str) -> Path:
        """The folder with what is in the packages, given as `name` or `name=version`."""
        self.run("apt-get", *self._options, "download", *packages)
        for file in sorted(self.work.glob("*.deb")):
            self.run("dpkg", "-x", str(file), "root")
        return self.work / "root"


def _is_newer(a: str, b: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0
