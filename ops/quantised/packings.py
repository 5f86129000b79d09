"""How packed weights lie in memory: what SpacemiT's matrix instructions load, in the order in which they load it.

The rows of a matrix (N, K), which are the columns of the product, are taken by 16, with zeros behind the last. Of each 16 rows, block of K
follows block of K. A packed block has, of its 16 columns,

- the head: 16 float16 scales, then 16 float16 minima where the format has them;
- for each group of weights that share a scale: 16 bytes of scales and 16 of minima where the format has such, then the integers.

Integers of up to 4 bits lie by 16 steps of K in 128 bytes: column i has bytes 8i to 8i + 7, and byte j is `w[j] | w[j + 8] << 4`. They
count from 0: for Q4_0 that is 8 more than the weight's integer, for Q3_K 4. 32 bytes, `& 15` and `>> 4`, are two tiles of 4 columns by 8
steps. Other integers are bytes, with their sign, by 8 steps of K in 128 bytes, column i again in bytes 8i to 8i + 7: 32 bytes are one such
tile. Q3_K may lie so too, as Q6_K does: that is fewer instructions and twice the memory.

The packing `q4_0x16` is GGML's `block_q4_0x16`, and `q4_1x16` its `block_q4_1x16`, in which a byte for each column, the zero point
`clamp(round(-minimum / scale), 0, 15)`, stands for the minimum: it loses what the rounding takes away, and is there to compare with GGML.
"""

from dataclasses import dataclass

import torch

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import FORMATS, Format, Parts, Values, get_format, join, spread, values_of

COLUMNS = 16


