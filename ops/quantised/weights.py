"""The weights of a GGUF file: tensors as PyTorch has them, and packed ones, which are packed once and mapped again from a file of their
own.

```python
weights = load("model.gguf")
weights["blk.0.attn_q.weight"]          # <weights (4096, 4096) of Q4_0, packed as q4_0x16>
weights["blk.0.attn_norm.weight"]       # an ordinary tensor
weights.metadata["general.architecture"]
```
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from triton_spacemit.backend import folders
from triton_spacemit.backend.native import cache_dir, locked
from triton_spacemit.ops.quantised import store
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import FORMATS, dequantise
from triton_spacemit.ops.quantised.gguf import DTYPES, Entry, GgufFile
from triton_spacemit.ops.quantised.packed import Packed, pack
from triton_spacemit.ops.quantised.packings import get_packing

#: Matrices of a layer that are multiplied by the same rows, so that they can be multiplied at once.
NEIGHBOURS = (("attn_q", "attn_k", "attn_v"), ("ffn_gate", "ffn_up"))

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

#: Called with the name of each tensor before it is packed.
Progress = Callable[[str], None]


class Weights(Mapping[str, torch.Tensor]):
    """The tensors of a file by name: `Packed` where they are matrices, or stacks of them, of blocks; else ordinary tensors in the file's
    memory.

    A tensor of blocks without a packing, of a type such as IQ2_XS, raises FormatError when it is asked for.
    """

    def __init__(self, file: GgufFile, packed: Mapping[str, Packed], stored: Path | None) -> None:
        """packed: by name. stored: the file in which they are, if they are in one."""
        self.file, self.packed, self.stored = file, packed, stored
        self.metadata = file.metadata

    def __getitem__(self, name: str) -> torch.Tensor:
        if name in self.packed:
            return self.packed[name]
        entry = self.file.entry(name)
        if entry.type in DTYPES:
            return self.file.tensor(name)
        if packable(entry):  # looked up only, as far as `load` knew
            self.packed = {**self.packed, name: pack(self.file.raw(name), entry.type, entry.shape)}
            return self.packed[name]
        what = f"tensor {name!r} {entry.shape} of {entry.type}"
        raise FormatError(f"{self.file.path}: {what} cannot be packed; matrices of {', '.join(FORMATS)} can")

    def __iter__(self) -> Iterator[str]:
        return iter(self.file.entries)

    def __len__(self) -> int:
        return len(self.file.entries)

    def rows(self, name: str, index: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Rows of a matrix, blocks or elements, as ordinary numbers: what an embedding looks up. index: integers, any shape.

        Raises KeyError, IndexError for a row that there is not, TypeError for an index of another type, and FormatError for what is no
        matrix and types that are not known.
        """
        entry = self.file.entry(name)
        if len(entry.shape) != 2:
            raise FormatError(f"{self.file.path}: tensor {name!r} {entry.shape} is no matrix, of which there are rows")
        if not isinstance(index, torch.Tensor) or index.dtype not in _INTEGERS or not index.is_cpu:
            what = f"{index.dtype} on {index.device}" if isinstance(index, torch.Tensor) else type(index).__name__
            raise TypeError(f"rows of {name!r} are chosen by a tensor of integers on the CPU, not by {what}")
        index = index.long()  # a tensor of uint8 would be a mask
        count, steps = entry.shape
        if index.numel() and not (0 <= int(index.min()) and int(index.max()) < count):
            raise IndexError(f"{name!r} has rows 0 to {count - 1}, not {int(index.min())} to {int(index.max())}")
        if entry.type in DTYPES:
            return self.file.tensor(name)[index].to(dtype)
        if entry.type not in FORMATS:
            raise FormatError(f"{self.file.path}: tensor {name!r} is of {entry.type}, which is not supported; {', '.join(FORMATS)} are")
        return dequantise(self.file.raw(name).view(count, -1)[index.flatten()], entry.type, dtype).view(*index.shape, steps)


