"""The command `triton-spacemit inspect`."""

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from triton_spacemit.backend import set_device
from triton_spacemit.backend.errors import DeviceError, OptionError
from triton_spacemit.backend.estimate import Estimate, estimate
from triton_spacemit.backend.knobs import active_target
from triton_spacemit.backend.tools import mca
from triton_spacemit.backend.tools.bench import load_function
from triton_spacemit.backend.tools.inspector.kernels import find_kernel
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError, add_signature
from triton_spacemit.dialect.chips import CHIPS

_EPILOG = """\
  triton-spacemit inspect softmax                                    # by name, the newest in Triton's cache
  triton-spacemit inspect 3f2a9c                                     # by the start of its hash
  triton-spacemit inspect add.py:add --signature '*fp32:16, *fp32:16, *fp32:16, i32, 1024' --chip x60
  triton-spacemit inspect add.py:add --signature '*fp32, *fp32, *fp32, i32' --constexpr BLOCK=1024 --chip a100
  triton-spacemit inspect add --run add.py:run --chip x60            # as it is launched there, with estimated cycles

A signature has a part for each parameter, as Triton's ahead-of-time compiler has it: a type, with :16 behind it where the argument is
divisible by 16 or :1 where it is 1, or the value of a constant. Parts of those that --constexpr gives are left out.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    parser = commands.add_parser(
        "inspect",
        help="write a page that shows a kernel's stages side by side",
        description="Write one HTML page of a kernel: Python, every IR and assembly side by side; loops, instructions, cycles.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernel", help="FILE.py:KERNEL, or a kernel in Triton's cache: its name, the start of its hash, or a path")
    add_signature(parser)
    parser.add_argument("--chip", choices=("host", *CHIPS), help="what it is compiled for (default: the device's; any, in the cache)")
    parser.add_argument(
        "--run", metavar="FILE:FUNCTION", help="call this first, under QEMU, and show the cycles that its launches are estimated at"
    )
    parser.add_argument("-o", dest="output", type=Path, metavar="FILE", help="file to write (default: KERNEL.html)")
    parser.add_argument("--mca", metavar="PATH", help="the llvm-mca to use; `fetch` gets Debian's (default: one that is found, or none)")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page. 0, or 2 where the command line does not name a kernel that can be inspected, or 1 where it does not compile."""
    from triton.errors import TritonError

    from triton_spacemit.backend.tools.inspector import page, stages

    try:
        llvm_mca = _mca(arguments.mca)
        estimates = _estimates(arguments.run, arguments.chip) if arguments.run else {}
        chip = active_target()[1] if estimates else arguments.chip
        kernel = find_kernel(arguments.kernel, arguments.signature, arguments.constexpr, chip)
        kernel.estimates = estimates
        output = arguments.output or Path(f"{kernel.name}.html")
        page.write(output, kernel, stages.collect(kernel), llvm_mca)
    except (UnknownKernelError, OptionError, DeviceError) as error:
        return _refuse(str(error), 2)
    except TritonError as error:
        return _refuse(f"{arguments.kernel} does not compile:\n{error}", 1)
    except OSError as error:
        return _refuse(str(error), 2)
    for note in kernel.notes:
        print(f"triton-spacemit inspect: {note}", file=sys.stderr)
    print(output)
    if arguments.open:
        webbrowser.open(output.resolve().as_uri())
    return 0


def _estimates(place: str, chip: str | None) -> dict[str, Estimate]:
    """What a call of the function `FILE:FUNCTION` is estimated at on `chip` (None: the qemu device's): with empty caches, and once more.

    The active device is that one then. Raises UnknownKernelError where there is no such function, and DeviceError where nothing is known of
    the chip's time.
    """
    try:
        set_device("qemu", chip)
        function = load_function(place)
    except ValueError as error:
        raise UnknownKernelError(f"--run: {error}") from None
    function()  # compiles
    found = {when: estimate(function, warm) for when, warm in (("with empty caches", False), ("once more", True))}
    if not found["once more"].instructions:
        raise UnknownKernelError(f"--run: {place} launches no kernel")
    return found


def _refuse(message: str, code: int) -> int:
    print(f"triton-spacemit inspect: {message}", file=sys.stderr)
    return code


def _mca(choice: str | None) -> Sequence[str] | None:
    if choice is None:
        return mca.find()
    if choice == "fetch":
        return mca.command()
    version = mca.version_of((choice,))
    if version < mca.MINIMUM:
        what = f"is of LLVM {version}" if version else "is no llvm-mca"
        raise DeviceError(f"--mca {choice} {what}; LLVM {mca.MINIMUM} is the first that models the X60")
    return (choice,)
