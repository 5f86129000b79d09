"""Views where the tiles themselves are needed: against the definition of packing."""

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt


def packed(matrix, p, q):
    rows, columns = matrix.shape
    return matrix.reshape(rows // p, p, columns // q, q).permute(0, 2, 1, 3)


@triton.jit
def pack_kernel(x_ptr, out_ptr, M, N, row, column, s0, s1, s2, s3, R: tl.constexpr, C: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """A part of x in tiles, to memory with any strides."""
    x = smt.descriptor_load(tl.make_block_ptr(x_ptr, (M, N), (N, 1), (0, 0), (64, 64), (1, 0)), (0, 0))
    tiles = smt.view(x, (row, column), (R, C), (P, Q))
    shape: tl.constexpr = (R // P, C // Q, P, Q)
    out = tl.make_block_ptr(out_ptr, shape, (s0, s1, s2, s3), (0, 0, 0, 0), shape, (3, 2, 1, 0))
    tl.store(out, tiles)


@pytest.mark.parametrize("tile", [(4, 8), (8, 1), (1, 16), (16, 32)], ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_pack_to_memory(target, tile, transposed):
    x = torch.randn(50, 41)
    whole = torch.zeros(200, 200)
    whole[:50, :41] = x
    expected = packed(whole[13:45, 22:54].contiguous(), *tile)
    out = torch.zeros(expected.shape)
    if transposed:
        out = torch.zeros(expected.permute(3, 2, 1, 0).shape).permute(3, 2, 1, 0)
    pack_kernel[(1,)](x, out, 50, 41, 13, 22, *out.stride(), R=32, C=32, P=tile[0], Q=tile[1])
    assert torch.equal(out, expected)


@triton.jit(do_not_specialize=["i"])
def view_kernel(x_ptr, out_ptr, i, MODE: tl.constexpr):
    """Each mode stores a 32 x 32 block."""
    index = tl.arange(0, 32)[:, None] * 32 + tl.arange(0, 32)[None, :]
    tiles = smt.view(tl.load(x_ptr + index), (0, 0), (32, 32), (4, 8))
    if MODE == "lane":  # something that needs the tiles: sums along one dimension of them
        tiles = tiles - tl.sum(tiles, axis=3, keep_dims=True)
    elif MODE == "tiles":
        tiles = tiles * tl.max(tl.max(tiles, axis=0, keep_dims=True), axis=1, keep_dims=True)
    elif MODE == "columns":
        tiles = tiles + tl.reshape(tl.sum(tl.sum(tiles, axis=2), axis=0), (1, 4, 1, 8))
    elif MODE == "rows":
        tiles = tiles + tl.reshape(tl.sum(tl.max(tiles, axis=3), axis=1), (8, 1, 4, 1))
    elif MODE == "clamp":
        tiles = tl.clamp(tiles, -3.0, 2.0)
    elif MODE == "repack":
        tiles = smt.view(smt.view(tiles, (i, 3 * i), (32, 32), (8, 16)), (0, 0), (32, 32), (4, 8))
    elif MODE == "subview":
        tiles = smt.view(tiles, (4 * i, 0), (32, 32))
    elif MODE == "branch":
        if i > 1:
            tiles = tiles * 2
        else:
            tiles = -tiles
    elif MODE == "loop":
        total = tl.zeros((8, 4, 4, 8), tl.float32)
        for j in range(i):
            total = tl.where(total > 10, total, total + tiles * j)
        tiles = total
    elif MODE == "while":
        while i > 0:
            tiles = tiles + i
            i -= 1
    tl.store(out_ptr + index, smt.view(tiles, (0, 0), (32, 32), (1, 1)))


def expected(x, i, mode):
    tiles = packed(x, 4, 8)
    if mode == "lane":
        tiles = tiles - tiles.sum(3, keepdim=True)
    elif mode == "tiles":
        tiles = tiles * tiles.amax((0, 1), keepdim=True)
    elif mode == "columns":
        tiles = tiles + tiles.sum((0, 2), keepdim=True)
    elif mode == "rows":
        tiles = tiles + tiles.amax(3, keepdim=True).sum(1, keepdim=True)
    elif mode == "clamp":
        tiles = tiles.clamp(-3, 2)
    elif mode == "repack":
        wide = torch.zeros(128, 128)
        wide[:32, :32] = x
        return wide[i : i + 32, 3 * i : 3 * i + 32]
    elif mode == "subview":
        tiles = torch.cat((tiles[i:], torch.zeros_like(tiles)))[:8]
    elif mode == "branch":
        tiles = tiles * 2 if i > 1 else -tiles
    elif mode == "loop":
        total = torch.zeros_like(tiles)
        for j in range(i):
            total = torch.where(total > 10, total, total + tiles * j)
        tiles = total
    elif mode == "while":
        tiles = tiles + i * (i + 1) // 2
    return tiles.permute(0, 2, 1, 3).reshape(32, 32)


@pytest.mark.parametrize("mode", ["lane", "tiles", "columns", "rows", "clamp", "repack", "subview", "branch", "loop", "while"])
@pytest.mark.parametrize("i", [1, 3])
def test_values(target, mode, i):
    x = torch.randint(-8, 8, (32, 32)).float()
    out = torch.empty(32, 32)
    view_kernel[(1,)](x, out, i, MODE=mode)
    assert torch.equal(out, expected(x, i, mode))


@triton.jit
def overlap_kernel(x_ptr, i, R: tl.constexpr, C: tl.constexpr):
    """Shifts a part of the matrix onto itself: all of it is read before any is written."""
    x = tl.make_block_ptr(x_ptr, (64, 64), (64, 1), (0, 0), (64, 64), (1, 0))
    tiles = smt.view(smt.descriptor_load(x, (0, 0)), (i, i), (R, C), (8, 16))
    tl.store(tl.make_block_ptr(x_ptr, (64, 64), (64, 1), (i + 1, i + 1), (R, C), (1, 0)), smt.view(tiles, (0, 0), (R, C), (1, 1)))


def test_a_view_keeps_what_was_loaded(target):
    x = torch.randn(64, 64)
    shifted = x.clone()
    shifted[4:36, 4:36] = x[3:35, 3:35]
    overlap_kernel[(1,)](x, 3, R=32, C=32)
    assert torch.equal(x, shifted)


@triton.jit
def outside_kernel(x_ptr, out_ptr, M, N, row, column, OUT: tl.constexpr):
    """Reads and writes views that reach out of their matrices, with nothing said of bounds."""
    x = tl.make_block_ptr(x_ptr, (M, N), (N, 1), (0, 0), (32, 32), (1, 0))
    out = tl.make_block_ptr(out_ptr, (OUT, OUT), (OUT, 1), (0, 0), (32, 32), (1, 0))
    tl.store(smt.view(out, (0, 0), (32, 32), (8, 4)), tl.load(smt.view(x, (row, column), (32, 32), (8, 4))))


def test_views_of_pointers_end_with_their_matrix(target):
    x, out = torch.randn(23, 29), torch.full((31, 40), 7.0)
    outside_kernel[(1,)](x, out, 23, 29, 4, -3, OUT=20)
    wide = torch.zeros(20, 20)
    wide[:19, 3:] = x[4:, :17]
    assert torch.equal(out.flatten()[:400].reshape(20, 20), wide)
    assert (out.flatten()[400:] == 7).all()
