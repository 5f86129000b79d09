"""A real OpenSSH server without a port: `sshd -i` at the other end of a pipe, as a client's ProxyCommand.

It is the system's, or Debian's, unpacked; run as a program, this fetches that where there is none.

The board behind it is this machine: its "agent" is a script that runs the real one under QEMU.
"""

import functools
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.native import agent_program, build, cache_dir, locked
from triton_spacemit.backend.tools.debian import Archive

PACKAGES = ("openssh-server", "openssh-client", "libwrap0")
_SV39 = 1 << 38
_PRIVILEGED = 65534  # whose rights the part of the server has that strangers talk to

#: A server that root starts looks for a user of its own, which only an installation makes.
_USER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pwd.h>
#include <string.h>

struct passwd *getpwnam(const char *name) {
  static struct passwd own = {"sshd", "*", PRIVILEGED, PRIVILEGED, "", "/", "/bin/false"};
  struct passwd *(*next)(const char *) = dlsym(RTLD_NEXT, "getpwnam");
  struct passwd *found = next(name);
  return found || strcmp(name, "sshd") ? found : &own;
}
"""


def _folder() -> Path:
    return cache_dir() / "sshd"


def _libraries() -> str:
    """Where the fetched programs find what the system may lack."""
    return ":".join(map(str, (_folder() / "root/usr/lib").glob("*-linux-gnu")))


def _tool(name: str) -> str | None:
    """A client's program: the system's, or the fetched one."""
    fetched = _folder() / "root/usr/bin" / name
    return shutil.which(name) or (str(fetched) if fetched.is_file() else None)


@functools.cache
def find_sshd() -> Path | None:
    """The server, the system's or the fetched one, where it and a client can be run; else None."""
    if not _tool("ssh") or not _tool("ssh-keygen"):
        return None
    for path in (Path("/usr/sbin/sshd"), _folder() / "root/usr/sbin/sshd"):
        if path.is_file():
            environment = {**os.environ, "LD_LIBRARY_PATH": _libraries()}
            usage = subprocess.run([path, "-?"], capture_output=True, text=True, env=environment, check=False)
            if "OpenSSH" in usage.stderr:
                return path
    return None


def fetch() -> None:
    """Unpack Debian's server of this release where no server is. Raises DeviceError where that is not possible."""
    with locked(_folder()):
        if find_sshd():
            return
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        with tempfile.TemporaryDirectory() as work:
            root = Archive(Path(work), release.get("VERSION_CODENAME", "stable").strip('"')).unpack(*PACKAGES)
            shutil.copytree(root, _folder() / "root", dirs_exist_ok=True, symlinks=True)
            find_sshd.cache_clear()


@dataclass(frozen=True)
class Server:
    """A board that `ssh` reaches under any name, with what it keeps in `folder`.

    environment: for processes that are to find it. agent: what stands for the agent's program. keys: `right` may do anything.
    """

    folder: Path
    agent: Path

    def key(self, name: str) -> Path:
        return self.folder / name

    def public(self, name: str) -> str:
        return self.key(f"{name}.pub").read_text().strip()

    def allow(self, *lines: str) -> None:
        """Let these keys in, each with its restrictions before it."""
        (self.folder / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))

    def use(self, key: str, host: str = "host") -> None:
        """Have the client offer one key, and know the server by one."""
        (self.folder / "known_hosts").write_text(f"* {self.public(host)}\n")
        (self.folder / "config").write_text(
            f"Host *\n  User {pwd.getpwuid(os.getuid()).pw_name}\n  ProxyCommand {self.folder}/serve\n  IdentityFile {self.key(key)}\n"
            f"  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.folder}/known_hosts\n"
            "  GlobalKnownHostsFile /dev/null\n"
        )

    @property
    def installed(self) -> list[Path]:
        """The agents that were copied to the board."""
        return sorted((self.folder / "home" / "triton-spacemit").glob("agent-*"))

    @property
    def path(self) -> str:
        """PATH with a client that reads the configuration above."""
        return f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"


def make(folder: Path, vlen: int = 256) -> Server:
    """A server in an empty folder. Raises DeviceError where there is none on this machine."""
    sshd = find_sshd()
    if sshd is None:
        raise DeviceError("no OpenSSH server; `make sshd` fetches Debian's")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as an installation would
    for name in ("host", "other_host", "right", "wrong", "restricted"):
        subprocess.run([_tool("ssh-keygen") or "", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    (folder / "user.c").write_text(_USER)
    build([str(folder / "user.c")], ("-shared", "-fPIC", "-ldl", f"-DPRIVILEGED={_PRIVILEGED}"), folder / "user.so")
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\nLogLevel ERROR\nSetEnv XDG_CACHE_HOME={folder}/home\n"
    )
    agent = f"exec {find_qemu()} -R {_SV39:#x} -cpu max,vlen={vlen} {agent_program('riscv64')}"
    for name, text in {
        "serve": f"LD_PRELOAD={folder}/user.so LD_LIBRARY_PATH={_libraries()} exec {sshd} -i -e -f {folder}/sshd_config 2>> {folder}/log",
        "agent": f'{agent} "$@"',
        "bin/ssh": f'exec {_tool("ssh")} -F {folder}/config "$@"',
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    server = Server(folder, folder / "agent")
    server.allow(server.public("right"))
    server.use("right")
    return server


if __name__ == "__main__":
    try:
        fetch()
    except DeviceError as error:
        print(f"no OpenSSH server, and none can be fetched here ({error}): boards behind one will not be tested", file=sys.stderr)
