"""The command `triton-spacemit`: its subcommands in one parser."""

import argparse
import sys

from triton_spacemit.backend.tools import bench
from triton_spacemit.backend.tools.inspector import command as inspect


def main() -> int:
    """Run the subcommand that the command line names; its result is the exit code."""
    parser = argparse.ArgumentParser(prog="triton-spacemit", description="Tools of the Triton backend for SpacemiT's CPUs.")
    commands = parser.add_subparsers(required=True, metavar="command")
    bench.add_parser(commands)
    inspect.add_parser(commands)
    arguments = parser.parse_args()
    return arguments.command(arguments)


if __name__ == "__main__":
    sys.exit(main())
