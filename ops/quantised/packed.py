"""Packed weights: GGML's blocks in the order that kernels load them, in a tensor that knows what it is.

```python
packed = pack(raw_blocks, "Q4_0", (4096, 11008))
packed.format, packed.packing.name, tuple(packed.shape)     # Q4_0, q4_0x16, (4096, 11008)
```

`Packed` is a tensor so that modules keep it as a buffer, move it with their other tensors and put it into their state. Its own operations
are those that keep what it is: a copy, a comparison, loading a state. All else raises MisreadError: its bytes are no numbers that PyTorch
could add. Kernels take `packed.bytes_as(name)`, which raises where the weights lie in another way.
"""

import hashlib
import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from triton_spacemit.ops.quantised.errors import FormatError, MisreadError
from triton_spacemit.ops.quantised.formats import check_floating
from triton_spacemit.ops.quantised.packings import COLUMNS, Packing, get_packing, pack_rows, unpack_rows, values_of_packed

_AT_ONCE = 1 << 20  # weights that are packed, or unpacked, at once: what they become on the way fits into the caches
_aten = torch.ops.aten


class Packed(torch.Tensor):
    """Weights (N, K), or (experts, N, K), packed.

    format: the name of GGML's format. packing: how they lie in memory. bytes: that memory, uint8, (N / 16 rounded up, K / packing.steps,
    packing.size), with a dimension of experts in front where there are any.
    """

    format: str
    packing: Packing
    bytes: torch.Tensor

    @staticmethod
    def __new__(cls, bytes: torch.Tensor, packing: Packing, shape: Sequence[int]) -> "Packed":  # as the attribute is called
        """Raises FormatError where `bytes` are not those of packed weights of that shape."""
        expected = packed_shape(packing, shape)
        if bytes.dtype is not torch.uint8 or tuple(bytes.shape) != expected or not bytes.is_cpu or not bytes.is_contiguous():
            raise FormatError(
                f"packed weights {_sizes(shape)} of {packing.form.name} in the packing {packing.name} are contiguous bytes"
                f" {_sizes(expected)} on the CPU, not {_sizes(bytes.shape)} of {bytes.dtype} on {bytes.device}"
            )
        # PyTorch has no arithmetic on `bits8`, does not export it, and leaves it alone where a module's numbers get another dtype.
        packed = torch.Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=torch.bits8, device="cpu")
        vars(packed).update(format=packing.form.name, packing=packing, bytes=bytes)
        return packed

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises MisreadError for what the packed weights are: they would be read as others."""
        if name in ("format", "packing", "bytes", "data"):
            raise MisreadError(f"{self._description()}: their {name} cannot be replaced; copy_() takes other weights of the same kind")
        super().__setattr__(name, value)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = _ANSWERS.get(function)
        result = NotImplemented if answer is None else answer(*args, **(kwargs or {}))
        if result is NotImplemented:
            packed = next(each for each in tree_leaves((args, kwargs)) if isinstance(each, Packed))
            what = f"{function} of {packed._description()}"
            raise MisreadError(
                f"{what}: packed weights are no ordinary tensor; quantised.linear() multiplies by them, dequantise() makes one"
            )
        return result

    def _description(self) -> str:
        return f"weights {_sizes(self.shape)} of {self.format}, packed as {self.packing.name}"

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"<{self._description()}>"

    @property
    def nbytes(self) -> int:
        """The bytes that the weights take."""
        return self.bytes.numel()

    def data_ptr(self) -> int:
        """Raises MisreadError: the address of the weights is that of `bytes`."""
        raise MisreadError(f"{self._description()}, have no address: packed weights are no ordinary tensor; bytes_as() gives their memory")

    def share_memory_(self) -> "Packed":
        """Move the bytes to memory that other processes can share, as modules ask for."""
        self.bytes.share_memory_()
        return self

    def is_shared(self) -> bool:
        """Whether other processes can share the bytes."""
        return self.bytes.is_shared()

    def bytes_as(self, packing: str) -> torch.Tensor:
        """The bytes, for a kernel that takes this packing. Raises MisreadError where it is another one."""
        if self.packing.name != packing:
            raise MisreadError(f"{self._description()} were to be read as {packing}")
        return self.bytes

    def expert(self, number: int) -> "Packed":
        """The weights (N, K) of one expert, in the same memory. Raises IndexError where there is none of that number."""
        if self.dim() != 3 or not 0 <= number < self.shape[0]:
            raise IndexError(f"{self._description()}: there is no expert {number}")
        return Packed(self.bytes[number], self.packing, self.shape[1:])

    def rows(self, start: int, stop: int) -> "Packed":
        """Rows of weights (N, K), in the same memory: `start` a multiple of 16, `stop` too unless it is N. Raises FormatError."""
        last = self.shape[-2]
        if self.dim() != 2 or not 0 <= start <= stop <= last or start % COLUMNS or (stop % COLUMNS and stop != last):
            raise FormatError(f"{self._description()}: rows {start} to {stop} are not whole groups of {COLUMNS}")
        groups = self.bytes[start // COLUMNS : -(-stop // COLUMNS)]
        return Packed(groups, self.packing, (stop - start, self.shape[-1]))

    @staticmethod
    def joined(parts: "Sequence[Packed]") -> "Packed":
        """Matrices of one packing and K as one, their rows one behind the other: in the same memory where they are neighbours there, else a
        copy.

        Raises FormatError where they differ, or rows of one that is not the last are no multiple of 16.
        """
        first, *others = parts
        rows = [part.shape[-2] for part in parts]
        alike = all(part.packing == first.packing and part.dim() == 2 and part.shape[1] == first.shape[1] for part in parts)
        if not alike or any(count % COLUMNS for count in rows[:-1]):
            raise FormatError(f"not one matrix: {', '.join(part._description() for part in parts)}")
        ends = [part.bytes.data_ptr() + part.nbytes for part in parts]
        storage = first.bytes.untyped_storage().data_ptr()
        near = all(
            part.bytes.data_ptr() == end and part.bytes.untyped_storage().data_ptr() == storage
            for part, end in zip(others, ends, strict=False)
        )
        shape = first.packing.shape(sum(rows), first.shape[1])
        memory = first.bytes.as_strided(shape, first.bytes.stride()) if near else torch.cat([part.bytes for part in parts])
        return Packed(memory, first.packing, (sum(rows), first.shape[1]))

    def unpack(self) -> torch.Tensor:
        """GGML's raw blocks, byte for byte: uint8, (N, bytes of a row). Raises FormatError for a packing that is not exact."""
        if not self.packing.exact:
            raise FormatError(f"{self._description()}: its minima were rounded, so the raw blocks cannot be had again")
        form = self.packing.form
        return self._by_rows(lambda part: form.write(unpack_rows(self.packing, part)), torch.uint8)

    def dequantise(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The weights as an ordinary tensor of the same shape: in float32 as GGML rounds them, in float64 exact. Raises FormatError for a
        dtype that is not floating."""
        check_floating(dtype)
        return self._by_rows(lambda part: values_of_packed(self.packing, part).weights(dtype), dtype)

    def _by_rows(self, function: Any, dtype: torch.dtype) -> torch.Tensor:
        """`function` of groups of rows, one behind the other, without the rows that fill up the last group."""
        *experts, rows, steps = self.shape
        groups = self.bytes.reshape(-1, *self.bytes.shape[-2:])
        width = self.packing.form.bytes_of(steps) if dtype is torch.uint8 else steps
        out = torch.empty(len(groups) * COLUMNS, width, dtype=dtype)
        for start, stop in _pieces(len(groups), steps):
            out[start * COLUMNS : stop * COLUMNS] = function(groups[start:stop]).flatten(1)
        return out.view(*experts, -1, width)[..., :rows, :].contiguous()

    def digest(self) -> str:
        """SHA-256 of the packed bytes, in hexadecimal."""
        return hashlib.sha256(memoryview(self.bytes.numpy()).cast("B") if self.nbytes else b"").hexdigest()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Packed":
        return memo.setdefault(id(self), self.clone())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return restored, (self.bytes, self.format, self.packing.name, tuple(self.shape))

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return ["bytes"], (self.packing, tuple(self.shape))

    @staticmethod
    def __tensor_unflatten__(tensors: dict[str, torch.Tensor], description: Any, size: Any, stride: Any) -> "Packed":
        return Packed(tensors["bytes"], *description)


def restored(bytes: torch.Tensor, format_name: str, packing: str, shape: tuple[int, ...]) -> Packed:
    """Packed weights out of a file: what `torch.load` calls. Raises FormatError where its parts do not fit each other."""
    return Packed(bytes, get_packing(format_name, packing), shape)


torch.serialization.add_safe_globals([restored])


def pack(raw_blocks: torch.Tensor, format_name: str, shape: Sequence[int], packing: str | None = None) -> Packed:
    """GGML's blocks of weights (N, K), or (experts, N, K), packed.

    raw_blocks: uint8, as a GGUF file has them, of any shape with so many bytes. packing: of `packings.PACKINGS`; None is the exact one. K
    is a multiple of the format's block; N may be any. Raises FormatError for other formats, shapes and numbers of bytes.
    """
    chosen = get_packing(format_name, packing)
    form, shape = chosen.form, _checked(shape)
    target_shape = packed_shape(chosen, shape)
    *experts, rows, steps = shape
    if not isinstance(raw_blocks, torch.Tensor):
        raise FormatError(f"raw blocks are a tensor of bytes, not a {type(raw_blocks).__name__}")
    size = math.prod(experts) * rows * form.bytes_of(steps)
    if raw_blocks.dtype is not torch.uint8 or not raw_blocks.is_cpu or raw_blocks.numel() != size:
        raise FormatError(
            f"weights {_sizes(shape)} of {form.name} are {size} bytes on the CPU, not {raw_blocks.numel()} of {raw_blocks.dtype} on"
            f" {raw_blocks.device}"
        )
    out = torch.empty(target_shape, dtype=torch.uint8)
    blocks = raw_blocks.contiguous().view(-1, rows, steps // form.weights, form.size)
    for source, target in zip(blocks, out.view(-1, *out.shape[-3:]), strict=True):
        for start, stop in _pieces(len(target), steps):
            part = source[start * COLUMNS : stop * COLUMNS]
            missing = (stop - start) * COLUMNS - len(part)
            if missing:  # a block of zeros stands for zeros, whatever the format
                part = torch.cat([part, part.new_zeros(missing, *part.shape[1:])])
            pack_rows(chosen, part, target[start:stop])
    return Packed(out, chosen, shape)


def _pieces(groups: int, steps: int) -> list[tuple[int, int]]:
    """Groups of 16 rows, as many at once as `_AT_ONCE` weights."""
    count = max(_AT_ONCE // (COLUMNS * max(steps, 1)), 1)
    return [(start, min(start + count, groups)) for start in range(0, groups, count)]


def packed_shape(packing: Packing, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of packed bytes. Raises FormatError where weights cannot have the shape."""
    shape = _checked(shape)
    packing.form.bytes_of(shape[-1])
    return (*shape[:-2], *packing.shape(shape[-2], shape[-1]))


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of weights, NumPy's integers among them, as Python's. Raises FormatError where it cannot be one."""
    try:
        sizes = tuple(map(operator.index, shape))
    except TypeError:
        sizes = ()
    if not 2 <= len(sizes) <= 3 or min(sizes) < 1:
        raise FormatError(f"packed weights are (N, K) or (experts, N, K), with nothing empty; not {shape!r}")
    return sizes


def _sizes(shape: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _same_kind(one: Any, other: Any) -> bool:
    return isinstance(one, Packed) and isinstance(other, Packed) and one.packing == other.packing and one.shape == other.shape


def _view(packed: Packed) -> Packed:
    return Packed(packed.bytes, packed.packing, packed.shape)


def _clone(packed: Packed, *, memory_format: Any = None) -> Packed:
    return Packed(packed.bytes.clone(), packed.packing, packed.shape)


def _to_copy(packed: Packed, *, dtype: Any = None, device: Any = None, **others: Any) -> Any:
    if dtype not in (None, torch.bits8) or torch.device(device or "cpu").type != "cpu":
        wanted = f"{dtype or torch.bits8} on {device or 'cpu'}"
        raise MisreadError(
            f"{packed._description()}, cannot become {wanted}: packed weights are bytes on the CPU; dequantise() makes numbers"
        )
    return _clone(packed)


def _copy(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if not _same_kind(target, source):
        return NotImplemented
    target.bytes.copy_(source.bytes)
    return target


def _equal(one: Any, other: Any) -> Any:
    return torch.equal(one.bytes, other.bytes) if _same_kind(one, other) else NotImplemented


#: What PyTorch may ask of packed weights.
_ANSWERS: dict[Any, Any] = {
    _aten.detach.default: _view,
    _aten.alias.default: _view,
    _aten.clone.default: _clone,
    _aten._to_copy.default: _to_copy,
    _aten.copy_.default: _copy,
    _aten.equal.default: _equal,
}
