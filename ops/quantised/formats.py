"""GGML's block formats: what the bytes of a block mean, and back, exactly.

A row of weights is cut into blocks of 32 or 256. A block has integers of a few bits, a float16 scale, perhaps a float16 minimum, and, where
it is of 256, small integers by which these are multiplied for each group of 16 or 32 weights. The weight of the integer q is

    scale * scales[group] * q + minimum                       Q4_1, Q5_1
    scale * scales[group] * q - minimum * minima[group]       Q2_K, Q4_K, Q5_K

with 1 for the `scales` that a format lacks, and no second term where it has no minimum. Products of a scale and its factor are exact in
float32: 11 bits by 8 at most. Fields and their order are those of ggml-common.h of GGML.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from triton_spacemit.ops.quantised.errors import FormatError


@dataclass(frozen=True)
class Parts:
    """The fields of blocks; `..` are the dimensions of the blocks.

    integers: (.., weights) int8. scale, minimum: (..) float16, the bits of the file, NaNs too. scales, minima: (.., groups) uint8, or int8
    for scales that have a sign.
    """

    integers: torch.Tensor
    scale: torch.Tensor
    minimum: torch.Tensor | None = None
    scales: torch.Tensor | None = None
    minima: torch.Tensor | None = None


@dataclass(frozen=True)
class Format:
    """One of GGML's types of blocks.

    number: GGML's, as files have it. weights, size: weights and bytes of a block. groups: parts of a block with scales of their own. least,
    most: of its integers. read, write: (.., size) uint8 to its parts, and back, the same bytes.
    """

    name: str
    number: int
    weights: int
    size: int
    groups: int
    least: int
    most: int
    read: Callable[[torch.Tensor], Parts]
    write: Callable[[Parts], torch.Tensor]

    @property
    def group(self) -> int:
        """How many weights share a scale."""
        return self.weights // self.groups

    def bytes_of(self, weights: int) -> int:
        """The bytes of a row of so many weights. Raises FormatError where they are no whole blocks."""
        if weights % self.weights:
            raise FormatError(f"{self.name} has blocks of {self.weights} weights: a row of {weights} is not whole blocks")
        return weights // self.weights * self.size


def spread(packed: torch.Tensor, bits: int, run: int) -> torch.Tensor:
    """(.., n) uint8 to (.., n * 8 / bits): the low bits of `run` bytes, then their next bits, and so on; then the next `run` bytes."""
    words = _words(packed, run)
    out = words.new_empty(*words.shape[:-1], 8 // bits, words.shape[-1])
    mask = _each_byte((1 << bits) - 1, words.dtype)
    for place in range(8 // bits):
        torch.bitwise_and(words >> place * bits, mask, out=out[..., place, :])
    return out.view(torch.uint8).flatten(-3)


def join(values: torch.Tensor, bits: int, run: int) -> torch.Tensor:
    """What `spread` undoes: (.., n) uint8, each below 2 ** bits, to (.., n * bits / 8)."""
    words = _words(values, run).unflatten(-2, (-1, 8 // bits))
    joined = words[..., 0, :].clone()
    for place in range(1, 8 // bits):
        joined |= words[..., place, :] << place * bits
    return joined.view(torch.uint8).flatten(-2)


def _words(packed: torch.Tensor, run: int) -> torch.Tensor:
    """(.., n) uint8 by runs of bytes, (.., n / run, run), of which eight are one integer where they can be: that is five times as fast."""
    runs = packed.unflatten(-1, (-1, run))
    return runs if run % 8 else runs.clone(memory_format=torch.contiguous_format).view(torch.int64)


def _each_byte(value: int, dtype: torch.dtype) -> int:
    """An integer of a dtype, each byte of which is `value`, below 128."""
    return int.from_bytes(bytes([value] * dtype.itemsize), "little")


def _half(blocks: torch.Tensor, start: int) -> torch.Tensor:
    """The float16 at byte `start` of each block."""
    return blocks[..., start : start + 2].clone(memory_format=torch.contiguous_format).view(torch.float16).squeeze(-1)


def _bytes(half: torch.Tensor | None) -> torch.Tensor:
    assert half is not None
    return half.contiguous().unsqueeze(-1).view(torch.uint8)


def _signed(values: torch.Tensor, zero: int) -> torch.Tensor:
    """Unsigned integers of fewer than 8 bits less `zero`."""
    return values.view(torch.int8).sub_(zero)


def _unsigned(integers: torch.Tensor, zero: int) -> torch.Tensor:
    return (integers + zero).view(torch.uint8)


def _small(name: str, number: int, bits: int, zero: int) -> Format:
    """Q4_0, Q4_1, Q5_0, Q5_1: 32 weights. Scale, minimum where `zero` is 0, the fifth bits, the lower four."""
    head = 2 if zero else 4
    start = head + (4 if bits == 5 else 0)

    def read(blocks: torch.Tensor) -> Parts:
        integers = spread(blocks[..., start:], 4, 16)
        if bits == 5:
            integers |= spread(blocks[..., head:start], 1, 1) << 4
        return Parts(_signed(integers, zero), _half(blocks, 0), None if zero else _half(blocks, 2))

    def write(parts: Parts) -> torch.Tensor:
        integers = _unsigned(parts.integers, zero)
        fields = [_bytes(parts.scale)] + ([] if zero else [_bytes(parts.minimum)])
        if bits == 5:
            fields.append(join(integers >> 4, 1, 1))
        return torch.cat([*fields, join(integers & 15, 4, 16)], -1)

    return Format(name, number, 32, start + 16, 1, -zero, (1 << bits) - 1 - zero, read, write)


def _read_q8_0(blocks: torch.Tensor) -> Parts:
    return Parts(blocks[..., 2:].view(torch.int8), _half(blocks, 0))


def _write_q8_0(parts: Parts) -> torch.Tensor:
    return torch.cat([_bytes(parts.scale), parts.integers.view(torch.uint8)], -1)


def _read_scales_and_minima(packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """12 bytes of Q4_K and Q5_K: eight scales and eight minima of 6 bits. The upper bits of the last four lie above those of the first."""
    scale, minimum, rest = packed.unflatten(-1, (3, 4)).unbind(-2)
    scales = torch.cat([scale & 63, (rest & 15) | (scale >> 2 & 48)], -1)
    return scales, torch.cat([minimum & 63, (rest >> 4) | (minimum >> 2 & 48)], -1)


def _write_scales_and_minima(scales: torch.Tensor, minima: torch.Tensor) -> torch.Tensor:
    first, last = scales.chunk(2, -1)
    first_minima, last_minima = minima.chunk(2, -1)
    upper = (first | (last & 48) << 2, first_minima | (last_minima & 48) << 2)
    return torch.cat([*upper, (last & 15) | (last_minima & 15) << 4], -1)


def _large_with_minima(name: str, number: int, bits: int) -> Format:
    """Q4_K, Q5_K: 8 groups of 32. Scale, minimum, their factors, the fifth bits, the lower four."""
    start = 16 if bits == 4 else 48

    def read(blocks: torch.Tensor) -> Parts:
        integers = spread(blocks[..., start:], 4, 32)
        if bits == 5:
            integers |= spread(blocks[..., 16:start], 1, 32) << 4
        return Parts(integers.view(torch.int8), _half(blocks, 0), _half(blocks, 2), *_read_scales_and_minima(blocks[..., 4:16]))

    def write(parts: Parts) -> torch.Tensor:
        assert parts.scales is not None
        assert parts.minima is not None
        integers = parts.integers.view(torch.uint8)
        fields = [_bytes(parts.scale), _bytes(parts.minimum), _write_scales_and_minima(parts.scales, parts.minima)]
        if bits == 5:
            fields.append(join(integers >> 4, 1, 32))
        return torch.cat([*fields, join(integers & 15, 4, 32)], -1)

    return Format(name, number, 256, start + 128, 8, 0, (1 << bits) - 1, read, write)


def _read_q2_k(blocks: torch.Tensor) -> Parts:
    factors = blocks[..., :16]
    return Parts(spread(blocks[..., 16:80], 2, 32).view(torch.int8), _half(blocks, 80), _half(blocks, 82), factors & 15, factors >> 4)


def _write_q2_k(parts: Parts) -> torch.Tensor:
    assert parts.scales is not None
    assert parts.minima is not None
    integers = join(parts.integers.view(torch.uint8), 2, 32)
    return torch.cat([parts.scales | parts.minima << 4, integers, _bytes(parts.scale), _bytes(parts.minimum)], -1)


def _read_q3_k(blocks: torch.Tensor) -> Parts:
    integers = spread(blocks[..., 32:96], 2, 32) | spread(blocks[..., :32], 1, 32) << 2
    scales = spread(blocks[..., 96:104], 4, 8) | spread(blocks[..., 104:108], 2, 4) << 4
    return Parts(_signed(integers, 4), _half(blocks, 108), scales=_signed(scales, 32))


def _write_q3_k(parts: Parts) -> torch.Tensor:
    assert parts.scales is not None
    integers, scales = _unsigned(parts.integers, 4), _unsigned(parts.scales, 32)
    fields = [join(integers >> 2, 1, 32), join(integers & 3, 2, 32), join(scales & 15, 4, 8), join(scales >> 4, 2, 4)]
    return torch.cat([*fields, _bytes(parts.scale)], -1)


def _read_q6_k(blocks: torch.Tensor) -> Parts:
    integers = spread(blocks[..., :128], 4, 64) | spread(blocks[..., 128:192], 2, 32) << 4
    return Parts(_signed(integers, 32), _half(blocks, 208), scales=blocks[..., 192:208].view(torch.int8))


def _write_q6_k(parts: Parts) -> torch.Tensor:
    assert parts.scales is not None
    integers = _unsigned(parts.integers, 32)
    return torch.cat([join(integers & 15, 4, 64), join(integers >> 4, 2, 32), parts.scales.view(torch.uint8), _bytes(parts.scale)], -1)


#: Every format that can be packed, by its name.
FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        _small("Q4_0", 2, 4, 8),
        _small("Q4_1", 3, 4, 0),
        _small("Q5_0", 6, 5, 16),
        _small("Q5_1", 7, 5, 0),
        Format("Q8_0", 8, 32, 34, 1, -128, 127, _read_q8_0, _write_q8_0),
        Format("Q2_K", 10, 256, 84, 16, 0, 3, _read_q2_k, _write_q2_k),
        Format("Q3_K", 11, 256, 110, 16, -4, 3, _read_q3_k, _write_q3_k),
        _large_with_minima("Q4_K", 12, 4),
        _large_with_minima("Q5_K", 13, 5),
        Format("Q6_K", 14, 256, 210, 16, -32, 31, _read_q6_k, _write_q6_k),
    )
}


def get_format(name: str) -> Format:
    """The format of that name. Raises FormatError where there is none."""
    if not isinstance(name, str) or name not in FORMATS:
        raise FormatError(f"no such format of weights: {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def check_floating(dtype: torch.dtype) -> None:
    """Raises FormatError for a dtype that weights cannot become."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise FormatError(f"weights become floating-point numbers, not {dtype!r}")


