"""Values of a GGUF file's metadata, of the type that is asked for, or an error that names file and value."""

from typing import Any

import numpy as np

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.gguf import GgufFile

_LARGEST_SIZE = 1 << 31
_NEEDED = object()


class Metadata:
    """The values whose names begin with `prefix`. All methods raise FormatError for a value of another type, and one that is missing
    without a usual.
    """

    def __init__(self, file: GgufFile, prefix: str) -> None:
        self._file, self._prefix = file, prefix

    def error(self, message: str) -> FormatError:
        """An error about the file."""
        return FormatError(f"{self._file.path}: {message}")

    def refuse(self, name: str, why: str) -> FormatError:
        """An error about a value."""
        return self.error(f"{self._prefix}{name} is {self._file.metadata.get(self._prefix + name)!r:.80}, {why}")

    def _value(self, name: str, usual: Any) -> Any:
        value = self._file.metadata.get(self._prefix + name, usual)
        if value is _NEEDED:
            raise self.error(f"metadata lacks {self._prefix}{name}")
        return value

    def size(self, name: str, usual: Any = _NEEDED) -> int:
        """A number of things, at least one."""
        value = self._value(name, usual)
        if type(value) is not int or not 0 < value < _LARGEST_SIZE:
            raise self.refuse(name, "not a size")
        return value

    def count(self, name: str) -> int:
        """A number of things, which may be none; 0 where it is not said."""
        value = self._value(name, 0)
        if type(value) is not int or not 0 <= value < _LARGEST_SIZE:
            raise self.refuse(name, "not a number of things")
        return value

    def number(self, name: str, usual: Any = _NEEDED) -> float:
        """A number above 0."""
        value = self._value(name, usual)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self.refuse(name, "not a number above 0")
        return float(value)

    def index(self, name: str, count: int) -> int | None:
        """The number of one of `count` things, None where there is no such value."""
        value = self._value(name, None)
        if value is not None and (type(value) is not int or not 0 <= value < count):
            raise self.refuse(name, f"not one of {count}")
        return value

    def truth(self, name: str, usual: Any = _NEEDED) -> bool:
        """Yes or no."""
        value = self._value(name, usual)
        if type(value) is not bool:
            raise self.refuse(name, "neither true nor false")
        return value

    def text(self, name: str, usual: Any = _NEEDED) -> str:
        """A text."""
        value = self._value(name, usual)
        if type(value) is not str:
            raise self.refuse(name, "not a text")
        return value

    def texts(self, name: str) -> list[str]:
        """Several texts."""
        value = self._value(name, _NEEDED)
        if type(value) is not list:
            raise self.refuse(name, "not a list of texts")
        return value

    def numbers(self, name: str, count: int, usual: Any = _NEEDED) -> list[Any]:
        """As many numbers."""
        value = self._value(name, usual)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if type(value) is not list or len(value) != count or any(type(each) not in (int, float) for each in value):
            raise self.refuse(name, f"not {count} numbers")
        return value
