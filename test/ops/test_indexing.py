"""Operators at indices: what PyTorch's OpInfos do not try."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from triton_spacemit import ops
from triton_spacemit.backend.knobs import knobs

Call = Callable[[], torch.Tensor]


def same(call: Call) -> None:
    """Exactly what PyTorch computes, by kernels."""
    expected, before = call(), ops.left_to_pytorch()
    with ops.enabled():
        result = call()
    torch.testing.assert_close(result, expected, rtol=0, atol=0, check_stride=True)
    assert ops.left_to_pytorch() == before


#: Sizes around the dimension of the indices: long rows, short ones, one element each; one row only.
SIZES = [(5, 40, 70), (1, 300, 600), (3000, 7, 1), (1, 5000, 1), (700, 1, 1), (4, 9, 3), (2, 3, 5000)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.int64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_reading(host, size, dtype):
    torch.manual_seed(0)
    source = torch.randint(-100, 100, size).to(dtype)
    index = torch.randint(0, size[1], (size[0], 11, size[2]))
    rows = torch.randint(0, size[1], (23,), dtype=torch.int32)
    same(lambda: source.gather(1, index))
    same(lambda: source.mT.gather(2, index.mT))
    same(lambda: source.gather(1, index[: (size[0] + 1) // 2, :5]))
    same(lambda: source.index_select(1, rows))
    same(lambda: source.mT.index_select(-1, rows.repeat_interleave(2)[::2]))
    same(lambda: source[:1].expand(3, *size[1:]).index_select(1, rows))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.int64], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_adding(host, size, dtype):
    """Whole numbers, whose sums do not depend on their order."""
    torch.manual_seed(0)
    base, source = (torch.randint(-3, 4, (size[0], rows, size[2])).to(dtype) for rows in (size[1], 31))
    index = torch.randint(0, size[1], (size[0], 31, size[2]))
    rows = torch.randint(0, size[1], (31,))
    same(lambda: base.scatter_add(1, index, source))
    same(lambda: base.mT.clone().scatter_add_(-1, index.mT, source.mT))
    same(lambda: base.clone()[:, :, : (size[2] + 1) // 2].scatter_add_(1, index[:, :7, :1], source))
    same(lambda: base.index_add(1, rows, source, alpha=3))
    same(lambda: base.mT.clone().index_add_(2, rows, source.mT))
    same(lambda: base.scatter(1, torch.arange(size[1])[None, :, None].expand(size).flip(1)[:, :31], source[:, : min(size[1], 31)]))
    same(lambda: base.scatter(1, index, 7))
    same(lambda: base.clone().scatter_(1, index[:, :3], 2))


def test_the_last_of_several_for_one_place_stays(host):
    with ops.enabled("scatter"):
        result = torch.zeros(3).scatter(0, torch.tensor([2, 0, 2, 2, 0]), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert result.tolist() == [5, 0, 4]


@pytest.mark.parametrize("value", [3.7, -3.7, True, 127, 1e3, float("inf")])
def test_numbers_of_another_type(host, value):
    """Without their fraction, or PyTorch's exception where they are out of range."""
    base, index = torch.zeros(3, dtype=torch.int8), torch.tensor([1])
    if abs(value) < 128:
        same(lambda: base.scatter(0, index, value))
        return
    with pytest.raises(RuntimeError) as eager:
        base.scatter(0, index, value)
    with ops.enabled(), pytest.raises(RuntimeError) as ours:
        base.scatter(0, index, value)
    assert str(ours.value) == str(eager.value)


def test_sums_do_not_depend_on_threads(host):
    """Nor on chance: they are those of a loop in the order of the elements."""
    torch.manual_seed(0)
    index = torch.randint(0, 3, (20, 5000))
    source = torch.randn(20, 5000) * torch.rand(20, 5000).mul(40).exp2()
    expected = torch.zeros(20, 3)
    for i in range(5000):
        expected[torch.arange(20), index[:, i]] += source[:, i]
    gradient = torch.randn(5000, 40)
    expected_rows = torch.zeros(3, 40)
    for i in range(5000):
        expected_rows[index[0, i]] += gradient[i]
    for threads in (1, 2, 7):
        knobs.threads = threads
        with ops.enabled():
            assert torch.equal(torch.zeros(20, 3).scatter_add(1, index, source), expected)
            assert torch.equal(torch.ops.aten.embedding_dense_backward(gradient, index[0], 3, -1, False), expected_rows)


