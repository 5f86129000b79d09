"""Normalisations and softmax beyond the samples of PyTorch: layouts, dtypes beside each other, long rows, statistics, x60."""

import math

import pytest
import torch
from torch.nn import functional

from triton_spacemit import ops
from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

aten = torch.ops.aten


@pytest.fixture
def left(host):
    """Fails where PyTorch answered."""
    before = ops.left_to_pytorch()
    yield
    assert ops.left_to_pytorch() == before


def compare(names, call, tolerance, inputs):
    """Results and gradients of a call with operators of ours, beside PyTorch's in float64 rounded to the same dtypes."""

    def run(tensors):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
        result = call(*leaves)
        weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(2)).to(result)
        return [result.detach(), *torch.autograd.grad(result, leaves, weights)]

    exact = run([tensor.double() for tensor in inputs])
    with ops.enabled(*names):
        ours = run(inputs)
    for our, expected in zip(ours, exact, strict=True):
        # The errors of sums are as large as their terms are.
        scale = expected.abs().max().clamp_min(1)
        torch.testing.assert_close(our.double() / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 5000), (40, 64), (1, 1), (7, 1025)])
@pytest.mark.parametrize("threads", [1, 4])
def test_layer_and_rms_norm(dtype, shape, threads):
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    x, weight, bias = (torch.randn(size, dtype=dtype) for size in (shape, shape[-1:], shape[-1:]))
    with knobs.scope():
        knobs.threads = threads
        compare(["layer_norm"], lambda x, w, b: functional.layer_norm(x, shape[-1:], w, b), tolerance, [x, weight, bias])
        compare(["layer_norm"], lambda x: functional.layer_norm(x, shape[-1:]), tolerance, [x])
        compare(["rms_norm"], lambda x, w: functional.rms_norm(x, shape[-1:], w, 1e-6), tolerance, [x, weight])
        compare(["rms_norm"], lambda x: functional.rms_norm(x, shape[-1:], None, 1e-6), tolerance, [x])


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (8, 30, 7, 7), (16, 12), (4, 6, 33), (2, 3, 4, 5, 6), (3, 70, 2, 2)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_batch_norm(shape, last, threads):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    x = torch.randn(shape)
    if last and x.dim() in formats:
        x = x.contiguous(memory_format=formats[x.dim()])
    weight, bias = torch.randn(2, shape[1])
    with knobs.scope():
        knobs.threads = threads
        for training in (True, False):
            mean, variance = torch.randn(shape[1]), torch.rand(shape[1]) + 0.5

            def call(x, w, b, training=training, mean=mean, variance=variance):
                return functional.batch_norm(x, mean.to(x).clone(), variance.to(x).clone(), w, b, training)

            compare(["batch_norm"], call, 1e-5, [x, weight, bias])


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_running_statistics(dtype):
    x = torch.randn(6, 5, 7, 3).to(dtype) * 3 + 1
    for stride in (1, 2):
        ours, eager = ([torch.zeros(10)[::stride][:5], torch.ones(10)[::stride][:5]] for _ in range(2))
        for _ in range(3):
            functional.batch_norm(x, *eager, training=True, momentum=0.3)
            with ops.enabled("batch_norm"):
                functional.batch_norm(x, *ours, training=True, momentum=0.3)
        torch.testing.assert_close(ours, eager)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(3, 70, 20, 19), (5, 9, 15, 15), (1100, 6)], ids=str)
@pytest.mark.parametrize("affine", [True, False], ids=str)
def test_rows_shared_by_threads(dtype, shape, affine):
    """Batch norm of channels that lie last: several programs, the last one with fewer rows."""
    x = (torch.randn(shape) * 2 + 3).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
    parameters = [torch.randn(shape[1]).to(dtype) for _ in range(2)] if affine else [None, None]
    running = [torch.randn(shape[1]).to(dtype), torch.rand(shape[1]).to(dtype)] if affine else [None, None]
    wide = [None if one is None else one.double().clone() for one in (*parameters, *running)]
    expected = [*aten.native_batch_norm(x.double(), *wide, True, 0.2, 1e-5), *wide[2:]]
    with knobs.scope(), ops.enabled("batch_norm"):
        knobs.threads = 3
        ours = [*aten.native_batch_norm(x, *parameters, *running, True, 0.2, 1e-5), *running]
    assert ours[0].stride() == x.stride()
    tolerance = (4 if dtype is torch.bfloat16 else 64) * torch.finfo(dtype).eps  # sums of 128 elements, half a unit each
    for our, their in zip(ours, expected, strict=True):
        if our is not None:
            scale = their.abs().max().clamp_min(1)
            torch.testing.assert_close(our.double() / scale, their / scale, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (3, 6), (4, 6, 1000)])
