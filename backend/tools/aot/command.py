"""The command `triton-spacemit aot`."""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

from triton_spacemit.backend import set_device
from triton_spacemit.backend.errors import DeviceError, OptionError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.tools.aot import bundle, requests
from triton_spacemit.backend.tools.aot.variants import Request, functions_of
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError, add_signature
from triton_spacemit.dialect.chips import CHIPS

_EPILOG = """\
  triton-spacemit aot add.py:add --signature '*fp32:16, *fp32:16, *fp32:16, i32, 256' --grid 'cdiv(n, 256)' --chip x60 -o build/add
  triton-spacemit aot kernels.toml --chip x60 -o build/ops     # many kernels
  triton-spacemit aot -o kernels.toml --record program.py      # those that a program launches
  triton-spacemit aot -o kernels.toml --board ssh://k1 --record program.py    # with what autotune chooses there

A signature is as for `inspect`: a type for each parameter, :16 behind it for arguments divisible by 16 and :1 for those that are 1, or the
value of a constant. The function takes any arguments: hints make a variant of it that is used where they hold.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    parser = commands.add_parser(
        "aot",
        help="compile kernels ahead of time, for programs without Triton",
        description="Compile kernels into a folder with a C header, libraries for each chip, a Python module and a manifest.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernel", nargs="?", help="FILE.py:KERNEL, or a file KERNELS.toml that lists several")
    add_signature(parser)
    parser.add_argument("--grid", metavar="EXTENTS", help="one to three extents, such as 'cdiv(n, 1024)'")
    parser.add_argument("--name", help="of the C function (default: the kernel's)")
    parser.add_argument("--chip", choices=("host", *CHIPS), action="append", help="what to compile for; may be given again (default: x60)")
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="PATH", help="the bundle's folder, or the list's file")
    parser.add_argument("--device", help="where the recorded program's kernels run, and autotune measures (default: as everywhere)")
    parser.add_argument("--board", help="the board for that, such as ssh://k1: stands for --device remote")
    recorded = "run PROGRAM with the arguments behind it, and list the kernels that it launches; the last option"
    parser.add_argument("--record", nargs=argparse.REMAINDER, metavar="PROGRAM", help=recorded)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the bundle, or the list. 0, or 2 where the command line cannot be carried out, or 1 where a kernel does not compile."""
    from triton.errors import TritonError

    try:
        if arguments.record is not None:
            return _record(arguments)
        if arguments.device or arguments.board:
            raise UnknownKernelError("--device and --board are for --record")
        functions = functions_of(_requests(arguments))
        chips = list(dict.fromkeys(arguments.chip or ["x60"]))
        with Progress(transient=True) as progress:
            task = progress.add_task("aot", total=(len(functions) + 1) * len(chips))
            bundle.write(arguments.output, functions, chips, lambda what: progress.update(task, advance=1, description=what))
    except (UnknownKernelError, OptionError, DeviceError, OSError, ValueError) as error:
        return _refuse(str(error), 2)
    except TritonError as error:
        return _refuse(f"{arguments.kernel} does not compile:\n{error}", 1)
    print(arguments.output)
    return 0


def _requests(arguments: argparse.Namespace) -> list[Request]:
    if arguments.kernel is None:
        raise UnknownKernelError("name a kernel as FILE.py:KERNEL, or a list of them, KERNELS.toml")
    if arguments.kernel.endswith(".toml"):
        if arguments.signature or arguments.grid or arguments.constexpr or arguments.name:
            raise UnknownKernelError("--signature, --grid, --constexpr and --name are for FILE.py:KERNEL; a list has them")
        return requests.read(Path(arguments.kernel))
    if arguments.signature is None or arguments.grid is None:
        raise UnknownKernelError("FILE.py:KERNEL needs --signature and --grid")
    return [Request(arguments.kernel, arguments.signature, arguments.grid, tuple(arguments.constexpr), arguments.name)]


def _record(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend.tools.aot.record import record

    if arguments.kernel is not None or not arguments.record:
        raise UnknownKernelError("--record takes a program and its arguments")
    if len(arguments.chip or ()) > 1:
        raise UnknownKernelError("--record runs on one chip")
    if arguments.board:
        knobs.board, arguments.device = arguments.board, "remote"
    if arguments.device or arguments.chip:
        set_device(arguments.device or knobs.device, *(arguments.chip or ()))
    program, *rest = arguments.record
    requests.write(arguments.output, record(Path(program), rest))
    print(arguments.output)
    return 0


def _refuse(message: str, code: int) -> int:
    print(f"triton-spacemit aot: {message}", file=sys.stderr)
    return code