def packable(entry: Entry) -> bool:
    """Whether a tensor of a file can be packed."""
    return entry.type in FORMATS and 2 <= len(entry.shape) <= 3


def to_be_packed(file: GgufFile) -> list[Entry]:
    """The tensors of a file that are packed: all that can be, but the table of embeddings only where it is the output's too.

    They are in the order in which they are to be written: the file's, but what a layer multiplies by the same rows side by side.
    """
    looked_up = "token_embd.weight" if "output.weight" in file.entries else ""
    chosen = [entry for entry in file.entries.values() if packable(entry) and entry.name != looked_up]
    places = {entry.name: number for number, entry in enumerate(chosen)}

    def place(entry: Entry) -> tuple[int, int]:
        for names in NEIGHBOURS:
            for number, name in enumerate(names):
                if entry.name.endswith(f".{name}.weight"):
                    others = (f"{entry.name.removesuffix(f'{name}.weight')}{other}.weight" for other in names)
                    return min(places[other] for other in others if other in places), number
        return places[entry.name], 0

    return sorted(chosen, key=place)


def load(
    path: Path | str,
    cache: Path | str | bool = True,
    packings: Mapping[str, str] | None = None,
    verify: bool = False,
    progress: Progress | None = None,
) -> Weights:
    """The weights of a GGUF file.

    cache: the folder of packed files; True is this user's cache folder, False packs into memory each time. packings: by format, where not
    the usual one, as `{"Q4_1": "q4_1x16"}`. verify: whether to compare the digests of what is mapped, which reads all of it. The table of
    embeddings, `token_embd.weight`, is packed only where it is the output's too. Raises FormatError for a file that is not as GGUF asks,
    and OSError.
    """
    if packings is not None and not isinstance(packings, Mapping):
        raise TypeError(f"packings are given by format, as {{'Q4_1': 'q4_1x16'}}, not as {packings!r}")
    file = GgufFile(path)
    chosen = {name: get_packing(name, (packings or {}).get(name)).name for name in FORMATS}
    unknown = [name for name in packings or {} if name not in FORMATS]
    if unknown:
        raise FormatError(f"no such format of weights: {unknown[0]!r}; there are {', '.join(FORMATS)}")
    wanted = to_be_packed(file)

    def packed() -> Iterator[tuple[str, Packed]]:
        for entry in wanted:
            if progress is not None:
                progress(entry.name)
            yield entry.name, pack(file.raw(entry.name), entry.type, entry.shape, chosen[entry.type])

    if cache is False:
        return Weights(file, dict(packed()), None)
    source = _source(file, {entry.type: chosen[entry.type] for entry in wanted})
    folder = cache_dir() / "packed" if cache is True else Path(cache)
    name = hashlib.sha256(f"{source['path']} {sorted(source['packings'].items())}".encode()).hexdigest()[:20]
    stored = folder / f"{file.path.stem[:40]}-{name}.packed"
    found = _found(stored, source, verify)
    if found is None:
        with locked(folder):
            found = _found(stored, source, verify)
            if found is None:
                store.write(stored, packed(), source)
                _, found = store.read(stored)
    return Weights(file, found, stored)


def _source(file: GgufFile, packings: Mapping[str, str]) -> dict[str, Any]:
    """What tells whether packed weights are those of a file: its path, size, time of change, and all that is in front of its data."""
    status = file.status
    header = hashlib.sha256(memoryview(file.bytes[: file.header_size].numpy())).hexdigest()
    identity = {"path": str(file.path.resolve()), "size": status.st_size, "changed": status.st_mtime_ns, "header": header}
    return {**identity, "packings": dict(packings)}


def _found(stored: Path, source: Mapping[str, Any], verify: bool) -> dict[str, Packed] | None:
    """The packed weights in a file, where it is this user's or root's, whole, and of that source."""
    try:
        if folders.distrust(stored.parent) or folders.distrust(stored):
            return None
        kept, tensors = store.read(stored, verify)
        return tensors if kept == source else None
    except (OSError, FormatError):
        return None
