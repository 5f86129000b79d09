"""Linear layers with packed weights: as close to the exact product of the quantised activations as the order of float32 sums allows."""

import dataclasses

import numpy as np
import pytest
import torch
from targets import EMULATED, TARGETS, cache, cache_folder, choose

from triton_spacemit.backend import set_device
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised import Packed
from triton_spacemit.ops.quantised.activations import Activations, Order, quantise
from triton_spacemit.ops.quantised.formats import FORMATS, get_format
from triton_spacemit.ops.quantised.linear import split
from triton_spacemit.ops.quantised.packings import unpack_rows
from triton_spacemit.ops.quantised.panels import make_panels

__all__ = ["cache", "cache_folder"]


@pytest.fixture(params=TARGETS)
def target(request):
    choose(*request.param)


@pytest.fixture(params=EMULATED)
def emulated(request):
    choose(*request.param)


def weights(name: str, n: int, k: int, experts: int = 0, seed: int = 0) -> Packed:
    """Random blocks whose scales are between 1/64 and 1, and minima between -8 and 0.5."""
    form, generator = get_format(name), torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (max(experts, 1) * n, k // form.weights, form.size), dtype=torch.uint8, generator=generator)
    parts = form.read(raw)
    scale = (torch.rand(parts.scale.shape, generator=generator) + 1 / 64).half()
    minimum = None if parts.minimum is None else (torch.rand(parts.scale.shape, generator=generator) * 8.5 - 8).half()
    raw = form.write(dataclasses.replace(parts, scale=scale, minimum=minimum))
    return quantised.pack(raw, name, (experts, n, k) if experts else (n, k))


def expected(x: torch.Tensor, packed: Packed) -> tuple[torch.Tensor, torch.Tensor]:
    """The exact product of the quantised activations, and how far from it float32 sums of blocks may be.

    Each of a column's `2 * groups` terms is a product of factors that were rounded at most three times, and each sum rounds once.
    """
    a, w = quantise(x, Order.TILES).dequantise(), packed.dequantise(torch.float64)
    form, minima = packed.packing.form, 0.0
    groups = 2 * packed.shape[-1] // form.group
    parts = unpack_rows(packed.packing, packed.bytes)
    if parts.minimum is not None:  # a weight is a product and a minimum, which may be near to each other and opposite
        factor = 1.0 if parts.minima is None else parts.minima.double()
        minima = (parts.minimum.double()[..., None] * factor).abs()
        minima = minima.repeat_interleave(form.group, -1).flatten(1)[: packed.shape[0]]
    return a @ w.T, (groups + 4) * 2.0**-24 * (a.abs() @ (w.abs() + 2 * minima).T) + 1e-30


def check(x: torch.Tensor, packed: Packed, bias: torch.Tensor | None = None) -> None:
    found = quantised.linear(x, packed, bias)
    assert found.shape == (*x.shape[:-1], packed.shape[0])
    assert found.dtype is x.dtype
    exact, bound = expected(x.reshape(-1, x.shape[-1]), packed)
    if bias is not None:
        exact, bound = exact + bias.double(), bound + 2.0**-23 * (exact.abs() + bias.double().abs())
    bound = bound + {torch.float32: 0.0, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}[x.dtype] * (exact.abs() + bound)
    worst = ((found.reshape(exact.shape).double() - exact).abs() / bound).max()
    assert worst <= 1, worst


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FORMATS)
def test_formats(target, name):
    """Of few rows, and of more, for which columns are unpacked once: all of k at once, and in parts."""
    for rows, steps in ((5, 512), (13, 768), (17, 2304)):
        check(numbers(rows, steps), weights(name, 37, steps))


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q4_1"])
def test_sizes(target, name):
    for m, n, k in ((1, 1, 32), (3, 16, 96), (4, 17, 64), (9, 40, 160), (16, 64, 1024), (33, 5, 32), (70, 20, 2176)):
        check(numbers(m, k, seed=m), weights(name, n, k, seed=n))


def as_ggml(a: Activations, packed: Packed) -> np.ndarray:
    """`fma(float(sum), scale of the row * scale of the column, acc)`, block after block, rounded as float32 does."""
    values = a.dequantise().unflatten(1, (-1, 32)) / a.scales.reshape(a.rows, -1, 1).double()  # the bytes, without what rounds
    parts = unpack_rows(packed.packing, packed.bytes)
    integers, scale = parts.integers[: packed.shape[0]].double(), parts.scale[: packed.shape[0]].float().numpy()
    acc = np.zeros((a.rows, packed.shape[0]), np.float32)
    for block in range(values.shape[1]):
        sums = (values[:, block].round() @ integers[:, block].T).numpy()
        factor = a.scales.reshape(a.rows, -1)[:, block].numpy()[:, None] * scale[:, block]
        # 64 bits of mantissa hold the product of 20 by 24 bits; adding and rounding twice goes wrong once in 2^40
        acc = (sums.astype(np.longdouble) * factor.astype(np.longdouble) + acc.astype(np.longdouble)).astype(np.float32)
    return acc


