"""The command `triton-spacemit agent`: putting the agent on a board, what a board is, and the line for a key that may do nothing else."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.dialect.chips import CHIPS

_EPILOG = """\
  triton-spacemit agent install k1        # over ssh; the first launch does so as well
  triton-spacemit agent info k1           # cores, caches, memory, sandbox
  triton-spacemit agent info exec:'qemu-riscv64 -cpu max,vlen=256 AGENT --stdio' --json
  triton-spacemit agent key-line ~/.ssh/id_ed25519.pub    # for authorized_keys on the board
  triton-spacemit agent path              # of the program for a board, here
"""


def _board(name: str) -> str:
    """The board's whole name: `k1` is `ssh://k1`."""
    return name if name.partition(":")[0] in ("ssh", "unix", "exec") else f"ssh://{name}"


def _install(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend.devices import ssh

    name = _board(arguments.board)
    if not name.startswith("ssh://"):
        raise LinkError(f"the agent is copied over ssh, and {arguments.board!r} is another kind of board")
    print(ssh.install(name.removeprefix("ssh://"), arguments.machine))
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend.devices.session import greet

    link, info = greet(_board(arguments.board))
    link.close()
    if arguments.json:
        json.dump(info.said | {"chip": info.chip()}, sys.stdout, indent=2)
        print()
    else:
        _show(info)
    return 0


def _show(info: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console, said = Console(), info.said
    table = Table("core", "chip", "VLEN", "IME", "mvendorid", "marchid", "mimpid", "MHz", "workers")
    known = {chip.marchid: chip.name for chip in CHIPS.values()}
    for core in info.cores:
        ime, workers = "yes" if core.ime else "no", "no" if not core.usable else "by set_ai_thread" if core.ai else "yes"
        ids = (f"{number:#x}" for number in (core.vendor, core.arch, core.implementation))
        table.add_row(
            str(core.number), known.get(core.arch, "?"), str(core.vlen or "-"), ime, *ids, str(core.kilohertz // 1000 or "-"), workers
        )
    for name, value in (
        ("board", said["board"] or "unknown"),
        ("system", f"{said['system']}, {info.machine}"),
        ("chip", info.chip() or "none"),
    ):
        console.print(f"{name:<9}{value}", highlight=False)
    console.print(table)
    caches = ", ".join(
        f"L{each['level']} {each['type'].lower()} {each['bytes'] >> 10} KiB (cores {each['cores']})" for each in said["caches"]
    )
    lent = f"{said['arena']['bytes'] >> 20} MiB for tensors and {said['code']['bytes'] >> 20} MiB for kernels"
    rows = {
        "caches": caches or "unknown",
        "memory": f"{said['memory_bytes'] >> 20} MiB, {said['available_bytes'] >> 20} MiB available; {lent} are lent",
        "sandbox": f"none: {info.no_sandbox}" if info.no_sandbox else "seccomp",
        "counters": f"unavailable: {info.no_counters}" if info.no_counters else "cycles, instructions",
    }
    for name, text in rows.items():
        console.print(f"{name:<9}{text}", highlight=False, soft_wrap=True)


def _key_line(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend.devices import ssh

    words = arguments.key.read_text().split()
    if len(words) < 2 or not words[0].replace("-", "").replace("@", "").replace(".", "").isalnum() or "PRIVATE" in words:
        raise LinkError(f"{arguments.key} is no public key of ssh's")
    options = " ".join(["--stdio", *(["--require-sandbox"] if arguments.require_sandbox else [])])
    quoted = f'exec \\"{ssh.path_on_board()}\\" {options}'
    print(f'restrict,command="{quoted}" {" ".join(words)}')
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend.native import agent_program

    print(agent_program(arguments.machine))
    return 0


def _safely(run: Any) -> Any:
    """`run`, with errors of boards and files as one line and 1."""

    def command(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except (DeviceError, OSError, UnicodeDecodeError) as error:
            print(f"triton-spacemit agent: {error}", file=sys.stderr)
            return 1

    return command


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    agent = commands.add_parser(
        "agent",
        help="boards and the agent on them",
        description="Boards for the device `remote`. A board is ssh's name of a host, ssh://HOST, unix:PATH or exec:COMMAND.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = agent.add_subparsers(required=True, metavar="action")
    machine: dict[str, Any] = {"choices": ("riscv64", "x86_64"), "default": "riscv64", "help": "the board's (default: %(default)s)"}
    install = actions.add_parser("install", help="copy the agent to a board", description="Copy the agent to a board over ssh.")
    install.add_argument("board")
    install.add_argument("--machine", **machine)
    install.set_defaults(command=_safely(_install))
    info = actions.add_parser("info", help="what a board is", description="What a board says of its cores, caches, memory and sandbox.")
    info.add_argument("board")
    info.add_argument("--json", action="store_true", help="print all that it says as JSON")
    info.set_defaults(command=_safely(_info))
    about = "Print a line for authorized_keys on the board, with which a key can run the agent and nothing else."
    line = actions.add_parser("key-line", help="a key that may only run the agent", description=about)
    line.add_argument("key", type=Path, nargs="?", default=Path.home() / ".ssh" / "id_ed25519.pub", help="(default: %(default)s)")
    line.add_argument("--require-sandbox", action="store_true", help="refuse to run kernels where no sandbox can be had")
    line.set_defaults(command=_safely(_key_line))
    path = actions.add_parser("path", help="the agent's program here", description="Print the path of the agent's program on this machine.")
    path.add_argument("--machine", **machine)
    path.set_defaults(command=_safely(_path))
