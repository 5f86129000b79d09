"""The table, the plot and the JSON of a run."""

import json
import math
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perf.result import Line

_HEAD = ("row", "unit", "ours", "anchor", "of", "speed", "reach", "met", "error/bound", "blocks")
_VERDICTS = {True: "yes", False: "no", None: ""}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def cells(line: Line) -> tuple[str, ...]:
    """A line of the table. `speed` is anchor / ours."""
    row, result = line.row, line.result
    reach = f"<= {row.reach:g}" if row.reach is not None else f"speed >= {row.speed:.3g}" if row.speed is not None else ""
    if result is None:
        return row.name, row.unit, "failed", "", row.anchor, "", reach, "no", "", line.failure
    verdict = _VERDICTS[line.met] if line.right else "wrong"
    measured = _number(result.value), _number(line.anchor), row.anchor, _number(line.speed)
    return row.name, row.unit, *measured, reach, verdict, _number(result.error), result.config


def table(lines: list[Line]) -> str:
    """In Markdown."""
    texts = [_HEAD, *(cells(line) for line in lines)]
    widths = [max(len(text[column]) for text in texts) for column in range(len(_HEAD))]
    rows = ["| " + " | ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)) + " |" for cell in texts]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(rows) + "\n"


def _document(lines: list[Line]) -> dict[str, Any]:
    rows = []
    for line in lines:
        row = {name: getattr(line.row, name) for name in ("name", "unit", "anchor", "given", "reach", "speed")}
        rows.append(row | {"result": asdict(line.result) if line.result else None, "failure": line.failure, "met": line.met})
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": platform.machine(),
        "load": os.getloadavg(),
        "rows": rows,
    }


def _plot(lines: list[Line], path: Path) -> None:
    """How many times as good as its anchor every row is, beside what it should reach."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [line for line in lines if line.speed is not None][::-1]
    if not shown:
        return
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.22 * len(shown)), layout="constrained")
    speeds = [line.speed or math.nan for line in shown]
    colours = ["tab:red" if line.met is False else "tab:green" for line in shown]
    axes.barh(range(len(shown)), speeds, color=colours)
    for place, line in enumerate(shown):
        goal = line.row.speed or (line.anchor or 0) / line.row.reach if line.row.reach or line.row.speed else None
        if goal:
            axes.plot([goal, goal], [place - 0.4, place + 0.4], color="black", linewidth=2)
    axes.set_xscale("log")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{line.row.name} / {line.row.anchor}" for line in shown], fontsize=7)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel("times as good as the anchor; black: the reach")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def write(lines: list[Line], folder: Path) -> None:
    """`table.md`, `results.json` and `plot.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table(lines))
    (folder / "results.json").write_text(json.dumps(_document(lines), indent=1, default=str) + "\n")
    _plot(lines, folder / "plot.png")
