"""The two kernels of all element-wise operators, and their launches.

Both take the operator's function as a constant, and its operands in slots: tensors `a`, `b`, `c`, floating-point numbers `x`, `y`, `z`,
whole numbers `i`, `j`, `k`. Which slot is which operand is a constant as well.

An operand is converted to the common dtype of the operator, then to the one that is computed in (float32 for float16 and bfloat16), where
the function is applied; its value goes through the common dtype into that of the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import active_index
from triton_spacemit.ops.elementwise.layout import RANK, Layout
from triton_spacemit.ops.launching import first_launch, launch

#: Elements of a program by the least number of elements: few programs where they have much to do, several for each thread where not.
_FLAT_BLOCKS = ((1 << 19, 65536), (0, 8192))
#: Rows and columns of a tile by the least extent of its columns. Tiles are wide where rows are long.
_TILES = ((256, 16, 1024), (32, 64, 128), (12, 256, 32), (1, 1024, 8))
_SQUARE = (64, 64)  # where some tensor lies in order along the rows, and another along the columns
_ABSENT = ((None, None, None), (None, None), (None,), ())


@triton.jit
def _converted(value, RAW: tl.constexpr, COMMON: tl.constexpr, MATH: tl.constexpr):
    if RAW:
        return value
    else:
        return value.to(COMMON).to(MATH)


@triton.jit
def _load(pointer, place, mask, SINGLE: tl.constexpr, RAW: tl.constexpr, COMMON: tl.constexpr, MATH: tl.constexpr):
    if pointer is None:
        return None
    elif SINGLE:
        return _converted(tl.load(pointer), RAW, COMMON, MATH)
    else:
        return _converted(tl.load(pointer + place, mask, other=1), RAW, COMMON, MATH)


@triton.jit
def _slot(SLOT: tl.constexpr, a, b, c, x, y, z, i, j, k, COMMON: tl.constexpr, MATH: tl.constexpr):
    """An operand. A number in a slot of capital letter is rounded to the common dtype first, as a tensor would be."""
    if SLOT == "a":
        return a
    elif SLOT == "b":
        return b
    elif SLOT == "c":
        return c
    elif SLOT == "x":
        return x.to(MATH)
    elif SLOT == "y":
        return y.to(MATH)
    elif SLOT == "z":
        return z.to(MATH)
    elif SLOT == "i":
        return i.to(MATH)
    elif SLOT == "j":
        return j.to(MATH)
    elif SLOT == "k":
        return k.to(MATH)
    elif SLOT == "X":
        return x.to(COMMON).to(MATH)
    elif SLOT == "Y":
        return y.to(COMMON).to(MATH)
    elif SLOT == "Z":
        return z.to(COMMON).to(MATH)
    elif SLOT == "I":
        return i.to(COMMON).to(MATH)
    elif SLOT == "J":
        return j.to(COMMON).to(MATH)
    else:
        return k.to(COMMON).to(MATH)


@triton.jit
def _apply(
    FUNCTION: tl.constexpr,
    SLOTS: tl.constexpr,
    a,
    b,
    c,
    x,
    y,
    z,
    i,
    j,
    k,
    COMMON: tl.constexpr,
    MATH: tl.constexpr,
):
    operands = ()
    for place in tl.static_range(len(SLOTS)):
        operands = operands + (_slot(SLOTS[place], a, b, c, x, y, z, i, j, k, COMMON, MATH),)  # type: ignore[assignment]
    return FUNCTION(*operands)


@triton.jit
def _store(pointer, value, mask, COMMON: tl.constexpr):
    """Through the common dtype; truth values as they are."""
    if value.dtype != tl.int1:
        value = value.to(COMMON)
    tl.store(pointer, value.to(pointer.dtype.element_ty), mask)


_LOOSE = ("n", "i", "j", "k")  # no kernel of its own for 1 and multiples of 16
_ADDRESSES = ("out", "a", "b", "c")


@triton.jit(do_not_specialize=_LOOSE, do_not_specialize_on_alignment=_ADDRESSES)
def _flat(
    out,
    a,
    b,
    c,
    x: tl.float64,
    y: tl.float64,
    z: tl.float64,
    i: tl.int64,
    j: tl.int64,
    k: tl.int64,
    n: tl.int64,
    FUNCTION: tl.constexpr,
    SLOTS: tl.constexpr,
    SINGLE: tl.constexpr,
    RAW: tl.constexpr,
    COMMON: tl.constexpr,
    MATH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Elements that lie in one piece, and operands that are one element."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < n
    va = _load(a, place, mask, SINGLE[0], RAW[0], COMMON, MATH)
    vb = _load(b, place, mask, SINGLE[1], RAW[1], COMMON, MATH)
    vc = _load(c, place, mask, SINGLE[2], RAW[2], COMMON, MATH)
    value = _apply(FUNCTION, SLOTS, va, vb, vc, x, y, z, i, j, k, COMMON, MATH)
    _store(out + place, value, mask, COMMON)


@triton.jit
def _place(i0, i1, i2, i3, s0, s1, s2, s3, ALONG: tl.constexpr):
    """Where the elements of a tile lie. ALONG: the dimension in which their stride is 1; 2 where it is 0 along rows; -1 for any strides."""
    if ALONG == 0:
        return i2 * s2 + i3 * s3 + i0 + i1 * s1
    elif ALONG == 1:
        return i2 * s2 + i3 * s3 + i0 * s0 + i1
    elif ALONG == 2:
        return i2 * s2 + i3 * s3 + i1 * s1
    else:
        return i2 * s2 + i3 * s3 + i0 * s0 + i1 * s1


@triton.jit(
    do_not_specialize=(*_LOOSE, *(f"{name}{d}" for name in ("n", "so", "sa", "sb", "sc") for d in range(RANK))),
    do_not_specialize_on_alignment=_ADDRESSES,
)
def _strided(
    out,
    a,
    b,
    c,
    x: tl.float64,
    y: tl.float64,
    z: tl.float64,
    i: tl.int64,
    j: tl.int64,
    k: tl.int64,
    n0: tl.int64,
    n1: tl.int64,
    n2: tl.int64,
    so0: tl.int64,
    so1: tl.int64,
    so2: tl.int64,
    so3: tl.int64,
    sa0: tl.int64,
    sa1: tl.int64,
    sa2: tl.int64,
    sa3: tl.int64,
    sb0: tl.int64,
    sb1: tl.int64,
    sb2: tl.int64,
    sb3: tl.int64,
    sc0: tl.int64,
    sc1: tl.int64,
    sc2: tl.int64,
    sc3: tl.int64,
    FUNCTION: tl.constexpr,
    SLOTS: tl.constexpr,
    SINGLE: tl.constexpr,
    RAW: tl.constexpr,
    COMMON: tl.constexpr,
    MATH: tl.constexpr,
    ALONG: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Any strides: a tile of the two innermost dimensions a program. ALONG: for the result and each operand, see `_place`."""
    tile = tl.program_id(0).to(tl.int64)
    across, down = tl.cdiv(n0, COLUMNS), tl.cdiv(n1, ROWS)
    i0 = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    rest = tile // across
    i1 = (rest % down) * ROWS + tl.arange(0, ROWS)[:, None]
    rest = rest // down
    i2, i3 = rest % n2, rest // n2
    rows = i1 < n1
    whole = (i0 < n0) & rows
    va = _load(a, _place(i0, i1, i2, i3, sa0, sa1, sa2, sa3, ALONG[1]), rows if ALONG[1] == 2 else whole, SINGLE[0], RAW[0], COMMON, MATH)
    vb = _load(b, _place(i0, i1, i2, i3, sb0, sb1, sb2, sb3, ALONG[2]), rows if ALONG[2] == 2 else whole, SINGLE[1], RAW[1], COMMON, MATH)
    vc = _load(c, _place(i0, i1, i2, i3, sc0, sc1, sc2, sc3, ALONG[3]), rows if ALONG[3] == 2 else whole, SINGLE[2], RAW[2], COMMON, MATH)
    value = _apply(FUNCTION, SLOTS, va, vb, vc, x, y, z, i, j, k, COMMON, MATH)
    if value.type.is_block():
        _store(out + _place(i0, i1, i2, i3, so0, so1, so2, so3, ALONG[0]), value, whole, COMMON)
    else:
        _store(out + _place(i0, i1, i2, i3, so0, so1, so2, so3, ALONG[0]), tl.full((ROWS, COLUMNS), value, value.dtype), whole, COMMON)


