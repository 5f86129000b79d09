"""Kernels of convolutions. `layouts.py` says how images lie in memory for the first two."""

import triton
import triton.language as tl


@triton.jit
def clear_room(room, length, BLOCK: tl.constexpr):
    """Zeros for so many elements."""
    for first in range(0, length, BLOCK):
        q = first + tl.arange(0, BLOCK)
        tl.store(room + q, tl.zeros((BLOCK,), room.dtype.element_ty), q < length)


@triton.jit
def copy_rows(plane, room, height, width, row, pitch, STEP: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """Every STEP-th pixel of rows that are `row` elements apart to rows that are `pitch` elements apart; what is between them stays."""
    for first in range(0, height, BLOCK_H):
        i = first + tl.arange(0, BLOCK_H)
        for start in range(0, width, BLOCK_W):
            j = start + tl.arange(0, BLOCK_W)
            inside = (i < height)[:, None] & (j < width)[None, :]
            tl.store(room + i[:, None] * pitch + j[None, :], tl.load(plane + i[:, None] * row + j[None, :] * STEP, inside), inside)


@triton.jit
def lay_out(
    image, out, copies, size, parts, count, planes, planes_each, channels, image_n, image_c, depth_step, row_step, depth_pitch, pitch,
    length, STEP: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Channels of images, each to `length` elements: zeros, and in these the pixels of every part.

    parts: of each, where it begins in the image and in its channel of `out`, and its sizes. copies: where pixels are not read as they lie,
    room for a channel of `size` elements for each program, which is copied there first: what is read out of order is in the first cache.
    """
    begin = tl.program_id(0).to(tl.int64) * planes_each
    for plane in range(begin, tl.minimum(begin + planes_each, planes)):
        room = out + plane * length
        clear_room(room, length, BLOCK)
        source = image + plane // channels * image_n + plane % channels * image_c
        if copies is not None:
            own = copies + tl.program_id(0).to(tl.int64) * size
            for first in range(0, size, BLOCK):
                q = first + tl.arange(0, BLOCK)
                tl.store(own + q, tl.load(source + q, q < size), q < size)
            source = own
        for part in range(0, count):
            begin_there, begin_here = tl.load(parts + part * 5), tl.load(parts + part * 5 + 1)
            depth, height, width = tl.load(parts + part * 5 + 2), tl.load(parts + part * 5 + 3), tl.load(parts + part * 5 + 4)
            for d in range(0, depth):
                rows, to = source + begin_there + d * depth_step, room + begin_here + d * depth_pitch
                copy_rows(rows, to, height, width, row_step, pitch, STEP, BLOCK_H, BLOCK_W)


@triton.jit
def correlate(
    x, w, out, bias, starts, m, k, count, groups, x_n, x_g, w_g, w_i, out_n, out_g, out_i,
    BIAS: tl.constexpr, SUM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`out[i, q] = bias[i] + sum over c of w[i, c] * x[starts[c] + q]` for images and groups; c counts k channels and taps."""
    image, group = (tl.program_id(2) // groups).to(tl.int64), (tl.program_id(2) % groups).to(tl.int64)
    x += image * x_n + group * x_g
    w += group * w_g
    out += image * out_n + group * out_g
    i = (tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    q = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    sums = tl.zeros((BLOCK_M, BLOCK_N), SUM)
    for first in range(0, k, BLOCK_K):
        c = first + tl.arange(0, BLOCK_K)
        rows = tl.load(starts + c, c < k, 0)
        left = tl.load(w + i[:, None] * w_i + c[None, :], (i[:, None] < m) & (c[None, :] < k), 0)
        right = tl.load(x + rows[:, None] + q[None, :], (c[:, None] < k) & (q[None, :] < count), 0)
        sums = tl.dot(left, right, sums, out_dtype=SUM)
    if BIAS:
        sums += tl.load(bias + group * m + i, i < m, 0).to(SUM)[:, None]
    tl.store(out + i[:, None] * out_i + q[None, :], sums.to(out.dtype.element_ty), (i[:, None] < m) & (q[None, :] < count))


@triton.jit
def weight_gradient(
    dy, x, out, starts, images, m, k, count, dy_n, dy_g, dy_i, x_n, x_g, out_g, out_i,
    SUM: tl.constexpr, ACROSS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`out[i, c] = sum over images and q of dy[i, q] * x[starts[c] + q]` for groups; c counts k channels and taps.

    ACROSS: sums are kept as (c, i). A product lays its second operand out anew: that is then dy, else x.
    """
    group = tl.program_id(2).to(tl.int64)
    dy += group * dy_g
    x += group * x_g
    i = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    c = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    rows = tl.load(starts + c, c < k, 0)
    parts = tl.cdiv(count, BLOCK_K)
    sums = tl.zeros((BLOCK_N, BLOCK_M) if ACROSS else (BLOCK_M, BLOCK_N), SUM)
    for turn in range(0, images * parts):
        image = (turn // parts).to(tl.int64)
        q = (turn % parts * BLOCK_K + tl.arange(0, BLOCK_K)).to(tl.int64)
        if ACROSS:
            left = tl.load(x + image * x_n + rows[:, None] + q[None, :], (c[:, None] < k) & (q[None, :] < count), 0)
            right = tl.load(dy + image * dy_n + i[None, :] * dy_i + q[:, None], (q[:, None] < count) & (i[None, :] < m), 0)
        else:
            left = tl.load(dy + image * dy_n + i[:, None] * dy_i + q[None, :], (i[:, None] < m) & (q[None, :] < count), 0)
            right = tl.load(x + image * x_n + rows[None, :] + q[:, None], (q[:, None] < count) & (c[None, :] < k), 0)
        sums = tl.dot(left, right, sums, out_dtype=SUM)
    if ACROSS:
        place, inside = i[None, :] * out_i + c[:, None], (c[:, None] < k) & (i[None, :] < m)
    else:
        place, inside = i[:, None] * out_i + c[None, :], (i[:, None] < m) & (c[None, :] < k)
    tl.store(out + group * out_g + place, sums.to(out.dtype.element_ty), inside)


@triton.jit
def correlate_channels(
    x, w, out, bias, starts, count, channels, multiplier, x_n, x_c, out_n, out_c,
    BIAS: tl.constexpr, SUM: tl.constexpr, TAPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`out[channel, q] = bias[channel] + sum over taps of w[channel, tap] * x[channel // multiplier, starts[tap] + q]` for images."""
    image, channel = (tl.program_id(1) // channels).to(tl.int64), (tl.program_id(1) % channels).to(tl.int64)
    x += image * x_n + channel // multiplier * x_c
    q = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK,), SUM)
    for tap in tl.static_range(TAPS):
        pixels = tl.load(x + tl.load(starts + tap) + q, q < count, 0)
        sums += pixels.to(SUM) * tl.load(w + channel * TAPS + tap).to(SUM)
    if BIAS:
        sums += tl.load(bias + channel).to(SUM)
    tl.store(out + image * out_n + channel * out_c + q, sums.to(out.dtype.element_ty), q < count)


@triton.jit
def channels_weight_gradient(
    dy, x, out, starts, images, count, multiplier, dy_n, dy_i, x_n, x_c, taps, SUM: tl.constexpr, BLOCK: tl.constexpr
):
    """`out[channel, tap] = sum over images and q of dy[channel, q] * x[channel // multiplier, starts[tap] + q]`."""
    channel, tap = tl.program_id(1).to(tl.int64), tl.program_id(0)
    dy += channel * dy_i
    x += channel // multiplier * x_c + tl.load(starts + tap)
    sums = tl.zeros((BLOCK,), SUM)
    for image in range(0, images):
        for first in range(0, count, BLOCK):
            q = (first + tl.arange(0, BLOCK)).to(tl.int64)
            left = tl.load(dy + tl.cast(image, tl.int64) * dy_n + q, q < count, 0).to(SUM)
            sums += left * tl.load(x + tl.cast(image, tl.int64) * x_n + q, q < count, 0).to(SUM)
    tl.store(out + channel * taps + tap, tl.sum(sums, 0).to(out.dtype.element_ty))
