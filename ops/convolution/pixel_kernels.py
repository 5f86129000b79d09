"""Kernels of convolutions of images whose channels are neighbours in memory. `pixels.py` says how these lie."""

import triton
import triton.language as tl

from triton_spacemit.ops.convolution.kernels import clear_room


@triton.jit
def lay_out_rows(
    image, out, phases, count, total, each, rows, rows_high, depth, height, width, channels, low_d, low_h, low, row,
    image_n, image_c, image_d, image_h, STEP_D: tl.constexpr, STEP_H: tl.constexpr, LAST: tl.constexpr, BLOCK: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Rows of images with zeros around them, `row` elements each: for every image and each of `count` phases `rows` of them.

    phases: of each, the first index of depth and of height in the padded image. rows_high: rows for one index of the depth. low: elements
    in front of a row of the image. LAST: its pixels' channels are neighbours, and so are its pixels; else pixels of a channel are.
    """
    begin = tl.program_id(0) * each
    for number in range(begin, tl.minimum(begin + each, total)):
        at, phase, n = number % rows, number // rows % count, tl.cast(number // rows // count, tl.int64)
        d = tl.cast(at // rows_high * STEP_D + tl.load(phases + 2 * phase) - low_d, tl.int64)
        h = tl.cast(at % rows_high * STEP_H + tl.load(phases + 2 * phase + 1) - low_h, tl.int64)
        there = (d >= 0) & (d < depth) & (h >= 0) & (h < height)
        source = image + n * image_n + d * image_d + h * image_h
        place, wanted = out + tl.cast(number, tl.int64) * row, tl.where(there, width, 0)
        clear_room(place, low, BLOCK)
        clear_room(place + low + wanted * channels, row - low - wanted * channels, BLOCK)
        if LAST:
            for first in range(0, wanted * channels, BLOCK):
                j = first + tl.arange(0, BLOCK)
                tl.store(place + low + j, tl.load(source + j, j < wanted * channels), j < wanted * channels)
        else:
            for first in range(0, channels, BLOCK_C):
                c = (first + tl.arange(0, BLOCK_C)).to(tl.int64)
                for start in range(0, wanted, BLOCK_W):
                    w = start + tl.arange(0, BLOCK_W)
                    inside = (w < wanted)[:, None] & (c < channels)[None, :]
                    pixels = tl.load(source + w[:, None] + c[None, :] * image_c, inside)
                    tl.store(place + low + w[:, None] * channels + c[None, :], pixels, inside)


@triton.jit
def correlate_pixels(
    x, w, out, bias, starts, places, runs, length, m, count, x_n, step, w_k, out_n, out_i,
    SUM: tl.constexpr, ACROSS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`out[places[q], i] = bias[i] + sum over runs and c of x[starts[run, 0] + q * step + c] * w[starts[run, 1] + c * w_k + i]` for images.

    c counts the `length` elements of a run; places: None for q itself, -1 for what nobody needs. ACROSS: `out[i, q]`, out_i elements apart.
    """
    x += tl.program_id(1).to(tl.int64) * x_n
    out += tl.program_id(1).to(tl.int64) * out_n
    q = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    i = (tl.program_id(2) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    parts = tl.cdiv(length, BLOCK_K)
    sums = tl.zeros((BLOCK_M, BLOCK_N), SUM)
    for turn in range(0, runs * parts):
        run = turn // parts
        c = (turn % parts * BLOCK_K + tl.arange(0, BLOCK_K)).to(tl.int64)
        pixels, factors = x + tl.load(starts + 2 * run), w + tl.load(starts + 2 * run + 1)
        left = tl.load(pixels + q[:, None] * step + c[None, :], (q[:, None] < count) & (c[None, :] < length), 0)
        right = tl.load(factors + c[:, None] * w_k + i[None, :], (c[:, None] < length) & (i[None, :] < m), 0)
        sums = tl.dot(left, right, sums, out_dtype=SUM)
    if bias is not None:
        sums += tl.load(bias + i, i < m, 0).to(SUM)[None, :]
    inside = (q[:, None] < count) & (i[None, :] < m)
    if ACROSS:
        tl.store(out + i[None, :] * out_i + q[:, None], sums.to(out.dtype.element_ty), inside)
    elif places is None:
        tl.store(out + q[:, None] * m + i[None, :], sums.to(out.dtype.element_ty), inside)
    else:
        place = tl.load(places + q, q < count, -1)[:, None]
        tl.store(out + place * m + i[None, :], sums.to(out.dtype.element_ty), inside & (place >= 0))


@triton.jit
def pixels_weight_gradient(
    dy, x, out, starts, images, depth, rows, columns, runs, length, m, x_n, x_d, x_h, step,
    SUM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`out[i, run, c] = sum over images and outputs of dy[image, i, output] * x[starts[run, 0] + its place + c]`.

    The outputs are depth x rows x columns, dense in dy; in x they are x_d, x_h and `step` elements apart. A turn takes columns of a row.
    """
    i = (tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    parts = tl.cdiv(length, BLOCK_N)
    run = tl.program_id(1) // parts
    c = (tl.program_id(1) % parts * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    x += tl.load(starts + 2 * run)
    across = tl.cdiv(columns, BLOCK_K)
    plane = tl.cast(depth, tl.int64) * rows * columns
    sums = tl.zeros((BLOCK_M, BLOCK_N), SUM)
    for turn in range(0, images * depth * rows * across):
        line, part = turn // across, turn % across
        row, d, image = line % rows, line // rows % depth, tl.cast(line // rows // depth, tl.int64)
        j = (part * BLOCK_K + tl.arange(0, BLOCK_K)).to(tl.int64)
        gradients = dy + image * m * plane + (tl.cast(d, tl.int64) * rows + row) * columns
        pixels = x + image * x_n + tl.cast(d, tl.int64) * x_d + tl.cast(row, tl.int64) * x_h
        left = tl.load(gradients + i[:, None] * plane + j[None, :], (i[:, None] < m) & (j[None, :] < columns), 0)
        right = tl.load(pixels + j[:, None] * step + c[None, :], (j[:, None] < columns) & (c[None, :] < length), 0)
        sums = tl.dot(left, right, sums, out_dtype=SUM)
    place = i[:, None] * (tl.cast(runs, tl.int64) * length) + tl.cast(run, tl.int64) * length + c[None, :]
    tl.store(out + place, sums.to(out.dtype.element_ty), (i[:, None] < m) & (c[None, :] < length))
