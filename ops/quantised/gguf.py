"""GGUF files: what they hold, checked, and mapped into memory.

The format is that of docs/gguf.md of GGML, versions 2 and 3. GGML's own reader in Python, of the package `gguf`, takes a file's counts at
their word and ends far from where the mistake is; here every number is checked against the bytes that are there before anything is made of
it, so that no file takes more memory than its own size times a constant. Types and sizes of blocks are that package's.
"""

import functools
import math
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from triton_spacemit.ops.quantised.errors import FormatError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_USUAL_ALIGNMENT = 32
_MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
_LONGEST_NAME = 64  # GGML_MAX_NAME
_LARGEST = 1 << 62  # elements, so that no size in bytes has more than 64 bits

#: Types of values by number: codes of `struct`, and so of NumPy. Of the rest, 8 is a string and 9 an array.
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

#: Types of elements that PyTorch has; the others are blocks.
DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
}


@dataclass(frozen=True)
class Entry:
    """A tensor of a file. type: GGML's name. shape: as PyTorch has it, rows first. start, size: bytes in the file."""

    name: str
    type: str
    shape: tuple[int, ...]
    start: int
    size: int


class GgufFile:
    """A file, mapped; `metadata` and `entries` by name. Raises FormatError where it is not as the format asks, and OSError.

    Values of metadata are Python's; arrays of numbers are NumPy's, those of strings lists. Bytes of strings that are no UTF-8 are kept as
    surrogates. The file must not shrink while it is open: reading what is gone ends the process.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path.is_file() or self.path.is_dir()) and self.path.exists():  # a pipe would be waited for
            raise FormatError(f"{self.path}: it is no regular file")
        with open(self.path, "rb") as file:
            self.status = os.fstat(file.fileno())
            try:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except ValueError:
                raise FormatError(f"{self.path}: the file is empty") from None
        self.bytes = torch.from_numpy(np.frombuffer(mapped, np.uint8))
        cursor = _Cursor(self.path, memoryview(mapped))
        self.version = _read_version(cursor)
        tensors, values = cursor.number("Q", "the number of tensors"), cursor.number("Q", "the number of metadata values")
        self.metadata: Mapping[str, Any] = _read_metadata(cursor, values)
        self.alignment = _alignment(cursor, self.metadata)
        self.entries: Mapping[str, Entry] = _read_entries(cursor, tensors, self.alignment)
        #: What is in front of the tensors' data.
        self.header_size = cursor.at

    def raw(self, name: str) -> torch.Tensor:
        """The bytes of a tensor, uint8, in the file's memory. Raises KeyError where there is none of that name."""
        entry = self.entry(name)
        return self.bytes[entry.start : entry.start + entry.size]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of elements, in the file's memory where its place is a multiple of their size. Raises FormatError for blocks, and
        KeyError.
        """
        entry, raw = self.entry(name), self.raw(name)
        if entry.type not in DTYPES:
            raise FormatError(f"{self.path}: tensor {name!r} is of blocks of {entry.type}, not of elements")
        dtype = DTYPES[entry.type]
        aligned = raw if entry.start % dtype.itemsize == 0 else raw.clone()
        return aligned.view(dtype).view(entry.shape)

    def entry(self, name: str) -> Entry:
        """The tensor of that name. Raises KeyError."""
        if name not in self.entries:
            raise KeyError(f"{self.path}: there is no tensor {name!r}")
        return self.entries[name]


class _Cursor:
    """A place in a file's bytes. What is taken is there, or FormatError says what is not."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path, self.data, self.at = path, data, 0

    def error(self, message: str) -> FormatError:
        return FormatError(f"{self.path}: {message}")

    def take(self, size: int, what: str) -> memoryview:
        self.need(size, what)
        self.at += size
        return self.data[self.at - size : self.at]

    def need(self, size: int, what: str) -> None:
        left = len(self.data) - self.at
        if size > left:
            raise self.error(f"{what} at byte {self.at} takes {size} bytes, and the file has {left} more")

    def number(self, code: str, what: str) -> Any:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))
        return value

    def string(self, what: str) -> bytes:
        return bytes(self.take(self.number("Q", f"the length of {what}"), what))

    def name(self, what: str, longest: int) -> str:
        """A name, which is UTF-8 and not empty."""
        start = self.at
        text = self.string(what)
        try:
            name = text.decode()
        except UnicodeDecodeError:
            raise self.error(f"{what} at byte {start} is no UTF-8: {text[:80]!r}") from None
        if not 0 < len(text) <= longest:
            raise self.error(f"{what} at byte {start} has {len(text)} bytes; it may have 1 to {longest}")
        return name


def _read_version(cursor: _Cursor) -> int:
    magic = cursor.take(4, "the mark of the format")
    if magic != _MAGIC:
        raise cursor.error(f"it is no GGUF file: it begins with {bytes(magic)!r}")
    version = cursor.number("I", "the version")
    if version not in _VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS:
            raise cursor.error("it is a file for big-endian machines, which are not supported")
        raise cursor.error(f"GGUF version {version} is not supported; {' and '.join(map(str, _VERSIONS))} are")
    return version


