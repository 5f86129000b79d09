"""Run GGML's kernels for SpacemiT's cores beside ours, on the same data and the same emulated X60.

    python third_party/ggml/run.py --ggml CHECKOUT [--formats Q4_0 ..] [--rows 1 4 ..] [--shape N K] [--accuracy] [--json]

CHECKOUT is a working copy of the repository of ggml or of llama.cpp, as of August 2026. Its kernels are built with the compiler that this
backend builds its runtime with. One table says what both execute and how far both are from float64; the exit status is 1 where weights,
activations or results with GGML's own packing are not the same bytes, or where our error with exact minima is larger than GGML's. With
--accuracy only errors are compared, of many kinds of data.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from comparison import Errors, Row, compare, errors
from compiled import CheckoutError
from data import ACTIVATIONS, WEIGHTS, normal, random_weights
from peer import FORMATS, Peer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs


def table(rows: Sequence[Row]) -> Table:
    """GGML / ours in each cell."""
    found = Table("format", "rows", title="Instructions of GGML / ours on the X60, and errors")
    for heading in ("per vmadot", "per activation", "error"):
        found.add_column(heading, justify="right", no_wrap=True)
    found.add_column("same bytes")
    for row in rows:
        different = [
            what
            for what, same in (("weights", row.same_packing), ("activations", row.same_activations), ("result", row.same_bits))
            if not same
        ]
        found.add_row(
            row.format,
            str(row.rows),
            f"{row.ggml:.2f} / {row.own:.2f}",
            f"{row.ggml_activations:.2f} / {row.own_activations:.2f}",
            f"{row.ggml_error:.2%} / {row.own_error:.2%}",
            f"not {', '.join(different)}" if different else "all",
        )
    return found


def _percent(error: float) -> str:
    return f"{error:.2%}" if error > 1e-5 else f"{error:.0e}"


def accuracy_table(results: Sequence[Errors], formats: Sequence[str]) -> Table:
    found = Table("activations", "weights", title="Errors of GGML / ours")
    for name in formats:
        found.add_column(name, justify="right", no_wrap=True)
    for activations, weights in dict.fromkeys((each.activations, each.weights) for each in results):
        cells = {
            e.format: f"{_percent(e.ggml)} / {_percent(e.own)}" for e in results if (e.activations, e.weights) == (activations, weights)
        }
        found.add_row(activations, weights, *(cells[name] for name in formats))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", type=Path, required=True, help="a working copy of ggml's or llama.cpp's repository")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS), help="formats of weights (default: all)")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 4, 16], help="rows of activations (default: 1 4 16)")
    parser.add_argument("--shape", nargs=2, type=int, default=(64, 1024), metavar=("N", "K"), help="of the weights (default: 64 1024)")
    parser.add_argument("--accuracy", action="store_true", help="compare errors alone, of many kinds of data")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    (n, k), rows = arguments.shape, arguments.rows
    if n < 16 or n % 16 or k < 256 or k % 256 or min(rows) < 1:
        parser.error("weights have a multiple of 16 rows and of 256 columns, activations at least one row")
    set_device("qemu", "x60")
    knobs.threads = 1
    try:
        peer = Peer(arguments.ggml)
    except CheckoutError as error:
        parser.error(str(error))
    console = Console(stderr=True)
    results: list[Row] | list[Errors]
    if arguments.accuracy:
        kinds = [(name, x, w) for x in ACTIVATIONS for w in WEIGHTS for name in arguments.formats]
        results = [errors(peer, *kind, (n, k)) for kind in track(kinds, "comparing", console=console, transient=True)]
        shown = accuracy_table(results, arguments.formats)
    else:
        cases = [(name, normal(m, k), random_weights(name, (n, k))) for name in arguments.formats for m in rows]
        results = [compare(peer, *case) for case in track(cases, "comparing", console=console, transient=True)]
        shown = table(results)
    if arguments.json:
        print(json.dumps([asdict(row) for row in results], indent=1))
    else:
        Console().print(shown)
    return 0 if all(row.as_promised for row in results) else 1


if __name__ == "__main__":
    sys.exit(main())