@dataclass(frozen=True)
class Packing:
    """The layout of packed blocks of a format.

    groups, group: groups of a packed block, and steps of K of each. minima: where minima are: "float16" and "zero point" in the head, ""
    nowhere. factors: bytes of each column in front of a group's integers: its scale, or scale and minimum. nibbles: 4 bits an integer.
    exact: whether the raw blocks can be had again, byte for byte.
    """

    name: str
    form: Format
    groups: int
    group: int
    minima: str
    factors: int
    nibbles: bool
    exact: bool = True

    @property
    def has_minima(self) -> bool:
        """Whether minima are exact, as numbers in the head."""
        return self.minima == "float16"

    @property
    def offset(self) -> int:
        """How much larger the packed integers are than those that they stand for."""
        return -self.form.least if self.nibbles else 0

    @property
    def sign(self) -> float:
        """What minima are multiplied with before they are added: of super-blocks they are taken away. 0 where there are none."""
        return 0.0 if not self.has_minima else -1.0 if self.factors else 1.0

    @property
    def steps(self) -> int:
        """Steps of K of a packed block."""
        return self.groups * self.group

    @property
    def head(self) -> int:
        """Bytes in front of the first group."""
        return COLUMNS * (2 + {"float16": 2, "zero point": 1, "": 0}[self.minima])

    @property
    def group_size(self) -> int:
        """Bytes of a group, factors and integers."""
        return COLUMNS * (self.factors + self.group // (2 if self.nibbles else 1))

    @property
    def size(self) -> int:
        """Bytes of a packed block."""
        return self.head + self.groups * self.group_size

    def shape(self, rows: int, steps: int) -> tuple[int, int, int]:
        """The shape of the packed bytes of a matrix: groups of 16 rows, blocks, bytes of a block."""
        return -(-rows // COLUMNS), steps // self.steps, self.size


def _exact(name: str, form: Format, nibbles: bool = False) -> Packing:
    with_minima = form.name in ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K")
    factors = 0 if form.groups == 1 else 2 if with_minima else 1
    return Packing(name, form, form.groups, form.group, "float16" if with_minima else "", factors, nibbles)


def _rounded(name: str, form: Format) -> Packing:
    return Packing(name, form, 1, 32, "zero point", 0, True, exact=False)


#: Packings by format and name; the first of a format is what `pack` takes. Q5_0 and Q8_0 lie alike: one kernel serves both.
PACKINGS: dict[str, dict[str, Packing]] = {
    name: {packing.name: packing for packing in row}
    for name, row in {
        "Q4_0": [_exact("q4_0x16", FORMATS["Q4_0"], True)],
        "Q4_1": [
            _exact("q4_1_exact_x16", FORMATS["Q4_1"], True),
            _rounded("q4_1x16", FORMATS["Q4_1"]),
        ],
        "Q5_0": [_exact("q8_0x16", FORMATS["Q5_0"])],
        "Q5_1": [_exact("q8_1_exact_x16", FORMATS["Q5_1"])],
        "Q8_0": [_exact("q8_0x16", FORMATS["Q8_0"])],
        "Q2_K": [_exact("q2_k_exact_x16", FORMATS["Q2_K"], True)],
        "Q3_K": [_exact("q3_k_exact_x16", FORMATS["Q3_K"], True), _exact("q6_k_exact_x16", FORMATS["Q3_K"])],
        "Q4_K": [
            _exact("q4_k_exact_x16", FORMATS["Q4_K"], True),
            _rounded("q4_1x16", FORMATS["Q4_K"]),
        ],
        "Q5_K": [_exact("q5_k_exact_x16", FORMATS["Q5_K"])],
        "Q6_K": [_exact("q6_k_exact_x16", FORMATS["Q6_K"])],
    }.items()
}


def get_packing(format_name: str, name: str | None = None) -> Packing:
    """The packing of a format by its name, or the usual one. Raises FormatError where there is none."""
    known = PACKINGS[get_format(format_name).name]
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise FormatError(f"{format_name} has no packing {name!r}; it has {', '.join(known)}")
    return known[name]


def _with_zero_points(packing: Packing, parts: Parts) -> tuple[Parts, torch.Tensor]:
    """Blocks of 32 with one float16 scale each, and their zero points, as GGML makes them of Q4_1 and Q4_K.

    Its products of float32 are rounded to float16 before the zero point is computed of them; where a scale is 0, the zero point is 15 for
    minima below 0, and else 0.
    """
    values = values_of(packing.form, parts)
    assert values.minima is not None
    scale, minimum = (each.half().flatten(-2) for each in (values.scales, values.minima))
    zero_points = (-(minimum.float() / scale.float()).round()).nan_to_num(0.0, 15.0, 0.0).clamp(0, 15).to(torch.uint8)
    return Parts(values.integers.flatten(-3, -2), scale), zero_points


def pack_rows(packing: Packing, raw: torch.Tensor, out: torch.Tensor) -> None:
    """Raw blocks (rows, blocks, bytes), where rows are a multiple of 16, into `out`, (rows / 16, packed blocks, packing.size)."""
    parts = packing.form.read(raw)
    zero_points = None
    if not packing.exact:
        parts, zero_points = _with_zero_points(packing, parts)
    out[..., :32].view(torch.float16).copy_(_columns(parts.scale))
    if zero_points is not None:
        out[..., 32:48].copy_(_columns(zero_points))
    elif parts.minimum is not None:
        out[..., 32:64].view(torch.float16).copy_(_columns(parts.minimum))
    groups = out[..., packing.head :].unflatten(-1, (packing.groups, packing.group_size))
    for place, factor in enumerate(each for each in (parts.scales, parts.minima) if each is not None):
        groups[..., place * COLUMNS : (place + 1) * COLUMNS].copy_(_columns(factor.view(torch.uint8)))
    if packing.nibbles:
        words = join((parts.integers - packing.form.least).view(torch.uint8), 4, 8)  # (rows, blocks, halves of 16 steps by 8)
    else:
        words = parts.integers.contiguous()
    _words(packing, groups).copy_(_columns(words.view(torch.int64).unflatten(-1, (packing.groups, -1))))


def unpack_rows(packing: Packing, packed: torch.Tensor) -> Parts:
    """The fields of the blocks that `pack_rows` packed, (rows, blocks, ..). Those of a packing that is not exact have no minimum."""
    groups = packed[..., packing.head :].unflatten(-1, (packing.groups, packing.group_size))
    integers = _rows(_words(packing, groups)).flatten(-2).view(torch.int8)
    if packing.nibbles:
        integers = spread(integers.view(torch.uint8), 4, 8).view(torch.int8).add_(packing.form.least)
    minimum = _rows(packed[..., 32:64].view(torch.float16)) if packing.has_minima else None
    factors = [_rows(groups[..., place * COLUMNS : (place + 1) * COLUMNS]) for place in range(packing.factors)]
    scales, minima = (*factors, None, None)[:2]
    if scales is not None and packing.factors == 1:
        scales = scales.view(torch.int8)
    return Parts(integers, _rows(packed[..., :32].view(torch.float16)), minimum, scales, minima)


def values_of_packed(packing: Packing, packed: torch.Tensor) -> Values:
    """What packed blocks stand for."""
    parts = unpack_rows(packing, packed)
    if packing.exact:
        return values_of(packing.form, parts)
    zero_points = _rows(packed[..., 32:48])
    integers = (parts.integers - zero_points.view(torch.int8).unsqueeze(-1)).unsqueeze(-2)
    return Values(integers, parts.scale.float().unsqueeze(-1), None)


def _columns(rows: torch.Tensor) -> torch.Tensor:
    """(rows, blocks, ..) to (rows / 16, blocks, .., 16): the 16 columns of a packed block side by side."""
    return rows.unflatten(0, (-1, COLUMNS)).movedim(1, -1)


def _rows(columns: torch.Tensor) -> torch.Tensor:
    """What `_columns` undoes, contiguous."""
    return columns.movedim(-1, 1).flatten(0, 1).contiguous()


def _words(packing: Packing, groups: torch.Tensor) -> torch.Tensor:
    """The integers of packed blocks as words of 8 bytes of one column: (rows / 16, blocks, groups, words of a column, 16)."""
    integers = groups[..., packing.factors * COLUMNS :].view(torch.int64)
    return integers.unflatten(-1, (-1, COLUMNS))
