"""Reductions, softmax and normalisations, at sizes of transformers and of ResNets, and at sizes that are no powers of two."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from perf.operator_rows.row import Row


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _row(operator: str, shape: Sequence[int], what: str, call: Callable[..., Any], dtype: torch.dtype = torch.float32) -> Row:
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
    return Row(operator, f"{_shape(shape)} {what}", call, lambda: (torch.randn(*shape).to(dtype),), dtype, tolerance=tolerance)


def _backward(operator: str, shape: Sequence[int], what: str, call: Callable[..., Any], parameters: Sequence[Sequence[int]] = ()) -> Row:
    """The gradients of everything of a call whose graph is kept."""

    def make() -> tuple[Any, ...]:
        inputs = [torch.randn(*one, requires_grad=True) for one in (shape, *parameters)]
        return inputs, torch.randn(call(*inputs).shape)

    def gradients(inputs: list[torch.Tensor], grad: torch.Tensor) -> Any:
        return torch.autograd.grad(call(*inputs), inputs, grad)

    return Row(operator, f"{_shape(shape)} {what}, forward and backward".strip(), gradients, make, tolerance=1e-3)


def _reductions() -> list[Row]:
    calls: dict[str, Callable[..., Any]] = {name: getattr(torch, name) for name in ("sum", "mean", "var", "amax", "argmax")}
    rows = [
        _row(name, shape, f"dim {dim}", lambda x, call=call, dim=dim: call(x, dim))
        for name, call in calls.items()
        for shape in ((2048, 768), (1000, 3001))
        for dim in (0, 1)
    ]
    rows += [_row(name, (4096, 1000), "all", call) for name, call in calls.items()]
    rows += [_row("global_avg_pool", (32, 512, 14, 14), "", lambda x: torch.ops.aten._adaptive_avg_pool2d(x, (1, 1)))]
    rows += [_row("logsumexp", (512, 32_000), "dim 1", lambda x: x.logsumexp(1))]
    return rows


def _softmaxes() -> list[Row]:
    rows = []
    for name in ("softmax", "log_softmax"):
        call = getattr(torch, name)
        for shape, dim in (((8, 12, 128, 128), -1), ((4, 12, 197, 197), -1), ((64, 32_000), -1), ((64, 50_257), -1), ((64, 1000, 49), 1)):
            rows.append(_row(name, shape, f"dim {dim}", lambda x, call=call, dim=dim: call(x, dim)))
            rows.append(_backward(name, shape, f"dim {dim}", lambda x, call=call, dim=dim: call(x, dim)))
        rows.append(_row(name, (8, 12, 128, 128), "dim -1", lambda x, call=call: call(x, -1), torch.bfloat16))
    return rows


ROWS = [*_reductions(), *_softmaxes()]
