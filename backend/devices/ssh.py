"""Boards at the end of ssh: how an agent is run there, and put there.

The agent lies on the board under a name that has its hash, so that there is never an old one, and two of them may be there. ssh itself
checks keys in both directions; nothing here weakens that.
"""

import hashlib
import os
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path

from triton_spacemit.backend.errors import LinkError
from triton_spacemit.backend.folders import distrust
from triton_spacemit.backend.native import agent_program

_FOLDER = "${XDG_CACHE_HOME:-$HOME/.cache}/triton-spacemit"  # on the board, for its shell
NOT_THERE = 127  # what a shell says of a program that is not


def digest_of(program: Path) -> str:
    """The hash in the agent's name on a board."""
    return hashlib.sha256(program.read_bytes()).hexdigest()


def options() -> list[str]:
    """ssh's, besides what the user's own configuration says. Host keys are always checked, and nothing is asked on the terminal."""
    chosen = ["-T", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oServerAliveInterval=15", "-oServerAliveCountMax=3"]
    folder = _control_folder()
    if folder is not None:
        chosen += ["-oControlMaster=auto", "-oControlPersist=60", f"-oControlPath={folder}/%C"]
    return chosen


def _control_folder() -> Path | None:
    """Where connections that are used again have their sockets: a folder of this user's alone, with a short name; None for no such."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"triton-spacemit-{os.getuid()}"
    try:
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
        if folder.is_symlink() or distrust(folder) or len(str(folder)) > 50:
            return None
    except OSError:
        return None
    return folder


def command(place: str, shell: str) -> list[str]:
    """The command that has the shell of `[USER@]HOST[:PORT]` do something. Raises LinkError where that is no such place."""
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdigit():
        host, port = place, ""
    if not host or host.startswith("-") or any(c.isspace() or c in "/'\"\\" for c in host):
        raise LinkError(f"ssh://{place} is no board: expected ssh://[USER@]HOST[:PORT]")
    return ["ssh", *options(), *(["-p", port] if port else []), "--", host, f"exec /bin/sh -c {shlex.quote(shell)}"]


def agent_command(place: str, arguments: str = f"--stdio --cache {_FOLDER}/blobs") -> list[str]:
    """The command that runs the agent on a board, where it may not be yet: NOT_THERE is then its status."""
    return command(place, f'exec "{path_on_board()}" {arguments}')


def path_on_board(machine: str = "riscv64") -> str:
    """Where the agent for a machine lies on a board, as its shell finds it."""
    return f"{_FOLDER}/agent-{digest_of(agent_program(machine))}"


def install(place: str, machine: str = "riscv64") -> str:
    """Copy the agent to a board, whole or not at all; its path there. Raises LinkError with what ssh says."""
    program = agent_program(machine)
    content, digest = program.read_bytes(), digest_of(program)
    shell = (
        f'set -e; umask 077; mkdir -p "{_FOLDER}"; cd "{_FOLDER}"; cat > agent-{digest}.$$; '
        f'test "$(wc -c < agent-{digest}.$$)" -eq {len(content)}; chmod 700 agent-{digest}.$$; mv agent-{digest}.$$ agent-{digest}; pwd'
    )
    try:
        result = subprocess.run(command(place, shell), input=content, capture_output=True, check=False, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LinkError(f"the agent cannot be copied to ssh://{place}: {error}") from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines()
        raise LinkError(f"the agent cannot be copied to ssh://{place}: {said[-1] if said else f'status {result.returncode}'}")
    return f"{result.stdout.decode(errors='replace').strip()}/agent-{digest}"
