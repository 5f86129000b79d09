"""Kernels of several indices at once: a tensor is (outer, up to four dimensions with an index, inner), and indices are a list of rows."""

import triton
import triton.language as tl

from triton_spacemit.ops.launching import Kernel

MOST = 4  # dimensions with an index

_SIZES = [f"{name}{i}" for name in ("size", "stride") for i in range(MOST)]


@triton.jit
def _one(index, p, inside, size, stride):
    """What an index adds to the place of rows `p`, and whether it is right; those below zero count from the end."""
    i = tl.load(index + p, inside, 0)
    return tl.where(i < 0, i + size, i) * stride, (i >= -size) & (i < size)


@triton.jit
def _places(a, b, c, d, p, inside, size0, size1, size2, size3, stride0, stride1, stride2, stride3):
    """Where rows `p` are, and whether all their indices are right."""
    at, right = _one(a, p, inside, size0, stride0)
    if b is not None:
        more, fits = _one(b, p, inside, size1, stride1)
        at, right = at + more, right & fits
    if c is not None:
        more, fits = _one(c, p, inside, size2, stride2)
        at, right = at + more, right & fits
    if d is not None:
        more, fits = _one(d, p, inside, size3, stride3)
        at, right = at + more, right & fits
    return at, right


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "source_outer", "rows_each"])
def _read_rows(
    source, out, bad, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, source_outer: tl.int64, source_inner, count, inner,
    rows_each, BLOCK: tl.constexpr,
):  # fmt: skip
    """`out`, (outer, count, inner), a row at a time: program (block of columns, rows, outer). Stores 1 to `bad` where an index is wrong."""
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    first = tl.program_id(1) * rows_each
    outer = tl.program_id(2).to(tl.int64)
    for i in range(first, tl.minimum(first + rows_each, count)):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            values = tl.load(source + outer * source_outer + at + columns * source_inner, columns < inner)
            tl.store(out + (outer * count + row) * inner + columns, values, columns < inner)
        else:
            tl.store(bad, 1)


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "source_outer", "source_inner"])
def _read_elements(
    source, out, bad, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, source_outer: tl.int64, source_inner: tl.int64,
    count: tl.int64, inner: tl.int64, SINGLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The same with a block of elements of any rows at a time: program (block, outer). SINGLE: rows are one element each."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    outer = tl.program_id(1).to(tl.int64)
    inside = i < count * inner
    row = i if SINGLE else i // inner
    at, right = _places(a, b, c, d, row, inside, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
    if not SINGLE:
        at += i % inner * source_inner
    values = tl.load(source + outer * source_outer + at, inside & right, 0)
    tl.store(out + outer * count * inner + i, values, inside)
    if tl.max((inside & (right == 0)).to(tl.int32), 0) != 0:
        tl.store(bad, 1)


@triton.jit
def _sum(a, b):
    """Of truth values whether one of them holds."""
    if a.dtype == tl.int1:
        return a | b
    else:
        return a + b


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "out_outer", "value_outer", "value_row"])
def _write_rows(
    out, values, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, out_outer: tl.int64, out_inner,
    value_outer: tl.int64, value_row: tl.int64, value_inner, count, inner, ADD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows of `values` over those of `out`, or added to them, one after the other: program (block of columns, outer)."""
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    outer = tl.program_id(1).to(tl.int64)
    for i in range(0, count):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            value = tl.load(values + outer * value_outer + row * value_row + columns * value_inner, columns < inner)
            value = value.to(out.dtype.element_ty)
            place = out + outer * out_outer + at + columns * out_inner
            if ADD:
                value = _sum(value, tl.load(place, columns < inner))
            tl.store(place, value, columns < inner)


@triton.jit(do_not_specialize=[*_SIZES, "count", "out_outer", "value_outer", "value_row"])
def _write_elements(
    out, values, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, out_outer: tl.int64,
    value_outer: tl.int64, value_row: tl.int64, count, ADD: tl.constexpr,
):  # fmt: skip
    """The same of rows that are one element each: program (outer)."""
    outer = tl.program_id(0).to(tl.int64)
    for i in range(0, count):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            value = tl.load(values + outer * value_outer + row * value_row).to(out.dtype.element_ty)
            place = out + outer * out_outer + at
            if ADD:
                value = _sum(value, tl.load(place))
            tl.store(place, value)


READ_ROWS, READ_ELEMENTS = Kernel(_read_rows), Kernel(_read_elements)
WRITE_ROWS, WRITE_ELEMENTS = Kernel(_write_rows), Kernel(_write_elements)
