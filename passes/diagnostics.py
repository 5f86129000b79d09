"""Messages of triton-spacemit-opt, and comments in its input that expect them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_mlir import ir

_PLACE = re.compile(r'"([^"]*)":(\d+):(\d+)')
_EXPECTED = re.compile(r"expected-(error|warning|remark|note)\s*(?:@(above|below|[+-]\d+))?\s*\{\{(.*?)\}\}")


@dataclass(frozen=True)
class Diagnostic:
    """A message for a place in the input."""

    severity: str
    message: str
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"


class Failed(Exception):
    """The input was refused; `diagnostics` say why."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__()
        self.diagnostics = diagnostics


def diagnostic_at(severity: str, message: str, location: ir.Location | None, file: str) -> Diagnostic:
    """A message for the place that `location` names, or for the start of the file."""
    match = _PLACE.search(str(location))
    if match is None:
        return Diagnostic(severity, message, file, 1, 1)
    return Diagnostic(severity, message, file if match[1] == "-" else match[1], int(match[2]), int(match[3]))


def unexpected(text: str, file: str, diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """What differs between `diagnostics` and the comments in `text` that expect them."""
    left = list(diagnostics)
    missing = []
    for number, line in enumerate(text.splitlines(), 1):
        for severity, where, message in _EXPECTED.findall(line):
            at = number + {"": 0, "above": -1, "below": 1}.get(where, 0) + (int(where) if where[:1] in "+-" and where else 0)
            match = next((d for d in left if (d.severity, d.line) == (severity, at) and message in d.message), None)
            if match is not None:
                left.remove(match)
            else:
                missing.append(Diagnostic("error", f"expected {severity} {message!r} was not produced", file, at, 1))
    return missing + [Diagnostic("error", f"unexpected {d.severity}: {d.message}", d.file, d.line, d.column) for d in left]
