"""`torch.compile(model, backend="spacemit")`: results against float64, which code it generates, and what it leaves as it was."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._inductor import config
from torch._inductor.choices import InductorChoices
from torch._inductor.utils import fresh_cache, run_and_get_code
from torch._inductor.virtualized import V

from triton_spacemit.integrations.inductor import blocks, products
from triton_spacemit.integrations.inductor.choices import Choices
from triton_spacemit.integrations.inductor.graphs import LastPass


@pytest.fixture(autouse=True)
def _inductor(host: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "are_faster", lambda: True)
    torch._dynamo.reset()
    torch.manual_seed(0)
    with fresh_cache(), config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


def _double(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.detach().double().requires_grad_(tree.requires_grad) if tree.is_floating_point() else tree
    return copy.deepcopy(tree).double() if isinstance(tree, nn.Module) else tree


def _check(found: Tensor, eager: Tensor, exact: Tensor) -> None:
    """At most four times eager's own largest error, or 32 roundings: a sum in blocks passes through some hundreds of additions."""
    assert found.dtype == eager.dtype
    assert found.shape == eager.shape
    error, other = (found.double() - exact).abs().max(), (eager.double() - exact).abs().max()
    assert error <= 4 * max(other.item(), 8 * torch.finfo(found.dtype).eps * exact.abs().max().item())


def _code_of(function: Callable[..., Any], *inputs: Tensor, **how: Any) -> str:
    """Compile and compare; the code that Inductor generated."""
    with torch.no_grad():
        exact, eager = _double(function)(*map(_double, inputs)), function(*inputs)
        found, (code, *_) = run_and_get_code(torch.compile(function, backend="spacemit", **how), *inputs)
    _check(found, eager, exact)
    return code


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x: x.t().contiguous() + 1, [(100, 33)]),
        (lambda x, y: x.t() + y, [(70, 48), (48, 70)]),
        (lambda x, m: F.relu((x - m[:, None, None]) * 2), [(3, 5, 7, 9), (5,)]),
        (lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1], [(33, 154)]),
        (lambda x: x.var(0) + x.mean(0), [(300, 70)]),
        (lambda x: x.sum(), [(300, 701)]),
        (lambda x: x.softmax(-1).cumsum(0), [(17, 333)]),
        (lambda x: F.layer_norm(x, (77,)).square().mean(), [(513, 77)]),
        (lambda x: F.max_pool2d(x, 2), [(2, 3, 14, 18)]),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), [(1, 2, 9, 7)]),
        (lambda x: x.flatten(1).sort(1).values[:, ::3], [(5, 4, 8)]),
        (lambda x: F.pad(x, (1, 2)).amax((0, 2)), [(6, 7, 9)]),
    ],
    ids="transpose fused_transpose batch_norm halves columns all scan rows pool upsample sort pad".split(),
)
def test_functions(function, shapes):
    code = _code_of(function, *(torch.randn(shape) for shape in shapes))
    assert "fixed_config" in code


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: F.max_pool3d(x, 3, 2, ceil_mode=True, return_indices=True)[0], (2, 2, 3, 6, 5)),
        (lambda x: x[:, ::2, ::2, ::2].amax((1, 2, 3)), (5, 8, 10, 6)),
        (lambda x: (x[:, ::2, ::2, ::2].sum((1, 2, 3))[:, None, None, None] + x).permute(2, 0, 3, 1).contiguous(), (5, 8, 10, 6)),
    ],
    ids="pool amax beside_pointwise".split(),
)
def test_reductions_over_three_dimensions(function, shape):
    """Of a reduction's dimensions Inductor names two."""
    code = _code_of(function, torch.randn(shape))
    assert "ZBLOCK" not in code


def test_a_reduction_over_two_dimensions_leaves_three_to_other_kernels():
    function = lambda x: (x[:, ::2, ::2, 0].sum((1, 2))[:, None, None, None] + x).permute(2, 0, 3, 1).contiguous()  # noqa: E731
    assert "ZBLOCK" in _code_of(function, torch.randn(5, 8, 10, 6))


def test_products_are_ours_and_what_is_not_of_their_kind_is_left():
    code = _code_of(nn.Sequential(nn.Linear(20, 30), nn.GELU(), nn.Linear(30, 5)), torch.randn(7, 20))
    assert code.count("= torch.ops.triton_spacemit.addmm.default(") == 2
    narrow = _code_of(lambda x: x @ x.t(), torch.randn(9, 9).bfloat16())
    assert "triton_spacemit" not in narrow


def test_products_that_ours_refuse_are_pytorchs():
    """A start of another dtype than the factors."""
    with pytest.raises(RuntimeError, match="dtype"):
        torch.ops.triton_spacemit.addmm(torch.ones(3, dtype=torch.float64), torch.ones(2, 4), torch.ones(4, 3))
    a, b = torch.randn(2, 3, 4).half(), torch.randn(2, 4, 5).half()
    assert torch.equal(torch.ops.triton_spacemit.bmm(a, b), torch.ops.triton_spacemit.bmm(a.contiguous(), b))


