"""Element-wise operators: errors in units in the last place, layouts, dtypes, memory that overlaps, and what PyTorch refuses."""

import random

import numpy as np
import pytest
import torch
from opinfos import infos

from triton_spacemit import ops
from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.elementwise import layout
from triton_spacemit.ops.elementwise.table import ROWS
from triton_spacemit.ops.registry import by_name

pytestmark = pytest.mark.usefixtures("host")

_SIZE = 20_000


def _both(call, *tensors):
    """Of clones of the tensors, with their strides: PyTorch's outcome and ours, each a result or the type and text of an error."""

    def attempt():
        try:
            return call(*(tensor.clone() if tensor.is_contiguous() else tensor for tensor in tensors))
        except Exception as error:
            return type(error), str(error)

    eager = attempt()
    before = ops.left_to_pytorch()
    with ops.enabled():
        ours = attempt()
    if isinstance(eager, torch.Tensor):
        assert ops.left_to_pytorch() == before
    return eager, ours


def _same(call, *tensors):
    eager, ours = _both(call, *tensors)
    assert type(ours) is type(eager)
    if isinstance(eager, tuple):
        assert ours == eager
    else:
        torch.testing.assert_close(ours, eager, equal_nan=True, check_stride=True)


_CHOOSING = ("where", "masked_fill", "native_dropout_backward")  # by truth values, and exact
_WITH_BOUND = [row for row in ROWS if row.error and row.name in by_name() and "float32" in row.dtypes and row.result != "bool"]
_WITH_BOUND = [row for row in _WITH_BOUND if row.name not in _CHOOSING]


@pytest.mark.parametrize("row", _WITH_BOUND, ids=lambda row: row.name)
def test_errors_are_within_what_the_table_says(row):
    """Of 20,000 numbers from -8 to 8, or of the function's domain, in float32 against float64."""
    info = infos(by_name()[row.name])[0]
    generator = torch.Generator().manual_seed(0)
    low, high = getattr(info, "domain", (None, None))
    low, high = -8 if low is None else max(low, -8), 8 if high is None else min(high, 8)

    def draw(operand):
        if not isinstance(operand, torch.Tensor) or not operand.dtype.is_floating_point:
            return operand
        return torch.rand(_SIZE, generator=generator) * (high - low) + low

    torch.manual_seed(0)
    sample = next(iter(info.sample_inputs("cpu", torch.float32)))
    arguments = [draw(operand) for operand in (sample.input, *sample.args)]
    if any(isinstance(operand, torch.Tensor) and operand.numel() not in (1, _SIZE) for operand in arguments):
        arguments = [operand for operand in arguments if not isinstance(operand, torch.Tensor) or operand.numel() in (1, _SIZE)]
    wide = [operand.double() if isinstance(operand, torch.Tensor) and operand.dtype.is_floating_point else operand for operand in arguments]
    exact = info.op(*wide, **sample.kwargs)
    with ops.enabled(row.name):
        result = info.op(*arguments, **sample.kwargs)
    finite = torch.isfinite(exact) & torch.isfinite(result)
    assert torch.equal(torch.isfinite(exact), torch.isfinite(result))
    magnitude = np.maximum(exact[finite].abs().numpy().astype(np.float32), np.finfo(np.float32).tiny)
    error = (result.double() - exact)[finite].abs().numpy() / np.spacing(magnitude)
    assert error.size == 0 or error.max() <= row.error + 1e-6, f"{error.max():.2f} ulp"


