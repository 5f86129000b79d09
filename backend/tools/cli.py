"""The command `triton-spacemit`: its subcommands in one parser."""

import argparse
import sys
from importlib.metadata import entry_points

from triton_spacemit.backend import patches
from triton_spacemit.backend.tools import agent, bench
from triton_spacemit.backend.tools.aot import command as aot
from triton_spacemit.backend.tools.inspector import command as inspect


def _show_patches(arguments: argparse.Namespace) -> int:
    """Print what the backend changes in Triton; 1 where the installed Triton is not as it expects."""
    differences = patches.unmet()
    for patch in patches.PATCHES:
        difference = patches.mismatch(patch)
        differences += [difference] if difference else []
        print(f"{patch}\n  {patch.weight}, {patch.when}: {patch.why}\n  {difference or 'as expected'}")
    for difference in differences:
        print(f"triton-spacemit patches: {difference}", file=sys.stderr)
    return 1 if differences else 0


def main() -> int:
    """Run the subcommand that the command line names; its result is the exit code."""
    parser = argparse.ArgumentParser(prog="triton-spacemit", description="Tools of the Triton backend for SpacemiT's CPUs.")
    commands = parser.add_subparsers(required=True, metavar="command")
    agent.add_parser(commands)
    aot.add_parser(commands)
    bench.add_parser(commands)
    inspect.add_parser(commands)
    shown = commands.add_parser("patches", help="what is changed in Triton", description="What this backend changes in Triton, and why.")
    shown.set_defaults(command=_show_patches)
    for other in entry_points(group="triton_spacemit.commands"):  # of packages that stand on this one
        other.load()(commands)
    arguments = parser.parse_args()
    return arguments.command(arguments)


if __name__ == "__main__":
    sys.exit(main())