def test_narrow_sums_are_rounded_once(host):
    ones = torch.ones(1000, dtype=torch.bfloat16)
    index = torch.zeros(1000, dtype=torch.int64)
    with ops.enabled():
        assert torch.zeros(1, dtype=torch.bfloat16).scatter_add(0, index, ones).item() == 1000
        assert torch.zeros(1, dtype=torch.bfloat16).index_add(0, index, ones).item() == 1000
        assert torch.ops.aten.embedding_dense_backward(ones[:, None], index, 1, -1, False).item() == 1000


@pytest.mark.parametrize("wrong", [-1, 5, 1 << 40])
def test_an_index_that_is_none(host, wrong):
    """PyTorch's error, its type and its words; and tensors are left alone."""
    index = torch.tensor([0, 1, wrong, 2])
    base, out = torch.arange(5.0), torch.full((4,), 7.0)
    weight = torch.randn(5, 20)
    calls: list[Call] = [
        lambda: base.gather(0, index),
        lambda: torch.gather(base, 0, index, out=out),
        lambda: base.index_select(0, index),
        lambda: torch.index_select(weight, 0, index),
        lambda: functional.embedding(index, weight),
        lambda: base.scatter_add_(0, index, torch.ones(4)),
        lambda: base.scatter_(0, index, 3.0),
        lambda: base.index_add_(0, index, torch.ones(4)),
        lambda: functional.nll_loss(weight.mT, index.repeat(5)),
    ]
    for call in calls:
        with pytest.raises(Exception) as eager:  # noqa: PT011, whatever PyTorch raises
            call()
        base.copy_(torch.arange(5.0))
        out.fill_(7)
        with ops.enabled(), pytest.raises(type(eager.value)) as ours:
            call()
        assert str(ours.value) == str(eager.value)
        assert torch.equal(base, torch.arange(5.0))
        assert (out == 7).all()


#: Calls that write into a tensor, with an index that is none; some with a second mistake, which PyTorch may find first.
WRITING: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "index_select": lambda index, out: torch.index_select(torch.zeros(5, 20), 0, index, out=out),
    "index_select of a number": lambda index, out: torch.index_select(torch.tensor(1.0), 0, index[:1], out=out),
    "index_select of no rows": lambda index, out: torch.index_select(torch.zeros(0, 20), 0, index, out=out),
    "index_select by a matrix": lambda index, out: torch.index_select(torch.zeros(5, 20), 0, index[None], out=out),
    "gather": lambda index, out: torch.gather(torch.arange(5.0), 0, index, out=out),
    "gather of a matrix": lambda index, out: torch.gather(torch.zeros(5, 5), 0, index, out=out),
    "scatter": lambda index, out: torch.scatter(torch.zeros(1, 5), 1, index[None], torch.ones(1, 3), out=out),
    "scatter of a number": lambda index, out: torch.scatter(torch.zeros(5), 0, index, 3.0, out=out),
    "scatter of few": lambda index, out: torch.scatter(torch.zeros(5), 0, index, torch.ones(2), out=out),
    "scatter_add": lambda index, out: torch.scatter_add(torch.zeros(5), 0, index, torch.ones(3), out=out),
    "index_add": lambda index, out: torch.index_add(torch.zeros(5), 0, index, torch.ones(3), out=out),
    "index_add of few": lambda index, out: torch.index_add(torch.zeros(5), 0, index, torch.ones(2), out=out),
    "index_add of integers": lambda index, out: torch.index_add(torch.zeros(5), 0, index, torch.ones(3, dtype=torch.int64), out=out),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", WRITING)
