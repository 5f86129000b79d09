"""Packed weights in a file: written once, mapped into memory from then on.

The file has the packed bytes of each tensor, at multiples of 64 bytes; then a description in JSON: where they came from, and of each its
format, packing, shape, place and SHA-256; then the description's size, its SHA-256 and a mark. A file that is cut short, or of which the
description was changed, is refused by name. The digests of the tensors are compared where it is asked for: that reads all of them.
"""

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from triton_spacemit.backend import folders
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.packed import Packed, packed_shape, restored
from triton_spacemit.ops.quantised.packings import get_packing

_MARK = b"packed weights 1"
_TRAILER = struct.Struct("<Q32s16s")
_ALIGNMENT = 64


def write(path: Path, tensors: Iterable[tuple[str, Packed]], source: Mapping[str, Any]) -> None:
    """Write packed weights, one after the other, so that no more than one has to be in memory. Raises OSError; then nothing is there."""
    folders.write(path, _pieces(tensors, source), durable=True)


def _pieces(tensors: Iterable[tuple[str, Packed]], source: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    described, place = [], 0
    for name, packed in tensors:
        yield bytes(-place % _ALIGNMENT)
        place += -place % _ALIGNMENT
        row = {"name": name, "format": packed.format, "packing": packed.packing.name, "shape": list(packed.shape)}
        described.append({**row, "start": place, "digest": packed.digest()})
        yield memoryview(packed.bytes.numpy()).cast("B")
        place += packed.nbytes
    description = json.dumps({"source": source, "tensors": described}).encode()
    yield description
    yield _TRAILER.pack(len(description), hashlib.sha256(description).digest(), _MARK)


def read(path: Path, verify: bool = False) -> tuple[Any, dict[str, Packed]]:
    """Where the weights in a file came from, and the weights by name, mapped. verify: compare their digests.

    Changes to their bytes stay in this process. Raises FormatError where it is not a whole file of packed weights, and OSError.
    """
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:
            raise FormatError(f"{path}: the file is empty") from None
    data = torch.from_numpy(np.frombuffer(mapped, np.uint8))
    description, end = _description(path, memoryview(mapped))
    tensors = {}
    try:
        for row in description["tensors"]:
            tensors[row["name"]] = _mapped(data[:end], row)
            if verify and tensors[row["name"]].digest() != row["digest"]:
                raise FormatError(f"the bytes of {row['name']!r} are not those that were written")
        return description["source"], tensors
    except (KeyError, TypeError, FormatError) as error:
        raise FormatError(f"{path}: {error}") from None


def _description(path: Path, data: memoryview) -> tuple[Any, int]:
    """The description in a file, and where the tensors end."""
    start = len(data) - _TRAILER.size
    if start < 0:
        raise FormatError(f"{path}: no packed weights")
    size, digest, mark = _TRAILER.unpack_from(data, start)
    if mark != _MARK:
        raise FormatError(f"{path}: no packed weights, or cut short")
    if size > start or hashlib.sha256(data[start - size : start]).digest() != digest:
        raise FormatError(f"{path}: the description of the packed weights is damaged")
    return json.loads(bytes(data[start - size : start])), start - size


def _mapped(data: torch.Tensor, row: Mapping[str, Any]) -> Packed:
    shape = packed_shape(get_packing(row["format"], row["packing"]), row["shape"])
    size = math.prod(shape)
    if not 0 <= row["start"] <= data.numel() - size or row["start"] % _ALIGNMENT:
        raise FormatError(f"{row['name']!r} is not within the file")
    return restored(data[row["start"] : row["start"] + size].view(shape), row["format"], row["packing"], tuple(row["shape"]))
