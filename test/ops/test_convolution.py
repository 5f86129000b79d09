"""Convolutions and pooling beside PyTorch's in float64: strides, paddings, dilations, groups, layouts; gradients; mistakes."""

import itertools
import threading
from typing import Any

import pytest
import torch
from opinfos import Outcome

from triton_spacemit import ops
from triton_spacemit.ops.convolution import layouts, pixels

ATEN = torch.ops.aten


@pytest.fixture(autouse=True)
def on_the_host(host):
    pass


def answered(name: str) -> int:
    return sum(count for overload, count in ops.left_to_pytorch().items() if overload.startswith(name))


#: Sizes of the image, channels, channels of the result, kernel, and what differs from 1 and 0.
CASES: list[tuple[tuple[int, ...], int, int, tuple[int, ...], dict[str, Any]]] = [
    ((8, 9), 3, 4, (3, 3), {"padding": 1}),
    ((8, 9), 3, 4, (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
    ((11, 10), 4, 6, (3, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}),
    ((9, 9), 4, 6, (1, 1), {}),
    ((9, 9), 4, 6, (1, 1), {"stride": 2}),
    ((9, 9), 4, 6, (1, 1), {"padding": 1}),
    ((8, 9), 3, 4, (3, 3), {"padding": 4}),
    ((3, 3), 3, 4, (5, 5), {"padding": 1}),
    ((7, 5), 3, 4, (2, 2), {"stride": 5}),
    ((11, 10), 4, 4, (3, 3), {"stride": 2, "padding": 1, "groups": 4}),
    ((11, 10), 4, 8, (3, 3), {"padding": 1, "dilation": 2, "groups": 4}),
    ((11,), 4, 6, (3,), {"stride": 2, "padding": 2}),
    ((11,), 4, 4, (3,), {"padding": 1, "groups": 4}),
    ((5, 6, 7), 4, 6, (3, 2, 3), {"stride": (1, 2, 2), "padding": 1}),
    ((9, 8), 4, 6, (3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "transposed": True}),
    ((9, 8), 4, 6, (3, 3), {"stride": 3, "padding": 2, "dilation": 2, "groups": 2, "transposed": True, "output_padding": (1, 2)}),
    ((9,), 3, 4, (2,), {"stride": 4, "transposed": True}),
    ((5, 4), 4, 6, (3, 2), {"stride": 2, "padding": (3, 2), "dilation": 4, "transposed": True, "output_padding": (2, 3)}),
    ((4, 5, 6), 2, 3, (2, 3, 3), {"stride": 2, "padding": 1, "transposed": True}),
]


def arguments(case: Any, dtype: torch.dtype, channels_last: bool = False) -> tuple[Any, ...]:
    sizes, channels, results, kernel, options = case
    torch.manual_seed(0)
    groups = options.get("groups", 1)
    shape = (channels, results // groups) if options.get("transposed") else (results, channels // groups)
    image, weight = torch.randn(2, channels, *sizes).to(dtype), torch.randn(*shape, *kernel).to(dtype)
    if channels_last:
        image = image.contiguous(memory_format=torch.channels_last)

    def each(name: str, otherwise: int) -> list[int]:
        value = options.get(name, otherwise)
        return list(value) if isinstance(value, tuple) else [value] * len(kernel)

    rest = each("stride", 1), each("padding", 0), each("dilation", 1), options.get("transposed", False), each("output_padding", 0), groups
    return image, weight, torch.randn(results).to(dtype), *rest


def check(ours: torch.Tensor, theirs: torch.Tensor, terms: int) -> None:
    """Against PyTorch's in float64: `terms` products of numbers about 1, in float32 or float64, and a rounding to the type."""
    assert ours.shape == theirs.shape
    eps = 2.0**-53 if ours.dtype == torch.float64 else 2.0**-24
    tolerance = 8 * eps * terms + 2 * torch.finfo(ours.dtype).eps * theirs.abs()
    assert ((ours.double() - theirs).abs() <= tolerance).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolutions_and_their_gradients(case):
    image, weight, bias, *rest = arguments(case, torch.float64)
    expected = torch.convolution(image, weight, bias, *rest)
    dy = torch.randn_like(expected)
    gradients = ATEN.convolution_backward(dy, image, weight, list(bias.shape), *rest, [True, True, True])
    before = answered("convolution")
    with ops.enabled("convolution"):
        result = torch.convolution(image, weight, bias, *rest)
        ours = ATEN.convolution_backward(dy, image, weight, list(bias.shape), *rest, [True, True, True])
    assert answered("convolution") == before
    assert result.stride() == expected.stride()
    check(result, expected, weight.numel())
    for our, their in zip(ours, gradients, strict=True):
        check(our, their, dy.numel())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("number", [0, 9])
def test_types(dtype, number):
    image, weight, bias, *rest = arguments(CASES[number], dtype)
    with ops.enabled("convolution"):
        result = torch.convolution(image, weight, bias, *rest)
    check(result, torch.convolution(image.double(), weight.double(), bias.double(), *rest), weight.numel() * 8)


@pytest.mark.parametrize("number", [0, 3, 9])
def test_channels_last(number):
    image, weight, bias, *rest = arguments(CASES[number], torch.float64, channels_last=True)
    expected = torch.convolution(image, weight, bias, *rest)
    with ops.enabled("convolution"):
        result = torch.convolution(image, weight, bias, *rest)
    assert result.is_contiguous(memory_format=torch.channels_last)
    check(result, expected, weight.numel())


@pytest.fixture
def through_pixels(monkeypatch, launches):
    """Convolutions of all sizes by products of pixels; how many there were. As launches are told of, no call has a plan."""
    monkeypatch.setattr(pixels, "_LEAST_PIXELS", 0)
    monkeypatch.setattr(pixels, "_LEAST_PIXELS_LAST", 0)
    monkeypatch.setattr(pixels, "_LEAST_CHANNELS", 1)
    counts = dict.fromkeys(("correlated", "gradient_of_image", "gradient_of_weight"), 0)

    def counted(name: str) -> Any:
        function = getattr(pixels, name)

        def call(*arguments: Any) -> Any:
            counts[name] += 1
            return function(*arguments)

        return call

    for name in counts:
        monkeypatch.setattr(pixels, name, counted(name))
    return counts


@pytest.mark.parametrize("last", [(True, True), (True, False), (False, True), (False, False)], ids=str)
@pytest.mark.parametrize("case", [case for case in CASES if case[4].get("groups", 1) == 1], ids=str)
def test_products_of_pixels(case, last, through_pixels):
    """Image and weights with their channels last, or first."""
    image, weight, bias, *rest = arguments(case, torch.float64)
    form = {3: torch.contiguous_format, 4: torch.channels_last, 5: torch.channels_last_3d}[image.dim()]
    image, weight = (t.contiguous(memory_format=form) if is_last else t for t, is_last in zip((image, weight), last, strict=True))
    expected = torch.convolution(image, weight, bias, *rest)
    dy = torch.randn_like(expected)
    gradients = ATEN.convolution_backward(dy, image, weight, list(bias.shape), *rest, [True, True, True])
    with ops.enabled("convolution"):
        result = torch.convolution(image, weight, bias, *rest)
        ours = ATEN.convolution_backward(dy, image, weight, list(bias.shape), *rest, [True, True, True])
    check(result, expected, weight.numel())
    for our, their in zip(ours, gradients, strict=True):
        check(our, their, dy.numel())
    if last[0]:
        assert all(t.is_contiguous(memory_format=form) for t in (result, ours[0]))
    if last[0] or weight[0, 0].numel() > 1:
        one, other = ("gradient_of_image", "correlated") if case[4].get("transposed") else ("correlated", "gradient_of_image")
        assert through_pixels == {one: 1, other: 1, "gradient_of_weight": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("number", [0, 1, 14])
def test_types_of_pixels(dtype, number, through_pixels):
    image, weight, bias, *rest = arguments(CASES[number], dtype, channels_last=True)
    expected = torch.convolution(image.double(), weight.double(), bias.double(), *rest)
    dy = torch.randn_like(expected).to(dtype)
    gradients = ATEN.convolution_backward(dy.double(), image.double(), weight.double(), None, *rest, [True, True, False])
    with ops.enabled("convolution"):
        result = torch.convolution(image, weight, bias, *rest)
        ours = ATEN.convolution_backward(dy, image, weight, None, *rest, [True, True, False])
    check(result, expected, weight.numel() * 8)
    for our, their in zip(ours[:2], gradients[:2], strict=True):
        check(our, their, dy.numel() * 8)
    assert sum(through_pixels.values()) == 3


@pytest.mark.parametrize("last", [True, False], ids=str)
@pytest.mark.parametrize("stride", [1, 2], ids=str)
def test_blocks_of_pixels(last, stride):
    """Several blocks of pixels, channels and results, none of them whole."""
    image, weight, bias = torch.randn(2, 150, 27, 25), torch.randn(70, 150, 3, 3), torch.randn(70)
    if last:
        image = image.contiguous(memory_format=torch.channels_last)
    rest = [stride] * 2, [1] * 2, [1] * 2, False, [0] * 2, 1
    expected = torch.convolution(image.double(), weight.double(), bias.double(), *rest)
    dy = torch.randn(expected.shape).contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    gradients = ATEN.convolution_backward(dy.double(), image.double(), weight.double(), None, *rest, [True, True, False])
    with ops.enabled("convolution"):
        check(torch.convolution(image, weight, bias, *rest), expected, 150 * 9)
        ours = ATEN.convolution_backward(dy, image, weight, None, *rest, [True, True, False])
    for our, their, terms in zip(ours[:2], gradients[:2], (70 * 9, dy[:, 0].numel()), strict=True):
        check(our, their, terms)


def test_what_is_not_a_number_stays_in_its_pixels(through_pixels):
    image, weight = torch.zeros(2, 16, 6, 6).contiguous(memory_format=torch.channels_last), torch.ones(16, 16, 3, 3)
    image[0, 3, 2, 5] = float("nan")
    expected = torch.nn.functional.conv2d(image, weight, padding=1)
    with ops.enabled("convolution"):
        result = torch.nn.functional.conv2d(image, weight, padding=1)
    assert through_pixels["correlated"] == 1
    assert torch.equal(result.isnan(), expected.isnan())
    assert int(result.isnan().sum()) == 6 * 16


def test_what_is_not_a_number_stays_where_it_is():
    """Nothing of the padding, or of results that nobody needs, reaches a pixel that it is not of."""
    image, weight = torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 3, 3)
    image[0, 0, 2, 5] = float("nan")
    with ops.enabled("convolution"):
        result = torch.nn.functional.conv2d(image, weight, padding=1)
    assert torch.equal(result.isnan(), torch.nn.functional.conv2d(image, weight, padding=1).isnan())
    assert int(result.isnan().sum()) == 6


def test_empty_batches():
    image, weight = torch.randn(0, 3, 8, 8, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    with ops.enabled("convolution"):
        result = torch.nn.functional.conv2d(image, weight)
        result.sum().backward()
    assert result.shape == (0, 4, 6, 6)
    assert image.grad.shape == image.shape
    assert torch.equal(weight.grad, torch.zeros_like(weight))


def test_thnn_conv2d():
    image, weight, bias, *_ = arguments(CASES[0], torch.float64)
    expected = ATEN._slow_conv2d_forward(image, weight, [3, 3], bias, [2, 2], [1, 1])
    dy = torch.randn_like(expected)
    gradients = ATEN._slow_conv2d_backward.output_mask(dy, image, weight, [3, 3], [2, 2], [1, 1], [True, True, True])
    with ops.enabled("thnn_conv2d"):
        check(ATEN._slow_conv2d_forward(image, weight, [3, 3], bias, [2, 2], [1, 1]), expected, weight.numel())
        ours = ATEN._slow_conv2d_backward.output_mask(dy, image, weight, [3, 3], [2, 2], [1, 1], [True, True, True])
    for our, their in zip(ours, gradients, strict=True):
        check(our, their, dy.numel())
    assert answered("_slow_conv2d") == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: torch.nn.functional.conv2d(x, w[:, :2]),
        lambda x, w: torch.nn.functional.conv2d(x, w, torch.zeros(3)),
        lambda x, w: torch.nn.functional.conv2d(x, w.double()),
        lambda x, w: torch.nn.functional.conv2d(x[..., :2], w),
        lambda x, w: torch.nn.functional.conv2d(x, w, stride=0),
        lambda x, w: torch.nn.functional.conv2d(x, w, padding=-1),
        lambda x, w: torch.nn.functional.conv2d(x, w, groups=2),
        lambda x, w: torch.nn.functional.max_pool2d(x, 3, padding=2),
        lambda x, w: torch.nn.functional.avg_pool2d(x, 20),
        lambda x, w: torch.nn.functional.avg_pool2d(x, 2, divisor_override=0),
    ],
)
def test_mistakes_raise_what_pytorch_raises(call):
    x, w = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    eager = Outcome.of(call, x, w).error
    with ops.enabled("convolution", "max_pool2d", "avg_pool2d"):
        ours = Outcome.of(call, x, w).error
    assert eager is not None
    assert type(ours) is type(eager)
    assert str(ours) == str(eager)


POOLS = [
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 2), "stride": (1, 3)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
]


@pytest.mark.parametrize("options", POOLS, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pooling(options, layout):
    torch.manual_seed(0)
    x = torch.randint(0, 4, (2, 3, 11, 10)).double().contiguous(memory_format=layout)  # many are equal
    x[0, 0, 3:5, 3:6] = float("nan")
    x[1, 1] = -float("inf")
    calls = [
        lambda x: torch.nn.functional.max_pool2d(x, **options, return_indices=True),
        lambda x: torch.nn.functional.avg_pool2d(x, **options),
        lambda x: torch.nn.functional.avg_pool2d(x, **options, count_include_pad=False),
        lambda x: torch.nn.functional.avg_pool2d(x, **options, divisor_override=7),
    ]
    if "ceil_mode" not in options:
        calls.append(lambda x: torch.nn.functional.max_pool2d(x, **options, dilation=2, return_indices=True))
    before = answered("max_pool2d"), answered("avg_pool2d")
    for call in calls:

        def run(call: Any = call) -> list[torch.Tensor]:
            own = x.clone().requires_grad_()
            results = call(own)
            results = list(results) if isinstance(results, tuple) else [results]
            weights = torch.arange(results[0].numel(), dtype=torch.float64).reshape(results[0].shape)
            return [*results, *torch.autograd.grad(results[0], own, weights)]

        eager = run()
        with ops.enabled("max_pool2d", "avg_pool2d"):
            ours = run()
        for our, their in zip(ours, eager, strict=True):
            assert our.stride() == their.stride()
            torch.testing.assert_close(our, their, equal_nan=True, rtol=1e-12, atol=1e-12)
    assert (answered("max_pool2d"), answered("avg_pool2d")) == before


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_pixel_of_a_gradient_is_of_one_residue(stride):
    sizes, kernel, padding, dilation = (1, 10, 7), (1, 3, 2), (0, 2, 1), (1, 2, 1)
    strides = (1, stride, stride)
    outputs = layouts.output_sizes(sizes, kernel, strides, padding, dilation)
    count = torch.zeros(sizes)
    taps: list[int] = []
    for residue in layouts.backward(outputs, sizes, kernel, strides, padding, dilation):
        count[tuple(slice(first, None, step) for first, step in zip(residue.first, strides, strict=True))] += 1
        taps += residue.correlation.taps
    assert torch.equal(count, torch.ones(sizes))
    assert sorted(taps) == list(range(6))


def test_layouts_read_no_further_than_they_reach():
    """Those that an image is in already are the image."""
    plain = set()
    for size, kernel, stride, padding, dilation in itertools.product((5, 8), (1, 2, 3), (1, 2, 4), (0, 1, 3), (1, 2)):
        given = (size, size + 1, size + 2), (kernel,) * 3, (stride,) * 3, (padding,) * 3, (dilation,) * 3
        outputs = layouts.output_sizes(*given)
        if min(outputs) <= 0:
            continue
        found = [layouts.forward(*given), *(residue.correlation for residue in layouts.backward(outputs, *given))]
        for correlation in found:
            assert max(correlation.offsets, default=0) + correlation.count <= correlation.channel
            assert min(correlation.offsets, default=0) >= 0
            if correlation.plain:
                depth, height, width = correlation.sizes
                assert (correlation.plane, correlation.pitch, correlation.low) == (
                    depth * height * width,
                    (height * width, width, 1),
                    (0,) * 3,
                )
                plain.add((kernel, stride, padding, correlation is found[0]))
    assert {(1, 1, 0, False), (1, 2, 0, False), (3, 1, 0, True)} <= plain
    assert not {(1, 1, 1, False), (2, 1, 0, False), (1, 2, 1, True)} & plain


def test_results_are_not_in_memory_that_the_next_one_takes():
    (image, weight, bias, *rest), (other, *_) = arguments(CASES[0], torch.float64), arguments(CASES[0], torch.float64)
    with ops.enabled("convolution"):
        first = torch.convolution(image, weight, bias, *rest)
        kept = first.clone()
        gradients = ATEN.convolution_backward(torch.ones_like(first), image, weight, [4], *rest, [True, True, True])
        copies = [gradient.clone() for gradient in gradients]
        second = torch.convolution(other.neg(), weight, bias, *rest)
        ATEN.convolution_backward(torch.zeros_like(first), other, weight, [4], *rest, [True, True, True])
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)
    assert all(torch.equal(gradient, copy) for gradient, copy in zip(gradients, copies, strict=True))


def test_threads_convolve_at_the_same_time():
    image, weight, bias, *rest = arguments(CASES[0], torch.float64)
    images = [image * factor for factor in range(1, 5)]
    wrong = []

    def work(own: torch.Tensor, expected: torch.Tensor) -> None:
        for _ in range(30):
            if not torch.allclose(torch.convolution(own, weight, bias, *rest), expected):
                wrong.append(own)

    expected = [torch.convolution(each, weight, bias, *rest) for each in images]
    with ops.enabled("convolution"):
        threads = [threading.Thread(target=work, args=pair) for pair in zip(images, expected, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.qemu
def test_on_an_emulated_x60(x60):
    for number in (0, 2, 9):
        image, weight, bias, *rest = arguments(CASES[number], torch.float32)
        expected = torch.convolution(image.double(), weight.double(), bias.double(), *rest)
        with ops.enabled("convolution", "max_pool2d"):
            check(torch.convolution(image, weight, bias, *rest), expected, weight.numel())
    small = torch.randn(1, 2, 6, 6)
    expected = torch.nn.functional.max_pool2d(small, 2)
    with ops.enabled("max_pool2d"):
        assert torch.equal(torch.nn.functional.max_pool2d(small, 2), expected)


def test_inference_and_training_take_turns():
    image, weight, bias, *rest = arguments(CASES[0], torch.float64)
    expected = torch.convolution(image, weight, bias, *rest)
    weight.requires_grad_()
    with ops.enabled("convolution"):
        for _ in range(2):
            with torch.inference_mode():
                check(torch.convolution(image, weight, bias, *rest), expected, weight.numel())
            torch.convolution(image, weight, bias, *rest).sum().backward()
    assert not weight.grad.is_inference()