def test_the_bits_of_ggml(target):
    """Q4_0: not one bit from GGML's own order of operations."""
    x, packed = numbers(24, 1024), weights("Q4_0", 48, 1024)
    assert np.array_equal(quantised.linear(x, packed).numpy(), as_ggml(quantise(x, Order.ROWS), packed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_dtypes_strides_and_bias(target, dtype):
    packed = weights("Q4_0", 20, 64)
    x = numbers(2, 3, 128).to(dtype)[..., ::2]
    check(x, packed, numbers(20, seed=1))
    check(x.transpose(0, 1), packed, numbers(20, seed=1).to(dtype))
    check(numbers(64).to(dtype), packed)


def test_nothing(target):
    packed = weights("Q4_0", 20, 64)
    assert quantised.linear(torch.empty(0, 64), packed).shape == (0, 20)
    assert quantised.linear(torch.empty(3, 0, 64), packed).shape == (3, 0, 20)


def test_what_is_no_number(target):
    """A row or a column with NaN or infinity gives NaN, and no other does."""
    x, packed = numbers(6, 64), weights("Q4_0", 20, 64)
    x[1, 40], x[4, 3] = float("nan"), float("inf")
    packed.bytes[0, 1, 10:12] = torch.tensor([0, 0x7E], dtype=torch.uint8)  # the scale of column 5
    found = quantised.linear(x, packed).isnan()
    wanted = torch.zeros(6, 20, dtype=torch.bool)
    wanted[[1, 4]], wanted[:, 5] = True, True
    assert torch.equal(found, wanted)


def test_batches(target):
    packed, x = weights("Q8_0", 20, 64, experts=3), numbers(3, 5, 64)
    found = quantised.linear(x, packed)
    for number in range(3):
        assert torch.equal(found[number], quantised.linear(x[number], packed.expert(number)))


def test_experts(target):
    packed, x = weights("Q4_0", 20, 64, experts=4), numbers(6, 2, 64)
    ids = torch.tensor([[0, 3], [3, 1], [1, 1], [-1, 0], [3, 0], [0, -1]])
    for rows in (x, x[:, :1]):
        found = quantised.linear_experts(rows, packed, ids)
        for token, number in ((t, i) for t in range(6) for i in range(2)):
            row = rows[token, min(number, rows.shape[1] - 1)]
            expert = int(ids[token, number])
            wanted = torch.zeros(20) if expert < 0 else quantised.linear(row, packed.expert(expert))
            assert torch.equal(found[token, number], wanted)


def test_experts_of_several_stacks(target):
    """Results are those of each stack by itself, side by side, of one token and of several."""
    stacks = [weights("Q4_1", n, 64, experts=3, seed=n) for n in (20, 33)]
    for tokens, used, rows in ((1, 2, 1), (1, 2, 2), (3, 2, 1), (1, 0, 1), (0, 2, 1)):
        x, ids = numbers(tokens, rows, 64), torch.tensor([[2, 0], [1, -1], [2, 2]])[:tokens, :used]
        found = quantised.linear_experts(x, stacks, ids)
        assert torch.equal(found, torch.cat([quantised.linear_experts(x, each, ids) for each in stacks], 2))
    assert quantised.linear_experts(numbers(1, 1, 64), stacks, torch.tensor([[-1, 1]]))[0, 0].count_nonzero() == 0


def test_operators():
    """Shapes, dtypes and aliases are as PyTorch is told, also under `torch.compile`."""
    set_device("host")
    packed, x = weights("Q4_0", 20, 64, experts=2), numbers(3, 2, 64)
    names = (packed.format, packed.packing.name, 20)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.triton_spacemit.quantised_linear.default, (x, packed.bytes[0], numbers(20), *names), test_utils=checks)
    args = (x, [packed.bytes, packed.bytes], torch.tensor([[0, 1], [1, 1], [0, 0]]), *names[:2], [20, 20])
    torch.library.opcheck(torch.ops.triton_spacemit.quantised_linear_experts.default, args, test_utils=checks)


def test_operators_are_told_what_fits(target):
    """No kernel reads or writes behind bytes, rows and bias that are too few for what an operator is told of them."""
    packed, call = weights("Q4_0", 20, 64, experts=2), torch.ops.triton_spacemit.quantised_linear
    one = packed.bytes[0]
    for rows in (1, 3, 9):
        x = numbers(rows, 64)
        wrong = [
            (x, one, None, "q4_0x16", 4000),
            (x, one, None, "q4_0x16", 7),
            (numbers(rows, 6400), one, None, "q4_0x16", 20),
            (x, one, None, "q8_0x16", 20),
            (x, one, torch.ones(1), "q4_0x16", 20),
            (x, one.view(torch.int8), None, "q4_0x16", 20),
            (x, one.flip(0).transpose(0, 1), None, "q4_0x16", 20),
        ]
        for x, memory, bias, packing, n in wrong:
            with pytest.raises(ValueError, match=f"and {n} columns of {packing} do not fit each other"):
                call(x, memory, bias, packing[:4].upper(), packing, n)
        with pytest.raises(TypeError, match="not torch.float64"):
            call(numbers(rows, 64).double(), one, None, "Q4_0", "q4_0x16", 20)
    with pytest.raises(ValueError, match="and 4000 columns of q4_0x16 do not fit each other"):
        torch.ops.triton_spacemit.quantised_linear_experts(
            numbers(1, 1, 64), [packed.bytes], torch.tensor([[1]]), "Q4_0", "q4_0x16", [4000]
        )


def test_split():
    """Every panel and column is some program's, and there are programs for all threads where there is work for them."""
    for threads in (1, 2, 4, 8):
        for panels in (1, 2, 3, 8, 33):
            for columns in (1, 2, 5, 64):
                m_count, n_count = split(panels, columns, 1024, threads)
                programs = -(-panels // m_count) * -(-columns // n_count)
                assert 1 <= m_count <= panels
                assert 1 <= n_count <= columns
                assert programs >= min(threads, panels * columns) / 2
    assert split(1000, 4, 1 << 16, 1)[0] == 2


@pytest.mark.parametrize(
    ("x", "bias", "error"),
    [
        (torch.zeros(3, 64, dtype=torch.float64), None, TypeError),
        (torch.zeros(3, 64, dtype=torch.int8), None, TypeError),
        (torch.zeros(3, 32), None, ValueError),
        (torch.zeros(()), None, ValueError),
        (torch.zeros(3, 64), torch.zeros(19), ValueError),
        (torch.zeros(3, 64), torch.zeros(20, dtype=torch.int32), ValueError),
    ],
)
def test_what_is_refused(x, bias, error):
    packed = weights("Q4_0", 20, 64)
    with pytest.raises(error, match="64|20|bfloat16"):
        quantised.linear(x, packed, bias)
    assert quantised.linear(torch.zeros(2, 64), packed).abs().max() == 0


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (torch.zeros(3, 64, device="meta"), "strided one on meta"),
        (torch.zeros(3, 64).to_sparse(), "sparse_coo one on cpu"),
        (torch.nested.nested_tensor([torch.zeros(2, 64)], layout=torch.jagged), "nested one on cpu"),
        ([0.0], "tensor, not a list"),
    ],
)
def test_what_is_no_ordinary_tensor(tensor, what):
    """None of them is read as memory of the CPU."""
    packed, x = weights("Q4_0", 20, 64), torch.zeros(3, 64)
    with pytest.raises(TypeError, match=f"activations are a .*{what}"):
        quantised.linear(tensor, packed)
    with pytest.raises(TypeError, match=f"a bias is a .*{what}"):
        quantised.linear(x, packed, tensor)
    with pytest.raises(TypeError, match=f"ids are a .*{what}"):
        quantised.linear_experts(x.unsqueeze(1), weights("Q4_0", 20, 64, experts=2), tensor)