def test_what_was_given_for_a_result_that_is_none(host, name, dtype):
    """It has the shape that PyTorch leaves, with its warning (in words of PyTorch's C++ or Python), and keeps its values."""
    for size in (0, 2, 7):
        seen = []
        for enabled in (False, True):
            out = torch.full((size,), 7, dtype=dtype)
            with warnings.catch_warnings(record=True) as warned, ops.enabled() if enabled else nullcontext():
                warnings.simplefilter("always")
                with pytest.raises(Exception) as error:  # noqa: PT011, whatever PyTorch raises
                    WRITING[name](torch.tensor([9, 1, 2]), out)
            resized = [str(warning.message).partition(" since")[0] for warning in warned]
            seen.append((error.type, str(error.value), out.shape, out.stride(), resized))
        assert seen[0] == seen[1]
        assert (out.flatten()[:size] == 7).all()


def test_what_is_written_is_not_read(host):
    """Where memory overlaps, PyTorch's errors are raised, and parts that lie apart are no overlap."""
    memory, index = torch.arange(20.0), torch.tensor([1, 0, 3])
    for call in (
        lambda: memory[:5].scatter_add_(0, index, memory[2:5]),
        lambda: torch.zeros(1).expand(5).scatter_add_(0, index, torch.ones(3)),
        lambda: torch.gather(memory[:5], 0, index, out=memory[1:4]),
    ):
        with ops.enabled(), pytest.raises(RuntimeError, match="unsupported operation"):
            call()
    expected = memory.clone()
    expected[index] += memory[10:13]
    before = ops.left_to_pytorch()
    with ops.enabled():
        memory[:5].scatter_add_(0, index, memory[10:13])
    assert torch.equal(memory, expected)
    assert ops.left_to_pytorch() == before


def test_distances_above_2_to_the_31(host):
    """The memory between the rows is never touched."""
    storage = torch.empty((1 << 31) + 1000, dtype=torch.int8)
    rows = storage.as_strided((2, 100), ((1 << 31) + 64, 1))
    rows.copy_(torch.arange(200).view(2, 100) % 100)
    index = torch.tensor([1, 0, 1])
    same(lambda: rows.index_select(0, index))
    same(lambda: rows.gather(0, index[:, None].expand(3, 100)))
    with ops.enabled():
        rows.scatter_add_(0, index[:1, None].expand(1, 100), torch.ones(1, 100, dtype=torch.int8))
    assert torch.equal(rows[1], torch.arange(100, 200).remainder(100).add(1).to(torch.int8))


def test_embedding_gradients(host):
    torch.manual_seed(0)
    index = torch.randint(0, 9, (6, 7))
    for options in ({}, {"padding_idx": 3}, {"scale_grad_by_freq": True}, {"padding_idx": -1, "scale_grad_by_freq": True}):
        weight = torch.randn(9, 33, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(6, 7, 33, dtype=torch.float64)
        expected = torch.autograd.grad((functional.embedding(index, weight, **options) * weights).sum(), weight)
        with ops.enabled():
            ours = torch.autograd.grad((functional.embedding(index, weight, **options) * weights).sum(), weight)
        torch.testing.assert_close(ours, expected)


def test_many_targets(host):
    """More than one program's part, whose sums are added up in the same order on any number of threads."""
    torch.manual_seed(0)
    scores, target = torch.randn(40000, 3), torch.randint(0, 3, (40000,))
    exact = functional.nll_loss(scores.double(), target)
    results = []
    for threads in (1, 3):
        knobs.threads = threads
        with ops.enabled():
            results.append(functional.nll_loss(scores, target))
    assert torch.equal(*results)
    assert abs(results[0].item() - exact.item()) <= 1e-6


@pytest.mark.qemu
def test_on_an_emulated_x60(x60):
    torch.manual_seed(0)
    source, index = torch.randint(-9, 9, (3, 8, 21)).float(), torch.randint(0, 8, (3, 5, 21))
    same(lambda: source.gather(1, index))
    same(lambda: source.index_select(1, index[0, 0, :4]))
    same(lambda: source.scatter_add(1, index, source))
    same(lambda: source.index_add(0, index[0, 0, :1].clamp(max=2), source[:1]))
    same(lambda: functional.embedding(index, source[0]))
