"""Kernels on rows, columns and elements as models have them, written as their users write them."""

import triton
import triton.language as tl


@triton.jit
def softmax_backward(dy_ptr, y_ptr, dx_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    dy = tl.load(dy_ptr + row + offsets, mask, other=0.0)
    y = tl.load(y_ptr + row + offsets, mask, other=0.0)
    tl.store(dx_ptr + row + offsets, y * (dy - tl.sum(y * dy, 0)), mask)


@triton.jit
def cross_entropy(x_ptr, target_ptr, loss_ptr, log_sum_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    row = tl.program_id(0)
    x = tl.load(x_ptr + row * stride + offsets, offsets < columns, other=-float("inf"))
    largest = tl.max(x, 0)
    log_sum = tl.log(tl.sum(tl.exp(x - largest), 0)) + largest
    tl.store(loss_ptr + row, log_sum - tl.load(x_ptr + row * stride + tl.load(target_ptr + row)))
    tl.store(log_sum_ptr + row, log_sum)


@triton.jit
def cross_entropy_backward(x_ptr, target_ptr, log_sum_ptr, dloss_ptr, dx_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0)
    x = tl.load(x_ptr + row * stride + offsets, mask, other=-float("inf"))
    probability = tl.exp(x - tl.load(log_sum_ptr + row))
    target = tl.load(target_ptr + row)
    dx = tl.where(offsets == target, probability - 1.0, probability) * tl.load(dloss_ptr + row)
    tl.store(dx_ptr + row * stride + offsets, dx, mask)


@triton.jit
def layer_norm_dx(dy_ptr, x_ptr, w_ptr, mean_ptr, rstd_ptr, dx_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0)
    x = tl.load(x_ptr + row * stride + offsets, mask, other=0.0)
    wdy = tl.load(w_ptr + offsets, mask, other=0.0) * tl.load(dy_ptr + row * stride + offsets, mask, other=0.0)
    rstd = tl.load(rstd_ptr + row)
    normal = tl.where(mask, (x - tl.load(mean_ptr + row)) * rstd, 0.0)
    c1 = tl.sum(normal * wdy, 0) / columns
    c2 = tl.sum(wdy, 0) / columns
    tl.store(dx_ptr + row * stride + offsets, (wdy - (normal * c1 + c2)) * rstd, mask)


@triton.jit
def layer_norm_dw(dy_ptr, x_ptr, mean_ptr, rstd_ptr, dw_ptr, db_ptr, rows, columns, BLOCK: tl.constexpr):
    """A block of columns of dw and db: one row after the other."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < columns
    dw = tl.zeros((BLOCK,), tl.float32)
    db = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        dy = tl.load(dy_ptr + row * columns + offsets, mask, other=0.0)
        x = tl.load(x_ptr + row * columns + offsets, mask, other=0.0)
        dw += dy * (x - tl.load(mean_ptr + row)) * tl.load(rstd_ptr + row)
        db += dy
    tl.store(dw_ptr + offsets, dw, mask)
    tl.store(db_ptr + offsets, db, mask)


@triton.jit
def layer_norm_dw_blocks(dy_ptr, x_ptr, mean_ptr, rstd_ptr, dw_ptr, db_ptr, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The same with a block of rows a turn, as Triton's tutorial has it."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    dw = tl.zeros((ROWS, BLOCK), tl.float32)
    db = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row[:, None] < rows) & (column[None, :] < columns)
        place = row[:, None] * columns + column[None, :]
        dy = tl.load(dy_ptr + place, mask, other=0.0)
        x = tl.load(x_ptr + place, mask, other=0.0)
        mean = tl.load(mean_ptr + row, row < rows, other=0.0)
        rstd = tl.load(rstd_ptr + row, row < rows, other=0.0)
        dw += dy * (x - mean[:, None]) * rstd[:, None]
        db += dy
    tl.store(dw_ptr + column, tl.sum(dw, 0), column < columns)
    tl.store(db_ptr + column, tl.sum(db, 0), column < columns)


@triton.jit
def rms_norm(x_ptr, w_ptr, y_ptr, rstd_ptr, stride, columns, eps, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0)
    x = tl.load(x_ptr + row * stride + offsets, mask, other=0.0)
    rstd = 1 / tl.sqrt(tl.sum(x * x, 0) / columns + eps)
    tl.store(rstd_ptr + row, rstd)
    tl.store(y_ptr + row * stride + offsets, x * rstd * tl.load(w_ptr + offsets, mask, other=0.0), mask)


@triton.jit
def rms_norm_dx(dy_ptr, x_ptr, w_ptr, rstd_ptr, dx_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0)
    x = tl.load(x_ptr + row * stride + offsets, mask, other=0.0)
    wdy = tl.load(w_ptr + offsets, mask, other=0.0) * tl.load(dy_ptr + row * stride + offsets, mask, other=0.0)
    rstd = tl.load(rstd_ptr + row)
    c = tl.sum(x * wdy, 0) / columns * rstd * rstd * rstd
    tl.store(dx_ptr + row * stride + offsets, wdy * rstd - x * c, mask)


@triton.jit
def layer_norm_narrow(x_ptr, w_ptr, b_ptr, y_ptr, stride, columns, eps, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    x = tl.load(x_ptr + row + offsets, mask, other=0.0).to(tl.float32)
    centred = tl.where(mask, x - tl.sum(x, 0) / columns, 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, 0) / columns + eps)
    w = tl.load(w_ptr + offsets, mask).to(tl.float32)
    b = tl.load(b_ptr + offsets, mask).to(tl.float32)
    tl.store(y_ptr + row + offsets, (centred * scale * w + b).to(y_ptr.dtype.element_ty), mask)


@triton.jit
def gelu_tanh_backward(dy_ptr, x_ptr, dx_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    dy, x = tl.load(dy_ptr + offsets, mask), tl.load(x_ptr + offsets, mask)
    square = x * x
    sigmoid = tl.sigmoid(1.5957691216057308 * x * (1 + 0.044715 * square))
    slope = 1.5957691216057308 * x * (1 + 0.134145 * square)
    tl.store(dx_ptr + offsets, dy * (sigmoid + slope * sigmoid * (1 - sigmoid)), mask)


@triton.jit
def swiglu(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    gate, up = tl.load(gate_ptr + offsets, mask), tl.load(up_ptr + offsets, mask)
    tl.store(out_ptr + offsets, gate * tl.sigmoid(gate) * up, mask)


@triton.jit
def rope(x_ptr, cos_ptr, sin_ptr, out_ptr, heads, HALF: tl.constexpr, HEADS: tl.constexpr):
    """One token: `HEADS` heads of twice `HALF` elements, whose halves are turned by the token's angles."""
    token = tl.program_id(0)
    head, i = tl.arange(0, HEADS), tl.arange(0, HALF)
    place = token * heads * 2 * HALF + head[:, None] * 2 * HALF + i[None, :]
    mask = head[:, None] < heads
    cos, sin = tl.load(cos_ptr + token * HALF + i)[None, :], tl.load(sin_ptr + token * HALF + i)[None, :]
    first, second = tl.load(x_ptr + place, mask), tl.load(x_ptr + place + HALF, mask)
    tl.store(out_ptr + place, first * cos - second * sin, mask)
    tl.store(out_ptr + place + HALF, second * cos + first * sin, mask)


@triton.jit
def transpose(x_ptr, out_ptr, rows, columns, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = (i[:, None] < rows) & (j[None, :] < columns)
    x = tl.load(x_ptr + i[:, None] * columns + j[None, :], mask)
    tl.store(out_ptr + j[:, None] * rows + i[None, :], tl.trans(x), tl.trans(mask))


@triton.jit
def sum_columns(x_ptr, out_ptr, rows, columns, BLOCK: tl.constexpr):
    """One row after the other."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < columns
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        total += tl.load(x_ptr + row * columns + offsets, mask, other=0.0)
    tl.store(out_ptr + offsets, total, mask)


@triton.jit
def sum_columns_block(x_ptr, out_ptr, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """All rows in one block."""
    row, column = tl.arange(0, ROWS), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = (row[:, None] < rows) & (column[None, :] < columns)
    x = tl.load(x_ptr + row[:, None] * columns + column[None, :], mask, other=0.0)
    tl.store(out_ptr + column, tl.sum(x, 0), column < columns)


@triton.jit
def cumsum_rows(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    tl.store(out_ptr + row + offsets, tl.cumsum(tl.load(x_ptr + row + offsets, mask, other=0.0), 0), mask)


@triton.jit
def vector_matrix(v_ptr, m_ptr, out_ptr, inner, columns, BLOCK: tl.constexpr):
    """`v @ m`, one row of m after the other."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < columns
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(inner):
        total += tl.load(v_ptr + k) * tl.load(m_ptr + k * columns + offsets, mask, other=0.0)
    tl.store(out_ptr + offsets, total, mask)


@triton.jit
def vector_matrix_blocks(v_ptr, m_ptr, out_ptr, inner, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The same with a block of rows a turn."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, inner, ROWS):
        k = start + tl.arange(0, ROWS)
        v = tl.load(v_ptr + k, k < inner, other=0.0)
        m = tl.load(m_ptr + k[:, None] * columns + column[None, :], (k[:, None] < inner) & (column[None, :] < columns), other=0.0)
        total += tl.sum(v[:, None] * m, 0)
    tl.store(out_ptr + column, total, column < columns)


@triton.jit
def depthwise(x_ptr, w_ptr, out_ptr, height, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """3 x 3 with zeros around the image; a program takes `ROWS` rows of one channel."""
    channel = tl.program_id(1)
    i, j = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for di in tl.static_range(3):
        for dj in tl.static_range(3):
            y, x = i + (di - 1), j + (dj - 1)
            inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
            pixels = tl.load(x_ptr + channel * height * width + y[:, None] * width + x[None, :], inside, other=0.0)
            total += pixels * tl.load(w_ptr + channel * 9 + di * 3 + dj)
    mask = (i[:, None] < height) & (j[None, :] < width)
    tl.store(out_ptr + channel * height * width + i[:, None] * width + j[None, :], total, mask)


@triton.jit
def softmax_columns(x_ptr, out_ptr, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Down each column of a block of columns; (column, row) in the block, so that vectors run along its first dimension."""
    column, row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, ROWS)
    mask = (column[:, None] < columns) & (row[None, :] < rows)
    place = row[None, :] * columns + column[:, None]
    x = tl.load(x_ptr + place, mask, other=-float("inf"))
    numerator = tl.exp(x - tl.max(x, 1)[:, None])
    tl.store(out_ptr + place, numerator / tl.sum(numerator, 1)[:, None], mask)