def _read_metadata(cursor: _Cursor, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    cursor.need(count * 13, f"metadata of {count} values")  # a name of one byte, a type, a value
    for number in range(count):
        key = cursor.name(f"the name of metadata value {number}", 65535)
        if key in metadata:
            raise cursor.error(f"metadata has {key!r} twice")
        metadata[key] = _read_value(cursor, key)
    return metadata


def _read_value(cursor: _Cursor, key: str) -> Any:
    kind = cursor.number("I", f"the type of {key!r}")
    if kind == _STRING:
        return _text(cursor.string(repr(key)))
    if kind == _ARRAY:
        return _read_array(cursor, key)
    (value,) = _read_numbers(cursor, key, kind, 1).tolist()
    return value


def _read_array(cursor: _Cursor, key: str) -> Any:
    kind = cursor.number("I", f"the type of the elements of {key!r}")
    count = cursor.number("Q", f"the length of {key!r}")
    if kind == _ARRAY:
        raise cursor.error(f"{key!r} is an array of arrays, which is not supported")
    if kind == _STRING:
        cursor.need(count * 8, f"{key!r} of {count} strings")
        return [_text(cursor.string(f"string {number} of {key!r}")) for number in range(count)]
    return _read_numbers(cursor, key, kind, count)


def _read_numbers(cursor: _Cursor, key: str, kind: int, count: int) -> np.ndarray:
    if kind not in _CODES:
        raise cursor.error(f"{key!r} is of an unknown type, {kind}")
    dtype = np.dtype("<" + _CODES[kind])
    data = cursor.take(count * dtype.itemsize, f"{key!r} of {count} numbers")
    if dtype == np.bool_ and (np.frombuffer(data, np.uint8) > 1).any():
        raise cursor.error(f"{key!r} has a truth value of {max(data)}")
    return np.frombuffer(data, dtype).copy()


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _alignment(cursor: _Cursor, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", _USUAL_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise cursor.error(f"general.alignment is {alignment!r}, not a power of two up to {1 << 20}")
    return alignment


def _read_entries(cursor: _Cursor, count: int, alignment: int) -> dict[str, Entry]:
    cursor.need(count * 33, f"descriptions of {count} tensors")  # a name of one byte, one dimension, type and place
    found: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    for number in range(count):
        name = cursor.name(f"the name of tensor {number}", _LONGEST_NAME)
        if name in found:
            raise cursor.error(f"there are two tensors {name!r}")
        found[name] = _read_description(cursor, name, alignment)
    start = -(-cursor.at // alignment) * alignment
    entries = {name: Entry(name, kind, shape, start + place, size) for name, (kind, shape, place, size) in found.items()}
    end, before = 0, ""
    for entry in sorted(entries.values(), key=lambda entry: entry.start):
        if entry.start + entry.size > len(cursor.data):
            raise cursor.error(
                f"tensor {entry.name!r}, {entry.size} bytes from byte {entry.start} on, goes beyond the file's end at {len(cursor.data)}"
            )
        if entry.start < end:
            raise cursor.error(f"tensor {entry.name!r} begins at byte {entry.start}, inside of {before!r}, which ends at {end}")
        end, before = entry.start + entry.size, entry.name
    return entries


def _read_description(cursor: _Cursor, name: str, alignment: int) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, place behind the start of the data, and bytes of the next tensor."""
    count = cursor.number("I", f"the number of dimensions of {name!r}")
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise cursor.error(f"tensor {name!r} has {count} dimensions; it may have 1 to {_MOST_DIMENSIONS}")
    shape = tuple(cursor.number("Q", f"dimension {place} of {name!r}") for place in range(count))[::-1]
    number = cursor.number("I", f"the type of {name!r}")
    place = cursor.number("Q", f"the place of {name!r}")
    if number not in _types():
        raise cursor.error(f"tensor {name!r} is of an unknown type, {number}")
    kind, weights, size = _types()[number]
    elements = math.prod(shape)
    if not 0 < elements < _LARGEST:
        raise cursor.error(f"tensor {name!r} has the shape {shape}, which is {elements} elements")
    if shape[-1] % weights:
        raise cursor.error(f"tensor {name!r} of {kind} has rows of {shape[-1]} elements, not whole blocks of {weights}")
    if place % alignment:
        raise cursor.error(f"tensor {name!r} begins at {place}, which is no multiple of {alignment}")
    return kind, shape, place, elements // weights * size


@functools.cache
def _types() -> dict[int, tuple[str, int, int]]:
    """GGML's types by number: name, and the weights and bytes of a block. Raises ModuleNotFoundError without the package `gguf`."""
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"GGUF files are read with the Python package gguf ({error}): pip install gguf") from None
    return {int(kind): (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}