def _random_view(rng, shape):
    """A tensor of a shape: permuted, with steps, repeated, or plain."""
    order = list(range(len(shape)))
    rng.shuffle(order)
    steps = [rng.choice((1, 1, 2)) for _ in shape]
    sizes = [1 if rng.random() < 0.2 else size for size in shape]
    base = torch.randn([sizes[d] * steps[d] for d in order])
    view = base.permute([order.index(d) for d in range(len(shape))])[tuple(slice(None, None, step) for step in steps)]
    return view.expand(shape) if rng.random() < 0.5 else view


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < 8 else pytest.mark.slow) for seed in range(60)])
def test_any_layout(seed):
    """Results and their strides, of operands of random shapes and strides."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape = [rng.choice((1, 2, 3, 5, 17)) for _ in range(rng.randint(0, 6))]
    views = [_random_view(rng, shape) for _ in range(3)]
    short = views[1][tuple(0 for _ in range(rng.randint(0, len(shape))))]  # fewer dimensions
    _same(torch.add, views[0], short)
    _same(torch.exp, views[0])
    _same(torch.addcmul, *views)
    _same(lambda a, b, c: torch.where(a > 0, b, c), *views)
    _same(lambda a, b: a.masked_fill(b > 0, 2.0), *views[:2])
    target = torch.randn(shape).permute(list(range(len(shape)))[::-1]).contiguous().permute(list(range(len(shape)))[::-1])
    eager, ours = target.clone(), target.clone()
    eager.mul_(views[0])
    with ops.enabled():
        ours.mul_(views[0])
    assert torch.equal(ours, eager)


@pytest.mark.parametrize("size", [0, 1, 7, 8191, 8192, 8193, 65537, (1 << 19) - 1, (1 << 19) + 1])
def test_sizes_around_blocks(size):
    x = torch.randn(size + 3)
    _same(torch.neg, x[3:])  # an address that is no multiple of 16
    _same(torch.mul, x[:size], x[3:])


def test_channels_last_stays():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    with ops.enabled():
        assert torch.sigmoid(x).is_contiguous(memory_format=torch.channels_last)
        assert (x + 1).is_contiguous(memory_format=torch.channels_last)
        assert (x * torch.randn(3, 1, 1)).is_contiguous(memory_format=torch.channels_last)
    _same(torch.add, x, torch.randn(5))


_DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("first", _DTYPES, ids=str)
@pytest.mark.parametrize(
    "call", [torch.add, *(pytest.param(call, marks=pytest.mark.slow) for call in (torch.div, torch.eq, torch.maximum))]
)
def test_type_promotion(call, first, request):
    """Tensors with and without dimensions, and numbers, of every pair of types; without `-m slow` of a few."""
    x = torch.tensor([1, 0, 1, 1]).to(first)
    every = "slow" in request.config.option.markexpr
    for second in _DTYPES if every else (torch.int32, torch.bfloat16):
        _same(call, x, torch.tensor([1, 1, 0, 1]).to(second))
        _same(call, x, torch.tensor(1).to(second))
        _same(call, torch.tensor(1).to(second), x)
    if call is not torch.maximum:
        for number in (2, 0.5, True, -1):
            _same(lambda x, number=number: call(x, number), x)


def test_the_default_float_is_asked_for_each_time():
    x = torch.arange(1, 5)
    try:
        for dtype in (torch.float32, torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            with ops.enabled():
                assert torch.sqrt(x).dtype == (x / 2).dtype == (x * 0.5).dtype == dtype
    finally:
        torch.set_default_dtype(torch.float32)


MISTAKES = {
    "overlap": lambda x: x[1:].add_(x[:-1]),
    "out overlaps": lambda x: torch.exp(x[1:], out=x[:-1]),
    "transposed onto itself": lambda x: x.view(10, 10).add_(x.view(10, 10).t()),
    "repeated": lambda x: x[:1].expand(5).add_(1),
    "shapes": lambda x: x + torch.ones(7),
    "in place grows": lambda x: x[:1].add_(x),
    "cast down": lambda x: x.int().add_(0.5),
    "float into int": lambda x: torch.exp(x, out=torch.empty(100, dtype=torch.int32)),
    "alpha of integers": lambda x: torch.add(x.int(), x.int(), alpha=0.5),
    "alpha of truth": lambda x: torch.add(x, x, alpha=True),
    "truth minus truth": lambda x: (x > 0) - (x > 0),
    "integers by zero": lambda x: x.int() // 0,
    "negative power": lambda x: x.int() ** -1,
    "number out of range": lambda x: torch.clamp(x, max=1e300),
    "limits in the wrong order": lambda x: torch.nn.functional.hardtanh(x, 1, -1),
    "weights of another dtype": lambda x: torch.lerp(x, x.double(), 0.5),
    "nothing to clamp to": lambda x: torch.clamp(x),
    "filled with many": lambda x: x.masked_fill(x > 0, x),
    "unknown word": lambda x: torch.nn.functional.gelu(x, approximate="no"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_pytorchs_and_write_nothing(mistake):
    x = torch.arange(100.0)
    eager, ours = _both(MISTAKES[mistake], x)
    assert isinstance(eager, tuple)
    assert ours == eager
    y = x.clone()
    with ops.enabled(), pytest.raises(eager[0]):
        MISTAKES[mistake](y)
    assert torch.equal(x, y)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.add_(x),
        lambda x: x[::2].add_(x[1::2]),
        lambda x: torch.exp(x, out=x),
        lambda x: x.view(10, 10).t().mul_(x.view(10, 10).t()),
    ],
)
def test_memory_that_is_shared_without_harm(call):
    _same(call, torch.linspace(0, 1, 100))


def test_out_is_resized_with_a_warning():
    x, out = torch.randn(3, 4), torch.empty(2)
    with ops.enabled(), pytest.warns(UserWarning, match="was resized"):
        assert torch.sin(x, out=out) is out
    assert torch.allclose(out, torch.sin(x))


@pytest.mark.parametrize("strides", [(3, 3, 1), (6, 6, 2), (3, 2, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("out", [lambda: torch.zeros(1, 0, 3, 2)[..., 1], lambda: torch.zeros(1, 0, 3), lambda: torch.zeros(0)])
@pytest.mark.parametrize(
    "call", [torch.add, torch.mul, lambda x, y, out: torch.add(x, 2, out=out), lambda x, y, out: torch.exp(x, out=out)]
)
def test_results_without_elements(call, out, strides):
    """Which share no memory, and whose strides PyTorch finds as those of others."""
    x, y = torch.zeros(4).as_strided((1, 0, 3), strides), torch.zeros(1, 0, 3)
    _same(lambda: call(x, y, out=out()))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.isinf(x[:1, :1]),
        lambda x: torch.isinf(x.int()[:1, :1]),
        lambda x: torch.addcmul(x.int(), x, x, value=True),
        lambda x: torch.addcdiv(x, x, x, value=False),
        lambda x: torch.ops.aten.isinf.out(x.t(), out=torch.empty(0, dtype=torch.bool)),
        lambda x: torch.ops.aten.isnan.out(x.t(), out=torch.empty(0, dtype=torch.bool)),
        lambda x: torch.nan_to_num(x.t(), out=torch.empty(0)),
        lambda x: torch.nan_to_num(x.int().t(), out=torch.empty(0, dtype=torch.int32)),
        lambda x: torch._C._nn.hardtanh(x, out=torch.empty(4, 4, dtype=torch.float64)),
        lambda x: torch.clamp(x, 1, 2, out=torch.empty(4, 4, dtype=torch.float64)),
        lambda x: torch.clamp(x, x, x, out=torch.empty(4, 4, dtype=torch.float64)),
        lambda x: torch.clamp_min(x, 1, out=torch.empty(4, 4, dtype=torch.float64)),
        lambda x: torch.deg2rad(x[:0, None], out=torch.empty(0)),
        lambda x: torch.add(1, 2, out=torch.empty(0)),
        lambda x: torch.lerp(x, x, x, out=torch.empty(4, 4, dtype=torch.float64)),
        lambda x: torch.lerp(x, x, 0.5, out=torch.empty(4, 4, dtype=torch.float64)),
    ],
)
def test_what_pytorch_does_otherwise_than_with_others(call):
    _same(call, torch.arange(1.0, 33).view(4, 8)[:, ::2])


def test_offsets_beyond_two_to_the_31():
    base = torch.empty(7 << 30, dtype=torch.int8)  # pages that nobody touches take no memory
    far = base.as_strided((2, 3), (1 << 32, 1 << 30))
    far.copy_(torch.arange(6).view(2, 3))
    with ops.enabled():
        assert torch.equal(far + 1, torch.arange(1, 7, dtype=torch.int8).view(2, 3))
        far.mul_(2)
    assert torch.equal(far, torch.arange(0, 12, 2, dtype=torch.int8).view(2, 3))


def test_integers_wrap_as_pytorchs():
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64):
        limits = torch.iinfo(dtype)
        x = torch.tensor([limits.min, limits.max, 0, 1, 7], dtype=dtype)
        for call in (torch.add, torch.mul, torch.sub, torch.bitwise_xor, torch.maximum):
            _same(call, x, x.flip(0))
        _same(lambda x: x**3, x)
        _same(lambda x: 3**x, x.abs() % 9)
        _same(lambda x: torch.div(x, 3, rounding_mode="floor"), x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.eq(300),
        lambda x: x.eq(-1),
        lambda x: 300 - x,
        lambda x: 300**x,
        lambda x: x.clamp(min=0.5),
        lambda x: x.masked_fill(x > 1, 1.5),
        lambda x: torch.nn.functional.hardtanh(x, 0.5, 2.5),
        lambda x: x & 300,
        lambda x: x - 1,
        lambda x: torch.add(2.0, 3.0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8], ids=str)
def test_numbers_of_integers(call, dtype):
    """They wrap around where PyTorch's do."""
    _same(call, torch.tensor([0, 1, 2, 44, 100], dtype=dtype))


