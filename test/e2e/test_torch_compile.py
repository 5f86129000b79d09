"""`torch.compile` with Inductor's Triton code generation for CPUs: models and training steps against eager PyTorch."""

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from perf.inductor_models import Transformer
from torch import nn
from torch._inductor import config
from torch._inductor.utils import fresh_cache, run_and_get_code


@pytest.fixture(autouse=True)
def _inductor(host: None) -> Iterator[None]:
    """Compiles in this process, whose workers would take longer to start than these models to compile."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    with fresh_cache(), config.patch(cpu_backend="triton", compile_threads=1):
        yield
    torch._dynamo.reset()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10))


def conv_net() -> nn.Module:
    features = (nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.SiLU())
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


def _double(tree: Any) -> Any:
    floating = isinstance(tree, nn.Module) or tree.is_floating_point()
    return copy.deepcopy(tree).double() if floating else tree


def _check(found: torch.Tensor, eager: torch.Tensor, exact: torch.Tensor) -> None:
    """Fusion reorders sums and keeps what eager PyTorch rounds: at most four times eager's own largest error, or four roundings."""
    assert found.dtype == eager.dtype
    assert found.shape == eager.shape
    error, bound = (found.double() - exact).abs().max(), (eager.double() - exact).abs().max()
    assert error <= 4 * max(bound.item(), torch.finfo(found.dtype).eps * exact.abs().max().item())


def _compile_and_check(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> str:
    """Compare with eager PyTorch in the inputs' own precision and in float64; the code that Inductor generated."""
    double = _double(function) if isinstance(function, nn.Module) else function
    with torch.no_grad():
        exact, eager = double(*map(_double, inputs)), function(*inputs)
        found, (code, *_) = run_and_get_code(torch.compile(function), *inputs)
    assert "triton_" in code
    _check(found, eager, exact)
    return code


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.softmax(F.gelu(x * 2 + 1), -1),
        lambda x: F.layer_norm(x, x.shape[-1:]).tanh(),
        lambda x: x.t().logsumexp(0) + x.var(-1),
    ],
    ids=["gelu_softmax", "layer_norm_tanh", "logsumexp_var"],
)
def test_fusions(function, dtype):
    code = _compile_and_check(function, torch.randn(33, 77).to(dtype))
    assert code.count("@triton.jit") <= 2


@pytest.mark.parametrize(
    ("model", "shape"),
    [(mlp, (16, 32)), (lambda: Transformer(32, 4), (2, 16, 32)), (lambda: conv_net().eval(), (2, 3, 16, 16))],
    ids=["mlp", "transformer_block", "conv_net"],
)
def test_models(model, shape):
    _compile_and_check(model(), torch.randn(shape))


def _train(model: nn.Module, optimizer: Callable[..., Any], x: torch.Tensor, target: torch.Tensor, compiled: bool) -> nn.Module:
    """Two steps of training; `compiled`: forward, backward and the optimizer's update."""
    model = copy.deepcopy(model)
    update = optimizer(model.parameters(), lr=0.01)

    def loss() -> torch.Tensor:
        return F.cross_entropy(model(x).flatten(0, -2), target)

    forward, step = (torch.compile(loss), torch.compile(update.step)) if compiled else (loss, update.step)
    for _ in range(2):
        forward().backward()
        step()
        update.zero_grad()
    return model


def _check_training(model: nn.Module, optimizer: Callable[..., Any], x: torch.Tensor, target: torch.Tensor) -> None:
    exact = _train(_double(model), optimizer, _double(x), target, compiled=False)
    eager, found = (_train(model, optimizer, x, target, compiled) for compiled in (False, True))
    for (name, before), *after in zip(model.named_parameters(), *(m.parameters() for m in (found, eager, exact)), strict=True):
        assert not torch.equal(before, after[0]), name
        _check(*(parameter.detach() for parameter in after))


def test_training_steps():
    _check_training(mlp(), torch.optim.SGD, torch.randn(16, 32), torch.randint(0, 10, (16,)))