def test_weights_that_are_refused():
    with pytest.raises(TypeError, match="packed ones"):
        quantised.linear(torch.zeros(3, 64), torch.zeros(20, 64))
    raw = weights("Q4_1", 20, 64).unpack()
    with pytest.raises(ValueError, match="q4_1x16"):
        quantised.linear(torch.zeros(3, 64), quantised.pack(raw, "Q4_1", (20, 64), "q4_1x16"))
    experts = weights("Q4_0", 20, 64, experts=2)
    with pytest.raises(TypeError, match="not a list"):
        quantised.linear([0.0] * 64, experts)
    stacks = [weights(name, 20, 64, experts=2) for name in ("Q4_0", "Q4_1")]
    with pytest.raises(ValueError, match="one format"):
        quantised.linear_experts(torch.zeros(1, 1, 64), stacks, torch.tensor([[1]]))
    with pytest.raises(ValueError, match="no number 2"):
        quantised.linear_experts(torch.zeros(1, 1, 64), experts, torch.tensor([[2]]))
    with pytest.raises(ValueError, match="E, N, K"):
        quantised.linear_experts(torch.zeros(1, 1, 64), weights("Q4_0", 20, 64), torch.tensor([[0]]))
    for other in (None, torch.zeros(2, 20, 64), [torch.zeros(2, 20, 64)]):
        with pytest.raises(TypeError, match="packed ones"):
            quantised.linear_experts(torch.zeros(1, 1, 64), other, torch.tensor([[0]]))
    with pytest.raises(ValueError, match="x is"):
        quantised.linear(torch.zeros(3, 64), experts)


def test_panels_behind_the_rows(target):
    """Where a panel has more rows than there are, these are zero, whatever lies behind the activations."""
    packing = weights("Q4_1", 16, 64).packing
    panels = make_panels(quantise(numbers(3, 64), Order.TILES), packing, 8).view(1, 2, -1)
    assert panels[:, :, : 8 * 32].view(1, 2, 2, 8, 16)[:, :, :, 4:].abs().max() == 0
    assert panels[:, :, 8 * 32 :].view(torch.float32).view(1, 2, 2, 8, 8)[:, :, :, 4:].abs().max() == 0