def test_native_dropout_backward():
    gradient, mask = torch.randn(100), torch.rand(100) > 0.5
    _same(lambda gradient, mask: torch.ops.aten.native_dropout_backward(gradient, mask, 2.0), gradient, mask)


def test_collapsed_dimensions():
    sizes, steps = layout.collapse((4, 3, 5), [(15, 5, 1), (15, 5, 1)])
    assert (sizes, steps) == ((60,), ((1,), (1,)))
    sizes, steps = layout.collapse((4, 3, 5), [(15, 5, 1), (5, 0, 1)])
    assert (sizes, steps) == ((5, 3, 4), ((1, 5, 15), (1, 0, 5)))


class TestCallsAgain:
    """From the third such call on, what is known of the first ones is not found out anew."""

    def test_numbers_that_are_equal_and_not_the_same(self, host):
        x = torch.tensor([1.0, -2.0, 0.0])
        calls = [(torch.mul, 0.0), (torch.mul, -0.0), (torch.mul, 0), (torch.add, 1), (torch.add, 1.0), (torch.add, True)]
        whole = torch.tensor([3, 4])
        expected = [call(x, number) for call, number in calls], [call(whole, number) for call, number in calls]
        with ops.enabled("add", "mul"):
            for _ in range(4):
                for tensor, results in zip((x, whole), expected, strict=True):
                    for (call, number), result in zip(calls, results, strict=True):
                        ours = call(tensor, number)
                        assert ours.dtype == result.dtype
                        assert torch.equal(ours, result)
                        assert torch.equal(torch.signbit(ours), torch.signbit(result))

    def test_other_layouts_and_tensors(self, host):
        with ops.enabled("sub"):
            for turn in range(4):
                x, y = torch.randn(2, 3, 5) + turn
                assert torch.equal(x - y, torch.from_numpy(x.numpy() - y.numpy()))
                assert (x.T - y.T).stride() == x.T.stride()
                assert (x - y[0]).shape == x.shape
                assert (x.double() - y).dtype is torch.float64
                torch.testing.assert_close(torch.sub(x, y, alpha=turn), torch.from_numpy(x.numpy() - turn * y.numpy()))

    def test_results_in_given_tensors(self, host):
        memory = torch.arange(20.0)
        with ops.enabled("add"):
            for _ in range(4):
                x = torch.ones(10)
                assert torch.equal(x.add_(x), torch.full((10,), 2.0))
                out = torch.empty(10)
                assert torch.add(x, x, out=out) is out
                assert torch.equal(out, torch.full((10,), 4.0))
                other = torch.empty(10)  # not one that overlaps
                torch.add(x, x, out=other)
            with pytest.raises(RuntimeError, match="single memory location"):
                torch.add(memory[:10], x, out=memory[5:15])

    def test_integers_are_still_not_divided_by_zero(self, host):
        x = torch.tensor([4, 9])
        with ops.enabled("floor_divide", "remainder"):
            for call in (torch.floor_divide, torch.remainder):
                for _ in range(4):
                    call(x, torch.tensor([2, 3]))
                with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                    call(x, torch.tensor([2, 0]))

    def test_another_default_dtype(self, host):
        x = torch.tensor([1, 4, 9])
        calls = (torch.sqrt, torch.exp, lambda x: x + 1.5, lambda x: torch.div(x, 4))
        default = torch.get_default_dtype()
        with ops.enabled("sqrt", "exp", "add", "div"):
            try:
                for dtype in (torch.float32, torch.float64, torch.float32):
                    torch.set_default_dtype(dtype)
                    for _ in range(4):
                        assert all(call(x).dtype is dtype for call in calls)
                    torch.testing.assert_close(torch.sqrt(x), torch.tensor([1, 2, 3], dtype=dtype))
            finally:
                torch.set_default_dtype(default)

    def test_hooks_are_told_of_every_call(self, host, request):
        x = torch.ones(10)
        with ops.enabled("exp"):
            for _ in range(4):
                x.exp()
            launches = request.getfixturevalue("launches")
            x.exp()
            x.exp()
        assert launches == ["_flat", "_flat"]

    def test_every_device_has_its_own(self, host):
        x = torch.ones(10)
        with ops.enabled("exp"):
            for _ in range(4):
                x.exp()
            with knobs.scope():
                set_device("null")
                for _ in range(4):
                    x.exp()
            for _ in range(4):
                torch.testing.assert_close(x.exp(), torch.full((10,), 2.7182817))


@pytest.mark.parametrize("value", [10, 0, 2.0, 0.5, -0.5, -1, 300, float("nan"), float("inf"), True, 0.5j], ids=str)
@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_filled_with_any_number(dtype, as_tensor, value):
    """Truth values with any but zero; integers refuse what they cannot hold."""
    x, mask = torch.tensor([1, 0, 3]).to(dtype), torch.tensor([True, True, False])
    _same(lambda a, b: a.masked_fill(b, torch.tensor(value) if as_tensor else value), x, mask)
