"""Element-wise operators at a million elements, and with operands that repeat or lie in another order."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from perf.operator_rows.row import Row

functional = torch.nn.functional
_SIZE = 1 << 20
_NARROW = (torch.bfloat16, torch.float16)


def _values(count: int, dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    if not dtype.is_floating_point:
        return tuple(torch.randint(1, 100, shape).to(dtype) for _ in range(count))
    return tuple(torch.randn(shape).to(dtype) for _ in range(count))


def _row(operator: str, call: Callable[..., Any], operands: int = 1, dtype: torch.dtype = torch.float32, positive: bool = False) -> Row:
    def make() -> tuple[torch.Tensor, ...]:
        values = _values(operands, dtype, (_SIZE,))
        return tuple(value.abs() for value in values) if positive else values

    tolerance = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}.get(dtype, 1e-5 if dtype.is_floating_point else 0.0)
    return Row(operator, "1M", call, make, dtype, tolerance=tolerance)


def _backward(operator: str, overload: str, *rest: Any, **named: Any) -> Row:
    """The gradient's operator alone."""
    call = functools.partial(_gradient, getattr(torch.ops.aten, overload).default, rest, named)
    return Row(operator, " ".join(["1M backward", *named.values()]), call, lambda: _values(2, torch.float32, (_SIZE,)), tolerance=1e-5)


def _gradient(overload: Any, rest: tuple[Any, ...], named: dict[str, Any], gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return overload(gradient, x, *rest, **named)


def _shaped(operator: str, what: str, call: Callable[..., Any], make: Callable[[], tuple[torch.Tensor, ...]]) -> Row:
    return Row(operator, what, call, make, tolerance=1e-5)


def _where(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(_condition(x.numel()), x, y)


@functools.cache
def _condition(size: int) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(1)) > 0.5


ROWS = [
    *(_row(name, getattr(functional, name)) for name in ("gelu", "silu", "relu", "mish", "hardswish", "leaky_relu", "elu", "softplus")),
    *(
        _row(name, getattr(torch, name))
        for name in ("sigmoid", "tanh", "exp", "expm1", "sin", "cos", "erf", "abs", "neg", "floor", "round")
    ),
    *(_row(name, getattr(torch, name), positive=True) for name in ("sqrt", "rsqrt", "reciprocal", "log", "log2", "log1p")),
    *(_row(name, getattr(torch, name), 2) for name in ("add", "sub", "mul", "div", "maximum", "lt", "eq", "remainder", "atan2")),
    *(_row(name, getattr(torch, name), 2, dtype) for dtype in _NARROW for name in ("add", "mul")),
    *(_row(name, getattr(torch, name), 1, dtype) for dtype in _NARROW for name in ("exp", "sigmoid")),
    *(_row(name, getattr(functional, name), 1, dtype) for dtype in _NARROW for name in ("gelu", "silu", "relu")),
    _row("mul", torch.mul, 2, torch.float64),
    _row("exp", torch.exp, 1, torch.float64),
    _row("add", torch.add, 2, torch.int32),
    _row("add", torch.add, 2, torch.int64),
    _row("floor_divide", torch.floor_divide, 2, torch.int32),
    _row("bitwise_and", torch.bitwise_and, 2, torch.int32),
    _row("where", _where, 2),
    _row("clamp", functools.partial(torch.clamp, min=-1.0, max=1.0)),
    _row("pow", functools.partial(torch.pow, exponent=2.5), positive=True),
    _row("addcmul", functools.partial(torch.addcmul, value=0.5), 3),
    _row("lerp", functools.partial(torch.lerp, weight=0.3), 2),
    _backward("gelu", "gelu_backward", approximate="none"),
    _backward("gelu", "gelu_backward", approximate="tanh"),
    _backward("silu", "silu_backward"),
    _backward("sigmoid", "sigmoid_backward"),
    _backward("tanh", "tanh_backward"),
    _backward("threshold", "threshold_backward", 0),
    _shaped("add", "1024x1024 + 1024", torch.add, lambda: (torch.randn(1024, 1024), torch.randn(1024))),
    _shaped("mul", "1024x1024 * 1024x1", torch.mul, lambda: (torch.randn(1024, 1024), torch.randn(1024, 1))),
    _shaped("add", "1024x1024 + transposed", torch.add, lambda: (torch.randn(1024, 1024), torch.randn(1024, 1024).t())),
    _shaped("mul", "16x64x32x32 * 64x1x1", torch.mul, lambda: (torch.randn(16, 64, 32, 32), torch.randn(64, 1, 1))),
    _shaped("add", "number", functools.partial(torch.add, other=1.5), lambda: (torch.randn(_SIZE),)),
    _shaped("exp", "every other", torch.exp, lambda: (torch.randn(_SIZE, 2)[:, 0],)),
    _shaped("add", "64K", torch.add, lambda: (torch.randn(1 << 16), torch.randn(1 << 16))),
    _shaped("gelu", "64K", functional.gelu, lambda: (torch.randn(1 << 16),)),
    _shaped("add", "4K", torch.add, lambda: (torch.randn(1 << 12), torch.randn(1 << 12))),
    _shaped("gelu", "4K", functional.gelu, lambda: (torch.randn(1 << 12),)),
    _shaped("mul", "32x768 * 768", torch.mul, lambda: (torch.randn(32, 768), torch.randn(768))),
]
