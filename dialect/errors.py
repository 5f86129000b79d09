"""The error that passes raise for a program they do not support."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_mlir import ir


class LoweringError(Exception):
    """A construct that is not supported; `location` is where it stands in the user's source (or None)."""

    def __init__(self, message: str, location: ir.Location | None = None) -> None:
        super().__init__(message if location is None else f"{message} [{location}]")
        self.message = message
        self.location = location


def from_mlir(error: ir.MLIRError, location: ir.Location | None, prefix: str = "") -> LoweringError:
    """MLIR's own error as ours, `prefix` before its message; at `location` where it names no place."""
    from torch_mlir import ir

    if not error.error_diagnostics:
        return LoweringError(f"{prefix}{error}", location)
    first = error.error_diagnostics[0]
    place = ir.Location.from_attr(first.location.attr, first.location.context)  # a diagnostic's own does not say of which kind it is
    return LoweringError(prefix + first.message, location if isinstance(place, ir.UnknownLoc) else place)