@dataclass(frozen=True, slots=True)
class Grid:
    """How a layout is divided: the kernel, its constants, the number of programs, and the sizes and strides that it is given.

    key: the same for layouts that one compiled kernel serves.
    """

    kernel: Any
    key: Any
    constants: dict[str, Any]
    programs: int
    numbers: tuple[int, ...]


def _divide(layout: Layout) -> Grid:
    """Blocks that stay in the cache next to the core, and several of them for each thread where there are many elements."""
    single = (*layout.single, False, False, False)[:3]
    if layout.flat:
        block = next(block for least, block in _FLAT_BLOCKS if layout.elements >= least)
        return Grid(_flat, (single, block), {"SINGLE": single, "BLOCK": block}, -(-layout.elements // block), (layout.elements,))
    padding = (0,) * (RANK - len(layout.sizes))
    n0, n1, n2, n3 = layout.sizes + (1,) * len(padding)
    steps = [own + padding for own in layout.steps]
    steps += [(0,) * RANK] * (4 - len(steps))
    along = tuple(0 if own[0] == 1 else 2 if own[0] == 0 else 1 if own[1] == 1 else -1 for own in steps)
    if 1 in along and min(n0, n1) >= 16:
        rows, columns = _SQUARE
    else:
        rows, columns = next(tile[1:] for tile in _TILES if n0 >= tile[0])
    programs = -(-n0 // columns) * -(-n1 // rows) * n2 * n3
    constants = {"SINGLE": single, "ALONG": along, "ROWS": rows, "COLUMNS": columns}
    return Grid(_strided, tuple(constants.values()), constants, programs, (n0, n1, n2, *(step for own in steps for step in own)))


@dataclass(slots=True)
class Compiled:
    """A function at given dtypes: the kernels of it by device and layout.

    slots: for each operand of the function, see `_slot`. raw: for each tensor, whether it is not converted (conditions). common, math: the
    dtypes of the module's docstring.
    """

    function: Any
    slots: tuple[str, ...]
    raw: tuple[bool, ...]
    common: tl.dtype
    math: tl.dtype
    kernels: dict[Any, Any] = field(default_factory=dict)

    def launch(
        self, layout: Layout, out: torch.Tensor, tensors: Sequence[torch.Tensor], reals: Sequence[float], whole: Sequence[int]
    ) -> None:
        """Compute `out`. reals, whole: three numbers each. The dtypes of all tensors are the same at every launch."""
        if not layout.elements:
            return
        if len(layout.sizes) > RANK:
            self._slices(layout, out, tensors, reals, whole)
            return
        grid = layout.grid
        if grid is None:
            grid = layout.grid = _divide(layout)
        key, arguments = (active_index(), grid.key), (out, *tensors, *_ABSENT[len(tensors)], *reals, *whole, *grid.numbers)
        compiled = self.kernels.get(key)
        if compiled is not None:
            launch(compiled, (grid.programs, 1, 1), arguments)
            return
        constants = {"FUNCTION": self.function, "SLOTS": self.slots, "RAW": (*self.raw, False, False, False)[:3]}
        constants |= {"COMMON": self.common, "MATH": self.math} | grid.constants
        self.kernels[key] = first_launch(grid.kernel, (grid.programs,), arguments, constants)

    def _slices(
        self, layout: Layout, out: torch.Tensor, tensors: Sequence[torch.Tensor], reals: Sequence[float], whole: Sequence[int]
    ) -> None:
        """The outermost dimension in a loop here."""
        *sizes, last = layout.sizes
        views = [tensor.as_strided(layout.sizes, own) for tensor, own in zip((out, *tensors), layout.steps, strict=True)]
        steps = tuple(own[:-1] for own in layout.steps)
        single = tuple(not any(own) for own in steps[1:])
        inner = Layout(tuple(sizes), (), layout.elements // last, False, single, tuple(sizes), steps, layout.dense, False)
        for place in range(last):
            own, *others = (view.select(-1, place) for view in views)
            self.launch(inner, own, others, reals, whole)
