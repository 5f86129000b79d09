"""The error that passes raise for a program they do not support."""

from torch_mlir import ir


class LoweringError(Exception):
    """A construct that is not supported; `location` is where it stands in the user's source (or None)."""

    def __init__(self, message: str, location: ir.Location | None = None) -> None:
        super().__init__(message if location is None else f"{message} [{location}]")
        self.message = message
        self.location = location