def test_products_elsewhere_are_pytorchs(monkeypatch):
    monkeypatch.setattr(products, "are_faster", lambda: False)
    assert "triton_spacemit" not in _code_of(lambda x, y: x @ y, torch.randn(8, 9), torch.randn(9, 7))


def test_a_step_of_training():
    """Backward passes are compiled when they are first run, with the same choices."""
    model = nn.Sequential(nn.Linear(24, 40), nn.LayerNorm(40), nn.GELU(), nn.Linear(40, 10))
    x, target = torch.randn(16, 24), torch.randint(0, 10, (16,))

    def gradients(model: nn.Module, x: Tensor, **how: Any) -> list[Tensor]:
        call = torch.compile(model, **how) if how else model
        return list(torch.autograd.grad(F.cross_entropy(call(x), target), list(model.parameters())))

    exact, eager = gradients(_double(model), _double(x)), gradients(model, x)
    found, codes = run_and_get_code(lambda: gradients(model, x, backend="spacemit"))
    assert len(codes) == 2
    assert all("fixed_config" in code and "triton_spacemit" in code for code in codes)
    for each in zip(found, eager, exact, strict=True):
        _check(*each)


def test_gradients_of_numbers():
    """What the forward pass keeps for the backward pass may be written to, but what has no dimensions comes as a number."""

    def gradient(call: Callable[..., Tensor], x: Tensor, y: Tensor) -> Tensor:
        y = y.detach().requires_grad_()
        return torch.autograd.grad(call(x, y), y)[0]

    x, y = torch.tensor(7.5), torch.tensor(-1.25)
    found, codes = run_and_get_code(lambda: gradient(torch.compile(torch.fmod, backend="spacemit"), x, y))
    assert len(codes) == 2
    _check(found, gradient(torch.fmod, x, y), gradient(torch.fmod, x.double(), y.double()))


def test_shapes_may_change():
    def function(x: Tensor) -> Tensor:
        return F.softmax(x * 2, -1).sum(0) + x.t().contiguous().mean()

    compiled = torch.compile(function, backend="spacemit", dynamic=True)
    for shape in ((4, 5), (7, 33), (3, 4097)):
        x = torch.randn(shape)
        _check(compiled(x), function(x), function(x.double()))


def test_indices_out_of_bounds_raise():
    compiled = torch.compile(lambda x, i: x[i], backend="spacemit")
    x = torch.randn(10)
    with pytest.raises(RuntimeError, match="index out of bounds"):
        compiled(x, torch.tensor([50]))
    assert torch.equal(compiled(x, torch.tensor([3])), x[3:4])


def test_nothing_else_changes():
    before = copy.deepcopy(config.get_config_copy())
    _code_of(lambda x: x.sin() + 1, torch.randn(100))
    assert config.get_config_copy() == before
    assert type(V.choices) is InductorChoices
    torch._dynamo.reset()
    _, (code, *_) = run_and_get_code(torch.compile(lambda x: x.sin() + 1), torch.randn(100))
    assert "cpp_fused" in code


def test_options_are_inductors_and_go_before():
    code = _code_of(lambda x, y: x.t() + y, torch.randn(40, 50), torch.randn(50, 40), options={"triton.unique_kernel_names": False})
    assert "def triton_(" in code
    with pytest.raises(Exception, match="no_such_option"):
        torch.compile(lambda x: x + 1, backend="spacemit", options={"no_such_option": 1})(torch.ones(3))


def test_the_name_is_known_without_an_import():
    assert "spacemit" in torch._dynamo.list_backends()


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_blocks_are_powers_of_two_and_of_moderate_size(threads):
    sizes = (1, 2, 3, 16, 100, 3136, 10**6)
    for x in sizes:
        for y in sizes:
            for crosses in (False, True):
                chosen = blocks.pointwise({"y": y, "x": x}, crosses, threads)
                assert all(size & (size - 1) == 0 for size in chosen.values())
                assert math.prod(chosen.values()) <= 2 * blocks.ELEMENTS
                assert not crosses or chosen["y"] >= min(y, blocks.LINES)
            for inner in (False, True):
                for persistent in (False, True):
                    chosen = blocks.reduction({"x": x, "r0_": y}, inner, persistent)
                    assert ("r0_" in chosen) != persistent
                    assert all(size & (size - 1) == 0 for size in chosen.values())
                    assert persistent or math.prod(chosen.values()) <= blocks.ELEMENTS


def test_reductions_are_split_for_threads(monkeypatch):
    from triton_spacemit.backend.knobs import knobs

    device = torch.device("cpu")
    with knobs.scope():
        knobs.threads = 1
        assert Choices.reduction_split_factor(device, 1 << 20, 1, True) == 1
        keys = {str(LastPass().uuid())}
        knobs.threads = 4
        assert Choices.reduction_split_factor(device, 1 << 20, 1, True) == 8
        assert Choices.reduction_split_factor(device, 1 << 20, 100, True) == 1
        assert Choices.reduction_split_factor(device, 100, 1, True) == 1
        assert len(keys | {str(LastPass().uuid())}) == 2  # caches do not give out what was made for another number
        total = torch.compile(lambda x: x.sum(), backend="spacemit")
        x = torch.randn(1 << 18)
        _check(total(x), x.sum(), x.double().sum())
