"""The command `triton-spacemit gguf`: lists what a GGUF file holds, checks it, packs its weights and measures products with them.

It is found by the program through the entry point `triton_spacemit.commands`, as `triton-spacemit tune` is.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triton_spacemit.dialect.chips import CHIPS

if TYPE_CHECKING:
    from triton_spacemit.ops.quantised.gguf import GgufFile
    from triton_spacemit.ops.quantised.packed import Packed
    from triton_spacemit.ops.quantised.weights import Weights

_COUNTED_ROWS = 64  # of a matrix, where instructions are counted: as many cost the same for each row


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    text = "List and check what a GGUF file holds: every number, and the place of every tensor. Exits with 1 where it is not as GGUF asks."
    gguf = commands.add_parser("gguf", help="list, check, pack and measure a file of quantised weights", description=text)
    gguf.add_argument("file", type=Path, help="the GGUF file")
    gguf.add_argument(
        "--pack", action="store_true", help="pack the weights, where they are not yet, and compare every byte with the file's"
    )
    gguf.add_argument("--cache", type=Path, metavar="FOLDER", help="where packed weights are kept (default: this user's cache folder)")
    gguf.add_argument("--measure", action="store_true", help="measure products with the packed weights, one of each type and shape")
    gguf.add_argument("--rows", type=int, nargs="+", default=[1, 128], help="rows of activations of measured products (default: 1 128)")
    gguf.add_argument("--seconds", type=float, default=0.2, help="how long a product is timed at least (default: %(default)s)")
    chips = "what is measured: time on this machine, or instructions a weight, of 64 rows, on an emulated chip (default: %(default)s)"
    gguf.add_argument("--chip", choices=("host", *CHIPS), default="host", help=chips)
    gguf.add_argument("--json", action="store_true", help="print JSON instead of tables, with all metadata but long arrays")
    gguf.set_defaults(command=_gguf)


def _gguf(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend import set_device
    from triton_spacemit.backend.errors import DeviceError
    from triton_spacemit.ops.quantised.errors import FormatError
    from triton_spacemit.ops.quantised.gguf import GgufFile

    if any(rows < 1 for rows in arguments.rows):
        print("triton-spacemit gguf: products have at least one row", file=sys.stderr)
        return 2
    try:
        file = GgufFile(arguments.file)
        report = {"file": str(file.path), "metadata": _metadata(file), "tensors": _tensors(file)}
        if arguments.pack or arguments.measure:
            weights, report["packed"] = _pack(file, arguments.cache)
            if arguments.measure:
                set_device("qemu" if arguments.chip != "host" else "host", arguments.chip)
                report["products"] = _measure(weights, arguments.rows, arguments.chip, arguments.seconds)
    except (FormatError, OSError, DeviceError, ModuleNotFoundError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"triton-spacemit gguf: {text}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _show(report)
    return 0


def _metadata(file: "GgufFile") -> dict[str, Any]:
    """Values of metadata; of arrays and long texts what they are."""

    def short(value: Any) -> Any:
        if isinstance(value, str):
            printable = value.encode(errors="surrogateescape").decode(errors="replace")
            return printable if len(printable) <= 80 else printable[:77] + "..."
        return value if isinstance(value, bool | int | float) else f"{len(value)} values"

    return {key: short(value) for key, value in file.metadata.items()}


def _tensors(file: "GgufFile") -> list[dict[str, Any]]:
    from triton_spacemit.ops.quantised.packings import get_packing
    from triton_spacemit.ops.quantised.weights import to_be_packed

    rows, chosen = [], {entry.name for entry in to_be_packed(file)}
    for entry in file.entries.values():
        packing = get_packing(entry.type) if entry.name in chosen else None
        packed = math.prod((*entry.shape[:-2], *packing.shape(*entry.shape[-2:]))) if packing else None
        row = {"name": entry.name, "type": entry.type, "shape": entry.shape, "bytes": entry.size}
        rows.append({**row, "packing": packing.name if packing else None, "packed bytes": packed})
    return rows


def _pack(file: "GgufFile", folder: Path | None) -> "tuple[Weights, dict[str, Any]]":
    """The packed weights, compared with the file's; and how long packing took, if that was to be done."""
    import torch

    from triton_spacemit.ops.quantised.errors import FormatError
    from triton_spacemit.ops.quantised.weights import load, to_be_packed

    chosen = [entry.name for entry in to_be_packed(file)]
    with _progress() as progress:
        task = progress.add_task("packing", total=len(chosen))
        done: list[str] = []

        def note(name: str) -> None:
            done.append(name)
            progress.update(task, description=f"packing {name}", completed=len(done))

        start = time.perf_counter()
        weights = load(file.path, cache=True if folder is None else folder, progress=note)
        seconds = time.perf_counter() - start
        size = sum(file.entries[name].size for name in done)
        progress.update(task, description="packed", completed=len(chosen))
        task = progress.add_task("comparing", total=len(chosen))
        for name in chosen:
            progress.update(task, description=f"comparing {name}", advance=1)
            if not torch.equal(weights.packed[name].unpack().flatten(), file.raw(name)):
                raise FormatError(f"{weights.stored}: the packed weights of {name!r} are not those of {file.path}; remove the file")
    told = {"file": str(weights.stored), "tensors": len(done), "seconds": seconds if done else 0.0}
    return weights, {**told, "MB a second": size / seconds / 1e6 if done else None, "compared": len(chosen)}


