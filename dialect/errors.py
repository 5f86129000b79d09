"""The error that passes raise for a program they do not support."""

from torch_mlir import ir


class LoweringError(Exception):
    """A construct that is not supported; `location` is where it stands in the user's source (or None)."""

    def __init__(self, message: str, location: ir.Location | None = None) -> None:
        super().__init__(message if location is None else f"{message} [{location}]")
        self.message = message
        self.location = location


def from_mlir(error: ir.MLIRError, location: ir.Location | None, prefix: str = "") -> LoweringError:
    """MLIR's own error as ours, `prefix` before its message; at `location` where it names no place."""
    first = error.error_diagnostics[0] if error.error_diagnostics else None
    message, place = (first.message, first.location) if first else (str(error), location)
    return LoweringError(prefix + message, place)
