"""Attention against float64: all kinds of shapes, strides and masks, forward and backward; and the ways by which PyTorch gets there."""

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from kernels.case import epsilon, rounding
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from triton_spacemit import ops
from triton_spacemit.backend.knobs import knobs

FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

#: batch, heads, heads of keys, queries, keys, dim
SIZES = [
    (2, 3, 3, 5, 7, 8),
    (1, 4, 2, 100, 130, 80),
    (1, 2, 2, 1, 300, 64),
    (1, 4, 1, 130, 65, 33),
    (3, 1, 1, 1, 1, 1),
    (1, 2, 1, 200, 200, 16),
    (2, 4, 2, 1, 130, 80),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


class Problem(NamedTuple):
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    causal: bool
    gradient: torch.Tensor
    scale: float


class Exact(NamedTuple):
    """In float64: results of the same names, and by how much each may be wrong."""

    results: tuple[torch.Tensor, ...]
    bounds: tuple[torch.Tensor, ...]


def make(size: tuple[int, ...], dtype: torch.dtype, causal: bool = False, masked: bool = False, scale: float = 0.2) -> Problem:
    """Queries, values and gradients are (batch, length, heads, dim), transposed; one row of a mask hides all keys."""
    batch, heads, key_heads, queries, keys, dim = size
    torch.manual_seed(0)
    query, gradient = (torch.randn(batch, queries, heads, dim).to(dtype).transpose(1, 2) for _ in range(2))
    key = torch.randn(batch, key_heads, keys, dim).to(dtype)
    value = torch.randn(batch, keys, key_heads, dim).to(dtype).transpose(1, 2)
    mask = None
    if masked:
        mask = torch.randn(queries, keys).masked_fill(torch.rand(queries, keys) < 0.3, -torch.inf)
        mask[queries // 2] = -torch.inf
        mask = mask.to(dtype)
    return Problem(query, key, value, mask, causal, gradient, scale)


def exact(p: Problem) -> Exact:
    """Scores have the error of dot products in the dtype of sums, which exp turns into a relative one of the weights, as the sums of
    weights have; weights and their gradients are rounded to the dtype before the second products; then every result is rounded.
    """
    group = p.query.shape[1] // p.key.shape[1]
    query, gradient = p.query.double(), p.gradient.double()
    key, value = (tensor.double().repeat_interleave(group, 1) for tensor in (p.key, p.value))
    scores = query @ key.mT * p.scale
    if p.mask is not None:
        scores = scores + p.mask.double()
    if p.causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    logsumexp = scores.logsumexp(-1)
    visible = logsumexp > -torch.inf
    logsumexp = logsumexp.where(visible, 0)
    weights = (scores - logsumexp[..., None]).exp()
    out = weights @ value
    product = (gradient * out).sum(-1, keepdim=True)
    change = weights * (gradient @ value.mT - product) * p.scale

    def of_keys(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.unflatten(1, (-1, group)).sum(2)

    results = (out, logsumexp, change @ key, of_keys(change.mT @ query), of_keys(weights.mT @ gradient))
    sums = torch.float64 if p.query.dtype is torch.float64 else torch.float32
    size = max((query.abs() @ key.abs().mT).flatten().tolist(), default=0.0) * abs(p.scale)
    if p.mask is not None:
        size += float(p.mask.double().nan_to_num(neginf=0).abs().amax())
    absolute = epsilon(sums) * (2 * size * (query.shape[-1] + 3) + 2 * max(query.shape[-2], key.shape[-2]) + 16)
    large = weights * (gradient.abs() @ value.abs().mT + (gradient.abs() * (weights @ value.abs())).sum(-1, keepdim=True)) * abs(p.scale)
    wrong_weights, wrong_change = (
        factor * (absolute + 2 * epsilon(p.query.dtype)) + torch.finfo(p.query.dtype).smallest_normal * torch.finfo(p.query.dtype).eps
        for factor in (weights, 2 * large)
    )
    bounds = (
        wrong_weights @ value.abs(),
        torch.full_like(logsumexp, absolute),
        wrong_change @ key.abs(),
        of_keys(wrong_change.mT @ query.abs()),
        of_keys(wrong_weights.mT @ gradient.abs()),
    )
    return Exact(results, tuple(bound + rounding(result, p.query.dtype) for bound, result in zip(bounds, results, strict=True)))


def run(p: Problem) -> tuple[torch.Tensor, ...]:
    out, logsumexp = FORWARD(p.query, p.key, p.value, 0.0, p.causal, attn_mask=p.mask, scale=p.scale)
    arguments = (p.gradient, p.query, p.key, p.value, out, logsumexp, 0.0, p.causal)
    return out, logsumexp, *BACKWARD(*arguments, attn_mask=p.mask, scale=p.scale)


def check(p: Problem) -> tuple[torch.Tensor, ...]:
    before = ops.left_to_pytorch()
    with ops.enabled("scaled_dot_product_attention"):
        results = run(p)
    assert ops.left_to_pytorch() == before
    for result, expected, bound in zip(results, *exact(p), strict=True):
        assert ((result.double() - expected).abs() <= bound).all()
    return results


def _cases() -> list[Any]:
    """All sizes in float32 and bfloat16, causal and masked by turns; if slow, each with everything."""
    kinds = list(itertools.product((False, True), repeat=2))
    return [
        pytest.param(
            size, dtype, *kind, id=f"{size}-{dtype}{'-causal' * kind[0]}{'-mask' * kind[1]}", marks=[] if usual else [pytest.mark.slow]
        )
        for i, size in enumerate(SIZES)
        for j, dtype in enumerate(DTYPES)
        for kind in kinds
        for usual in (kind == kinds[(i + j) % 4] and dtype in (torch.float32, torch.bfloat16),)
    ]


@pytest.mark.parametrize(("size", "dtype", "causal", "masked"), _cases())
def test_within_the_bound_of_float64(host, size, dtype, causal, masked):
    p = make(size, dtype, causal, masked)
    results = check(p)
    if size[1] == size[2]:
        for ours, theirs in zip(results, run(p), strict=True):
            assert (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(1, 2, 1, 1024, 1024, 128), (1, 1, 1, 600, 2048, 96), (1, 1, 1, 2048, 600, 256)], ids=str)
def test_long_ones(host, size, dtype):
    for causal, masked in itertools.product((False, True), repeat=2):
        check(make(size, dtype, causal, masked))


@pytest.mark.parametrize("keys", [31, 32, 33, 64, 100])
def test_one_query_sees_what_its_mask_shows(host, keys):
    """Nothing of the first keys, and some of the others; then the last key alone."""
    p = make((2, 4, 2, 1, keys, 40), torch.float32)
    mask = torch.randn(2, 4, 1, keys).masked_fill(torch.rand(2, 4, 1, keys) < 0.5, -torch.inf)
    mask[..., :20] = -torch.inf
    mask[..., -1] = 0.5
    check(p._replace(mask=mask))
    mask[..., :-1] = -torch.inf
    check(p._replace(mask=mask))


def test_one_query_of_transposed_keys(host):
    """Then of keys that are the same for all heads, and of values that lie apart."""
    p = make((1, 4, 2, 1, 70, 16), torch.float32)
    check(p._replace(key=p.key.mT.contiguous().mT))
    check(p._replace(value=p.value.repeat_interleave(3, 2)[:, :, ::3], key=p.key[:, :1].expand(1, 2, 70, 16)))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_blocks_for_threads(host, threads):
    knobs.threads = threads
    check(make((1, 1, 1, 130, 70, 32), torch.float32, causal=True))


def test_masks_are_broadcast_and_may_have_any_strides(host):
    p = make((2, 4, 2, 9, 11, 16), torch.float32)
    for shape in ((9, 11), (1, 11), (9, 1), (2, 1, 1, 11), (1, 4, 9, 1), (2, 4, 9, 11)):
        mask = torch.randn(*shape[:-2], shape[-1], shape[-2], dtype=torch.bfloat16).mT
        check(p._replace(mask=mask))


def test_any_strides(host):
    p = make((2, 4, 2, 9, 11, 16), torch.float32)
    strange = [tensor.repeat_interleave(2, -1)[..., ::2] for tensor in (p.query, p.gradient)]
    check(p._replace(query=strange[0], key=p.key.mT.contiguous().mT, value=p.value[:, :1].expand(2, 2, 11, 16), gradient=strange[1]))
    check(p._replace(gradient=torch.ones(()).expand(2, 4, 9, 16)))  # of a sum


def test_strides_above_2_to_the_31(host):
    """The memory between the heads is never touched."""
    p = make((1, 2, 2, 5, 6, 8), torch.bfloat16)
    storage = torch.empty((1 << 31) + 4096, dtype=torch.bfloat16)
    key = storage.as_strided(p.key.shape, (0, (1 << 31) + 64, 8, 1)).copy_(p.key)
    check(p._replace(key=key))


def test_rows_of_which_nothing_is_visible_are_zero(host):
    p = make((1, 2, 2, 40, 50, 16), torch.float32, masked=True)
    out, logsumexp, query_gradient, *_ = check(p)
    for tensor in (out, logsumexp, query_gradient):
        assert (tensor[:, :, 20] == 0).all()


@pytest.mark.parametrize("queries", [6, 1])
def test_not_a_number_and_infinity_as_in_pytorch(host, queries):
    p = make((3, 1, 1, queries, 70, 8), torch.float32, scale=1.0)
    p.query[0, 0, -1, 0], p.query[1, 0, 0, 3], p.value[:, 0, 7, 1] = torch.nan, torch.inf, torch.inf
    with ops.enabled():
        ours = run(p)
    for mine, theirs in zip(ours, run(p), strict=True):
        torch.testing.assert_close(mine, theirs, equal_nan=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(0, 2, 2, 3, 4, 8), (1, 2, 2, 0, 4, 8)], ids=str)
def test_empty(host, size):
    results = check(make(size, torch.float32))
    assert all((result == 0).all() for result in results)


def test_without_keys(host):
    check(make((1, 2, 2, 3, 0, 8), torch.float32))


def test_gradcheck(host):
    query, key, value = _operands((1, 4, 5, 6), (1, 2, 7, 6), (1, 2, 7, 6), dtype=torch.float64)
    mask = torch.randn(5, 7, dtype=torch.float64)
    with ops.enabled("scaled_dot_product_attention"):
        for options in ({}, {"is_causal": True}, {"attn_mask": mask}, {"scale": 0.7}):
            assert torch.autograd.gradcheck(
                lambda *operands, options=options: scaled_dot_product_attention(*operands, enable_gqa=True, **options), (query, key, value)
            )


def _operands(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


#: What PyTorch does not give to one kernel: it computes products, a softmax and products again.
COMPOSED: dict[str, tuple[list[torch.Tensor], dict[str, Any]]] = {
    "a mask with gradients": (_operands((2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)), {"attn_mask": torch.zeros(5, 7, requires_grad=True)}),
    "three dimensions": (_operands((4, 5, 8), (4, 7, 8), (4, 7, 8)), {}),
    "values of another width": (_operands((2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)), {}),
    "three dimensions, causal": (_operands((4, 5, 8), (4, 7, 8), (4, 7, 8)), {"is_causal": True}),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_composed(host, name):
    operands, options = COMPOSED[name]
    inputs = [*operands, *(option for option in options.values() if isinstance(option, torch.Tensor))]
    expected = scaled_dot_product_attention(*operands, **options)
    gradients = torch.autograd.grad(expected.square().sum(), inputs)
    before = ops.left_to_pytorch()
    with ops.enabled():
        result = scaled_dot_product_attention(*operands, **options)
        torch.testing.assert_close(result, expected)
        for ours, theirs in zip(torch.autograd.grad(result.square().sum(), inputs), gradients, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert ops.left_to_pytorch() == before


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32], ids=str)
def test_pytorchs_masks(host, dtype, launches):
    query, key, value = _operands((2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8))
    mask = torch.rand(2, 1, 5, 7) < 0.6 if dtype is torch.bool else torch.randn(2, 1, 5, 7)
    with sdpa_kernel(SDPBackend.MATH):
        expected = scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    with ops.enabled("scaled_dot_product_attention"):
        torch.testing.assert_close(scaled_dot_product_attention(query, key, value, mask, enable_gqa=True), expected)
    assert "_attention" in launches


def test_mistakes_are_pytorchs(host):
    query, key, value = (tensor.detach() for tensor in _operands((2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)))
    for wrong in (
        (query[0, 0, 0], key, value),
        (query, key[:, :3], value[:, :3]),
        (query, key[..., :4], value),
        (query.double(), key, value),
        (query, key, value, torch.zeros(3, 3)),
        (query.to(torch.complex64), key, value),
    ):
        with pytest.raises(Exception) as eager:  # noqa: PT011, whatever PyTorch raises
            scaled_dot_product_attention(*wrong)
        with ops.enabled(), pytest.raises(type(eager.value)):
            scaled_dot_product_attention(*wrong)


def test_compiled(host):
    query, key, value = _operands((1, 4, 50, 16), (1, 4, 50, 16), (1, 4, 50, 16))

    def compute(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return scaled_dot_product_attention(query.sin(), key, value, is_causal=True) * 2

    expected = torch.autograd.grad(compute(query, key, value).square().sum(), (query, key, value))
    with ops.enabled("scaled_dot_product_attention"):
        result = torch.compile(compute, fullgraph=True)(query, key, value)
        for ours, theirs in zip(torch.autograd.grad(result.square().sum(), (query, key, value)), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_flash_attention(host):
    query, key, value = _operands((1, 4, 50, 16), (1, 2, 60, 16), (1, 2, 60, 16))
    expected = scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3, enable_gqa=True)
    result = ops.flash_attention(query, key, value, causal=True, scale=0.3)
    torch.testing.assert_close(result, expected)
    doubles = [tensor.detach()[:, :, :6].double().requires_grad_() for tensor in (query, key, value)]
    assert torch.autograd.gradcheck(ops.flash_attention, doubles)
    with pytest.raises(ValueError, match=r"flash_attention takes .* not \(1, 4, 50, 16\) float32, \(2, 60, 16\) float32, "):
        ops.flash_attention(query, key[0], value)


@pytest.mark.qemu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_an_emulated_x60(x60, dtype):
    check(make((1, 2, 1, 70, 67, 20), dtype, causal=True))
    check(make((1, 2, 2, 5, 67, 64), dtype, masked=True))