def _measure(weights: "Weights", numbers: list[int], chip: str, seconds: float) -> list[dict[str, Any]]:
    """One product of each type and shape, for each number of rows: by time, or instructions."""
    kinds: dict[Any, Packed] = {}
    for packed in weights.packed.values():
        matrix = packed.expert(0) if packed.dim() == 3 else packed
        kinds.setdefault((matrix.format, tuple(matrix.shape)), matrix)
    found = []
    with _progress() as progress:
        task = progress.add_task("measuring", total=len(kinds) * len(numbers))
        for (format_name, shape), matrix in kinds.items():
            for rows in numbers:
                progress.update(task, description=f"measuring {rows} x {shape} of {format_name}")
                found.append({"type": format_name, "shape": shape, "rows": rows, **_cost(matrix, rows, chip, seconds)})
                progress.advance(task)
    return found


def _cost(matrix: "Packed", rows: int, chip: str, seconds: float) -> dict[str, float]:
    import torch

    from triton_spacemit.backend.devices.counting import count
    from triton_spacemit.backend.tools.bench import time_in_turns
    from triton_spacemit.ops.quantised.linear import linear

    x = torch.randn(rows, matrix.shape[1])
    if chip != "host":
        matrix = matrix.rows(0, min(matrix.shape[0], _COUNTED_ROWS))
        linear(x, matrix)
        counts, weights = count(lambda: linear(x, matrix)), matrix.shape[0] * matrix.shape[1]
        return {"instructions a weight": counts.instructions / weights, "weighted": counts.weighted / weights}
    best = min(time_in_turns([lambda: linear(x, matrix)], seconds, turns=2)[0])
    return {
        "seconds": best,
        "GB a second": matrix.nbytes / best / 1e9,
        "GOP a second": 2 * rows * matrix.shape[0] * matrix.shape[1] / best / 1e9,
    }


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


def _show(report: dict[str, Any]) -> None:
    """Print tables: metadata, tensors, and what was packed and measured."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    for key, value in report["metadata"].items():
        console.print(f"{key}: {value}")
    sizes = [row["bytes"] for row in report["tensors"]]
    elements = sum(math.prod(row["shape"]) for row in report["tensors"])
    console.print(f"{len(sizes)} tensors of {elements:,} elements in {sum(sizes):,} bytes: every number is in order")
    for title in ("tensors", "products"):
        rows = report.get(title)
        if rows:
            table = Table(title=title)
            for column in rows[0]:
                table.add_column(column, justify="left" if column in ("name", "type", "packing") else "right", overflow="fold")
            for row in rows:
                table.add_row(*map(_cell, row.values()))
            console.print(table)
    if "packed" in report:
        console.print(", ".join(f"{key}: {_cell(value)}" for key, value in report["packed"].items()))


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
