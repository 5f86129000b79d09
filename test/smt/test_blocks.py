"""Kernels that mix packed blocks, buffers and threads with the rest of Triton's language, against float64."""

import pytest
import torch
import torch.nn.functional as F
import triton
from kernels import smt_blocks as kernels

BOUNDS = {torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # relative to the largest value: a few roundings


def check(ours, wanted):
    assert (ours.double() - wanted).abs().max() <= BOUNDS[ours.dtype] * wanted.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_layer_norm(target, dtype):
    torch.manual_seed(0)
    x, w, b = (torch.randn(shape).to(dtype) for shape in ((37, 83), (83,), (83,)))
    out = torch.empty_like(x)
    kernels.layer_norm[(5,)](x, w, b, out, 37, 83, 1e-5, ROWS=8, COLUMNS=128, P=4, Q=16)
    check(out, F.layer_norm(x.double(), (83,), w.double(), b.double(), 1e-5))


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_convolution(target, dtype, stride, pad):
    torch.manual_seed(1)
    x, w = torch.randn(2, 5, 11, 9).to(dtype), torch.randn(19, 5, 3, 3).to(dtype)
    expected = F.conv2d(x.double(), w.double(), stride=stride, padding=pad)
    out = torch.empty(expected.shape, dtype=dtype)
    pixels = expected.shape[2] * expected.shape[3]
    kernels.convolution[(triton.cdiv(pixels, 32), 2)](
        x, w, out, 5, 11, 9, 19, expected.shape[2], expected.shape[3],
        KH=3, KW=3, STRIDE=stride, PAD=pad, PIXELS=32, TAPS=64, FILTERS=8, MM=8, MK=16, MN=8,
    )  # fmt: skip
    check(out, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_mlp(target, dtype):
    torch.manual_seed(2)
    x, up, down = torch.randn(21, 45).to(dtype), torch.randn(45, 120).to(dtype) / 8, torch.randn(120, 45).to(dtype) / 8
    out = torch.empty_like(x)
    kernels.mlp[(2,)](x, up, down, out, 21, 45, 120, ROWS=16, WIDTH=64, HIDDEN=128, PART=16, M=8, K=16, N=16)
    between = (x.double() @ up.double()).to(dtype).double().relu()
    check(out, between @ down.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int8], ids=str)
def test_transposed_product(target, dtype):
    torch.manual_seed(3)
    if dtype == torch.int8:
        a, b = (torch.randint(-128, 128, shape, dtype=dtype) for shape in ((50, 37), (70, 37)))
    else:
        a, b = torch.randn(50, 37).to(dtype), torch.randn(70, 37).to(dtype)
    result = torch.int32 if dtype == torch.int8 else dtype
    plain, packed = torch.empty(70, 50, dtype=result), torch.empty(96 // 8, 64 // 4, 8, 4, dtype=result)
    kernels.transposed_product[(2, 3)](a, b, plain, packed, 50, 70, 37, M=32, N=32, K=64, P=4, R=16, Q=8)
    if dtype == torch.int8:
        assert torch.equal(plain, b.int() @ a.int().T)
    else:
        check(plain, b.double() @ a.double().T)
    matrix = packed.permute(0, 2, 1, 3).reshape(96, 64)
    assert torch.equal(matrix[:70, :50], plain)
    assert (matrix[70:] == 0).all()
    assert (matrix[:, 50:] == 0).all()


@pytest.mark.parametrize("k", [16, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_streamed_product(target, dtype, k):
    torch.manual_seed(4)
    a, b = torch.randn(32, k).to(dtype), torch.randn(k, 32).to(dtype)
    for _ in range(20):
        c, total = torch.empty(32, 32), torch.zeros(1)
        kernels.streamed_product[(1,)](a, b, c, total, k, SIZE=32, STEP=16, MICRO=8)
        expected = a.double() @ b.double()
        check(c, expected)
        assert abs(total.item() - expected.sum()) <= 1e-5 * expected.abs().sum()
