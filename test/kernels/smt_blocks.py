"""Kernels that mix packed blocks, buffers and threads with the rest of Triton's language."""

import triton
import triton.language as tl
import triton.language.extra.smt as smt


@triton.jit
def layer_norm(
    x_ptr, w_ptr, b_ptr, out_ptr, rows, columns, eps, ROWS: tl.constexpr, COLUMNS: tl.constexpr, P: tl.constexpr, Q: tl.constexpr
):  # fmt: skip
    """Rows of a packed block: sums along a tile, then along the tiles."""
    x = tl.make_block_ptr(x_ptr, (rows, columns), (columns, 1), (tl.program_id(0) * ROWS, 0), (ROWS, COLUMNS), (1, 0))
    tiles = smt.view(smt.descriptor_load(x, (0, 0)), (0, 0), (ROWS, COLUMNS), (P, Q)).to(tl.float32)
    place = tl.reshape(tl.arange(0, COLUMNS), (1, COLUMNS // Q, 1, Q))
    mean = tl.sum(tl.sum(tiles, axis=3), axis=1) / columns
    centred = tl.where(place < columns, tiles - tl.reshape(mean, (ROWS // P, 1, P, 1)), 0.0)
    variance = tl.sum(tl.sum(centred * centred, axis=3), axis=1) / columns
    normal = centred * tl.reshape(tl.rsqrt(variance + eps), (ROWS // P, 1, P, 1))
    index = tl.arange(0, COLUMNS)
    inside = index < columns
    w = tl.reshape(tl.load(w_ptr + index, mask=inside, other=0), (1, COLUMNS // Q, 1, Q))
    b = tl.reshape(tl.load(b_ptr + index, mask=inside, other=0), (1, COLUMNS // Q, 1, Q))
    out = tl.make_block_ptr(out_ptr, (rows, columns), (columns, 1), (tl.program_id(0) * ROWS, 0), (ROWS, COLUMNS), (1, 0))
    result = smt.view(normal * w + b, (0, 0), (ROWS, COLUMNS), (1, 1))
    tl.store(out, result.to(out_ptr.dtype.element_ty), boundary_check=(0, 1))


@triton.jit
def convolution(
    x_ptr, w_ptr, out_ptr, channels, height, width, out_channels, out_height, out_width,
    KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    PIXELS: tl.constexpr, TAPS: tl.constexpr, FILTERS: tl.constexpr, MM: tl.constexpr, MK: tl.constexpr, MN: tl.constexpr,
):  # fmt: skip
    """One image a program of axis 1: columns of the image are gathered, packed and multiplied by the filters. Threads share the filters."""
    first, image = tl.program_id(0) * PIXELS, tl.program_id(1)
    taps = channels * KH * KW
    x_ptr += image * channels * height * width
    out_ptr += image * out_channels * out_height * out_width
    tap = tl.arange(0, TAPS)
    channel, row, column = tap // (KH * KW), tap // KW % KH, tap % KW
    pixel = first + tl.arange(0, PIXELS)
    y = (pixel // out_width * STRIDE - PAD)[:, None] + row[None, :]
    x = (pixel % out_width * STRIDE - PAD)[:, None] + column[None, :]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (tap < taps)[None, :] & (pixel < out_height * out_width)[:, None]
    patches = tl.load(x_ptr + channel[None, :] * height * width + y * width + x, mask=inside, other=0)
    a = smt.view(patches, (0, 0), (PIXELS, TAPS), (MM, MK))
    filters = tl.make_block_ptr(w_ptr, (taps, out_channels), (1, taps), (0, 0), (TAPS, FILTERS), (0, 1))
    pixels = out_height * out_width
    out = tl.make_block_ptr(out_ptr, (pixels, out_channels), (1, pixels), (first, 0), (PIXELS, FILTERS), (0, 1))
    for i in smt.parallel(0, tl.cdiv(out_channels, FILTERS)):
        b = smt.view(smt.descriptor_load(filters, (0, i * FILTERS)), (0, 0), (TAPS, FILTERS), (MK, MN))
        c = smt.view(smt.dot(a, b), (0, 0), (PIXELS, FILTERS), (1, 1))
        tl.store(tl.advance(out, (0, i * FILTERS)), c.to(out_ptr.dtype.element_ty), boundary_check=(0, 1))


@triton.jit
def mlp(
    x_ptr, up_ptr, down_ptr, out_ptr, rows, width, hidden,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr, PART: tl.constexpr, M: tl.constexpr, K: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """`relu(x @ up) @ down`: threads fill parts of the hidden block, meet, and then each makes a part of the result from all of it."""
    start = tl.program_id(0) * ROWS
    element: tl.constexpr = x_ptr.dtype.element_ty
    x = tl.make_block_ptr(x_ptr, (rows, width), (width, 1), (start, 0), (ROWS, WIDTH), (1, 0))
    up = tl.make_block_ptr(up_ptr, (width, hidden), (hidden, 1), (0, 0), (WIDTH, PART), (1, 0))
    down = tl.make_block_ptr(down_ptr, (hidden, width), (width, 1), (0, 0), (HIDDEN, PART), (1, 0))
    out = tl.make_block_ptr(out_ptr, (rows, width), (width, 1), (start, 0), (ROWS, PART), (1, 0))
    between = smt.view(smt.alloc((ROWS, HIDDEN), element), (0, 0), (ROWS, HIDDEN), (M, K))
    parts: tl.constexpr = HIDDEN // PART
    done = smt.mbarrier(expect_count=parts)
    a = smt.view(smt.descriptor_load(x, (0, 0)), (0, 0), (ROWS, WIDTH), (M, K))
    for i in smt.parallel(0, parts):
        b = smt.view(smt.descriptor_load(up, (0, i * PART)), (0, 0), (WIDTH, PART), (K, N))
        h = tl.maximum(smt.dot(a, b), 0.0)
        tl.store(smt.view(between, (0, i * PART), (ROWS, PART)), smt.view(h, (0, 0), (ROWS, PART), (M, K)))
        smt.barrier_arrive(done)
        smt.barrier_wait(done, flag=1)
        if i * PART < width:
            w = smt.view(smt.descriptor_load(down, (0, i * PART)), (0, 0), (HIDDEN, PART), (K, N))
            y = smt.view(smt.dot(tl.load(between), w), (0, 0), (ROWS, PART), (1, 1))
            tl.store(tl.advance(out, (0, i * PART)), y.to(element), boundary_check=(0, 1))


@triton.jit
def transposed_product(
    a_ptr, b_ptr, plain_ptr, packed_ptr, m, n, k,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, P: tl.constexpr, R: tl.constexpr, Q: tl.constexpr,
):  # fmt: skip
    """`(a @ b)` transposed, once as a matrix and once in tiles; b comes as its transpose from a tensor descriptor."""
    a = tl.make_tensor_descriptor(a_ptr, (m, k), (k, 1), (M, K))
    b = tl.make_tensor_descriptor(b_ptr, (n, k), (k, 1), (N, K))
    left = smt.view(smt.descriptor_load(a, (tl.program_id(0) * M, 0)), (0, 0), (M, K), (P, R))
    right = smt.view(smt.descriptor_load(b, (tl.program_id(1) * N, 0)), (0, 0), (N, K), (Q, R))
    c = tl.permute(smt.dot(left, right), (1, 0, 3, 2))
    place = (tl.program_id(1) * N, tl.program_id(0) * M)
    plain = tl.make_block_ptr(plain_ptr, (n, m), (m, 1), place, (N, M), (1, 0))
    tl.store(plain, smt.view(c, (0, 0), (N, M), (1, 1)), boundary_check=(0, 1))
    rows, columns = tl.num_programs(1) * (N // Q), tl.num_programs(0) * (M // P)
    strides, first = (columns * Q * P, Q * P, P, 1), (place[0] // Q, place[1] // P, 0, 0)
    packed = tl.make_block_ptr(packed_ptr, (rows, columns, Q, P), strides, first, (N // Q, M // P, Q, P), (3, 2, 1, 0))
    tl.store(packed, c)


@triton.jit
def streamed_product(a_ptr, b_ptr, c_ptr, total_ptr, K, SIZE: tl.constexpr, STEP: tl.constexpr, MICRO: tl.constexpr):
    """One thread copies parts of b to two buffers in turn, the other multiplies: `tl.dot` of one half, `smt.dot` of the other."""
    buffers = smt.alloc_copies((STEP, SIZE), b_ptr.dtype.element_ty, storage="tcm", copies=2)
    full, empty = smt.mbarrier_copies(copies=2), smt.mbarrier_copies(flag=0, copies=2)
    b = tl.make_block_ptr(b_ptr, (K, SIZE), (SIZE, 1), (0, 0), (STEP, SIZE), (1, 0))
    row = tl.arange(0, SIZE)
    steps = tl.cdiv(K, STEP)
    for role in smt.parallel(0, 2):
        if role == 0:
            for i in range(steps):
                smt.barrier_wait(empty[i % 2], flag=i // 2 % 2)
                tl.store(buffers[i % 2], smt.descriptor_load(b, (i * STEP, 0)))
                smt.barrier_arrive(full[i % 2])
        else:
            low = tl.zeros((SIZE, SIZE // 2), tl.float32)
            high = smt.view(tl.zeros((SIZE, SIZE // 2), tl.float32), (0, 0), (SIZE, SIZE // 2), (MICRO, MICRO))
            for i in range(steps):
                smt.barrier_wait(full[i % 2], flag=1 - i // 2 % 2)
                index = i * STEP + tl.arange(0, STEP)
                a = tl.load(a_ptr + row[:, None] * K + index[None, :], mask=(index < K)[None, :], other=0)
                part = tl.load(buffers[i % 2])
                left = smt.view(a, (0, 0), (SIZE, STEP), (MICRO, MICRO))
                packed = smt.view(part, (0, SIZE // 2), (STEP, SIZE // 2), (MICRO, MICRO))
                first = smt.view(smt.view(part, (0, 0), (STEP, SIZE // 2), (MICRO, MICRO)), (0, 0), (STEP, SIZE // 2), (1, 1))
                low = tl.dot(a, first, low, input_precision="ieee")
                high += smt.dot(left.to(tl.float32), packed.to(tl.float32))
                smt.barrier_arrive(empty[i % 2])
            half = tl.arange(0, SIZE // 2)
            right = smt.view(high, (0, 0), (SIZE, SIZE // 2), (1, 1))
            tl.store(c_ptr + row[:, None] * SIZE + half[None, :], low)
            tl.store(c_ptr + row[:, None] * SIZE + (SIZE // 2 + half)[None, :], right)
            tl.atomic_add(total_ptr, tl.sum(low) + tl.sum(right))