@dataclass(frozen=True)
class Values:
    """What blocks stand for: weight = scales * integers + minima, each group of weights with its own.

    integers: (.., groups, group) int8. scales, minima: (.., groups) float32, exact; minima are what is added, None where there are none.
    """

    integers: torch.Tensor
    scales: torch.Tensor
    minima: torch.Tensor | None

    def weights(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The weights, (.., groups * group): in float32 as GGML rounds them, product and sum; in float64 exact."""
        products = self.scales.to(dtype).unsqueeze(-1) * self.integers.to(dtype)
        return (products if self.minima is None else products + self.minima.to(dtype).unsqueeze(-1)).flatten(-2)


def values_of(form: Format, parts: Parts) -> Values:
    """What the fields of blocks stand for."""
    scales = parts.scale.float().unsqueeze(-1)
    minima = None if parts.minimum is None else parts.minimum.float().unsqueeze(-1)
    if parts.scales is not None:
        scales = scales * parts.scales
    if minima is not None and parts.minima is not None:
        minima = -(minima * parts.minima)
    return Values(parts.integers.unflatten(-1, (form.groups, form.group)), scales, minima)


def dequantise(raw_blocks: torch.Tensor, name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(.., bytes) uint8, rows of whole blocks, to (.., weights) of a dtype. Raises FormatError."""
    form = get_format(name)
    check_floating(dtype)
    if not isinstance(raw_blocks, torch.Tensor):
        raise FormatError(f"{name}: rows of blocks are a tensor of bytes, not a {type(raw_blocks).__name__}")
    if raw_blocks.dtype is not torch.uint8 or not raw_blocks.dim() or raw_blocks.shape[-1] % form.size:
        raise FormatError(f"{name}: rows of blocks of {form.size} bytes are wanted, not {tuple(raw_blocks.shape)} of {raw_blocks.dtype}")
    return values_of(form, form.read(raw_blocks.unflatten(-1, (-1, form.size)))).weights(dtype).flatten(-2)