def test_group_norm(shape, groups):
    weight, bias = torch.randn(2, 6)
    # A group of one element has the variance 0, and its inverse deviation multiplies the roundings of what cancels out.
    tolerance = 1e-6 * 1e-5**-0.5 if math.prod(shape[1:]) == groups else 1e-5
    compare(["group_norm"], lambda x, w, b: functional.group_norm(x, groups, w, b), tolerance, [torch.randn(shape), weight, bias])


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "groups"), [((400, 3), 1), ((400, 6), 2), ((100, 8, 5), 4), ((50, 6, 3, 3), 3)])
def test_narrow_statistics_are_the_nearest(dtype, shape, groups):
    """Also where the mean lies half-way between two: those of channels are combined in float64 without an error."""
    torch.manual_seed(0)
    x = (torch.randn(shape) * 5).to(dtype)
    x[0] = torch.tensor([-8.0703125, -0.57373046875, 3.12890625]).repeat(shape[1] // 3 + 1)[: shape[1]].view(-1, *[1] * (x.dim() - 2))
    wide = x.double().reshape(shape[0], groups, -1)
    with ops.enabled("group_norm"):
        _, mean, rstd = aten.native_group_norm(x, None, None, *shape[:2], math.prod(shape[2:]), groups, 1e-5)
    assert torch.equal(mean, wide.mean(-1).to(dtype))
    assert torch.equal(rstd, wide.var(-1, unbiased=False).add(1e-5).rsqrt().to(dtype))


@pytest.mark.usefixtures("left")
def test_bfloat16_beside_float32():
    """Weights and statistics may be float32 beside narrower elements; what they are of is what PyTorch returns."""

    def run(x, grad, weight, bias, rows_weight, rows_bias):
        layer = aten.native_layer_norm(x, (5,), rows_weight, rows_bias, 1e-5)
        layer += aten.native_layer_norm_backward(grad, x, (5,), *layer[1:], rows_weight, rows_bias, [True] * 3)
        batch = aten.native_batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)
        batch += aten.native_batch_norm_backward(grad, x, weight, None, None, *batch[1:], True, 1e-5, [True] * 3)
        return layer + batch + aten.native_group_norm(x, weight, bias, 4, 6, 25, 2, 1e-5)

    inputs = [*torch.randn(2, 4, 6, 5, 5).bfloat16(), *torch.randn(2, 6), *torch.randn(2, 5)]
    with ops.enabled("layer_norm", "group_norm", "batch_norm"):
        results = run(*inputs)
    for ours, eager, exact in zip(results, run(*inputs), run(*(each.double() for each in inputs)), strict=True):
        assert (ours.dtype, ours.stride()) == (eager.dtype, eager.stride())
        tolerance = 2e-2 if ours.dtype is torch.bfloat16 else 1e-5
        torch.testing.assert_close(ours.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("shape", [(3, 40_000), (2, 1500, 5), (2, 21, 300), (9, 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_long_and_short_rows(shape, name):
    x = torch.randn(shape) * 5
    compare([name], lambda x: getattr(torch, name)(x, 1), 1e-5, [x])
    x[0, 0] = float("-inf")
    x[1] = float("-inf")
    expected = getattr(torch, name)(x, 1)
    with ops.enabled(name):
        torch.testing.assert_close(getattr(torch, name)(x, 1), expected, equal_nan=True)


@pytest.mark.qemu
def test_training_steps_on_an_emulated_x60(cache):
    x, weight, bias = torch.randn(4, 6, 5), torch.randn(6), torch.randn(6)

    def call(x, weight, bias):
        hidden = functional.batch_norm(x, None, None, weight, bias, training=True)
        hidden = functional.group_norm(hidden, 2, weight, bias).transpose(1, 2)
        hidden = functional.rms_norm(functional.layer_norm(hidden, (6,), weight, bias), (6,), weight)
        return torch.log_softmax(hidden, 1) + torch.softmax(hidden, 2)

    with knobs.scope():
        set_device("qemu", "x60")
        compare(["batch_norm", "group_norm", "layer_norm", "rms_norm", "softmax", "log_softmax"], call, 1e-5, [x, weight, bias])