def test_indices_out_of_bounds_raise():
    compiled = torch.compile(lambda x, i: x[i])
    x = torch.randn(10)
    with pytest.raises(RuntimeError, match="index out of bounds"):
        compiled(x, torch.tensor([50]))
    assert torch.equal(compiled(x, torch.tensor([3])), x[3:4])


def test_shapes_may_change():
    compiled = torch.compile(lambda x: F.softmax(x * 2, -1).sum(0), dynamic=True)
    for shape in ((4, 5), (7, 33), (1, 1), (3, 4097)):
        x = torch.randn(shape)
        exact, eager = (F.softmax(v * 2, -1).sum(0) for v in (x.double(), x))
        _check(compiled(x), eager, exact)


def test_integers_and_booleans():
    def function(x, y):
        signs = (x < 0) ^ (y.abs() > 50)
        parts = (x // y, x % y, x << 2, x >> 1, x & y, x ^ y, ~x, torch.div(x, y, rounding_mode="trunc"), x.clamp(-5, 5), signs.sum(1))
        return (*parts, x.argmax(1), x.cumsum(1), signs.any(0))

    x, y = torch.randint(-100, 100, (20, 30)), torch.randint(1, 100, (20, 30))
    for found, expected in zip(torch.compile(function)(x, y), function(x, y), strict=True):
        assert torch.equal(found, expected)


def test_worker_processes_compile():
    """Kernels that workers compiled come back pickled."""
    with config.patch(compile_threads=2, worker_start_method="subprocess"):
        _compile_and_check(Transformer(32, 4), torch.randn(2, 16, 32))


@pytest.mark.slow
def test_sort():
    x = torch.randint(-100, 100, (33, 77))
    for (found, indices), (expected, _) in zip(torch.compile(lambda x: (x.sort(1), x.topk(3)))(x), (x.sort(1), x.topk(3)), strict=True):
        assert torch.equal(found, expected)
        assert torch.equal(x.gather(1, indices), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "x", "classes"),
    [
        (lambda: nn.Sequential(nn.Embedding(50, 32), Transformer(32, 4), nn.Linear(32, 50)), torch.randint(0, 50, (2, 16)), (32,)),
        (conv_net, torch.randn(4, 3, 16, 16), (4,)),
    ],
    ids=["transformer", "conv_net"],
)
def test_training_of_models(model, x, classes):
    _check_training(model(), torch.optim.SGD, x, torch.randint(0, 10, classes))


@pytest.mark.slow
def test_adamw():
    """Inductor computes 1 - beta ** step in float32: the update, of size lr, is wrong by eps / (1 - beta) of itself in each step."""
    model, x, target = mlp(), torch.randn(16, 32), torch.randint(0, 10, (16,))
    optimizer = functools.partial(torch.optim.AdamW, betas=(0.9, 0.999), eps=1e-2)
    eager, found = (_train(model, optimizer, x, target, compiled) for compiled in (False, True))
    bound = 2 * 0.01 * torch.finfo(torch.float32).eps / (1 - 0.999)
    for before, after, expected in zip(model.parameters(), found.parameters(), eager.parameters(), strict=True):
        assert not torch.equal(before, after)
        assert (after - expected).abs().max() <= bound


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"max_autotune": True},
        {"max_autotune_gemm": True, "max_autotune_gemm_backends": "TRITON"},
        {"coordinate_descent_tuning": True},
        {"triton.cooperative_reductions": True},
        {"triton.multi_kernel": 1},
        {"triton.persistent_reductions": False},
        {"triton.use_block_ptr": True},
        {"triton.use_tensor_descriptor": True},
        {"combo_kernels": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options(options):
    model, x = mlp(), torch.randn(64, 32)
    with torch.no_grad():
        exact, eager, found = _double(model)(x.double()), model(x), torch.compile(model, options=options)(x)
    _check(found, eager, exact)
