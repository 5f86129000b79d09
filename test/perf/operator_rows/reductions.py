"""Reductions, softmax and normalisations, at sizes of transformers and of ResNets, and at sizes that are no powers of two."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from perf.operator_rows.row import Row
from torch.nn import functional


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _row(operator: str, shape: Sequence[int], what: str, call: Callable[..., Any], dtype: torch.dtype = torch.float32) -> Row:
    # Sums of thousands of numbers around 0 are off by what their terms are rounded to, also in PyTorch.
    tolerance = {torch.float32: 1e-2 if operator == "sum" else 1e-5, torch.bfloat16: 2e-2}[dtype]
    return Row(operator, f"{_shape(shape)} {what}", call, lambda: (torch.randn(*shape).to(dtype),), dtype, tolerance=tolerance)


def _backward(operator: str, shape: Sequence[int], what: str, call: Callable[..., Any], parameters: Sequence[Sequence[int]] = ()) -> Row:
    """The gradients of everything of a call whose graph is kept."""

    def make() -> tuple[Any, ...]:
        inputs = [torch.randn(*one, requires_grad=True) for one in (shape, *parameters)]
        return inputs, torch.randn(call(*inputs).shape)

    def gradients(inputs: list[torch.Tensor], grad: torch.Tensor) -> Any:
        return torch.autograd.grad(call(*inputs), inputs, grad)

    return Row(operator, f"{_shape(shape)} {what}, forward and backward".strip(), gradients, make, tolerance=1e-3)


def _with_weights(
    operator: str,
    shape: Sequence[int],
    what: str,
    call: Callable[..., Any],
    weights: Sequence[Sequence[int]],
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Row:
    def make() -> tuple[Any, ...]:
        return torch.randn(*shape).contiguous(memory_format=memory_format), *(torch.randn(*one) for one in weights)

    return Row(operator, f"{_shape(shape)} {what}".strip(), call, make, tolerance=1e-4)


def _reductions() -> list[Row]:
    calls: dict[str, Callable[..., Any]] = {name: getattr(torch, name) for name in ("sum", "mean", "var", "amax", "argmax")}
    rows = [
        _row(name, shape, f"dim {dim}", lambda x, call=call, dim=dim: call(x, dim))
        for name, call in calls.items()
        for shape in ((2048, 768), (1000, 3001))
        for dim in (0, 1)
    ]
    rows += [
        _row(name, (2048, 768), f"dim {dim}", lambda x, call=calls[name], dim=dim: call(x, dim), torch.bfloat16)
        for name in ("sum", "amax")
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


def _norms() -> list[Row]:
    rows = []
    for name, parameters in (("layer_norm", 2), ("rms_norm", 1)):
        call = getattr(functional, name)
        for shape in ((2048, 768), (1576, 1027)):
            weights = [shape[1:]] * parameters
            rows.append(_with_weights(name, shape, "", lambda x, *w, call=call: call(x, x.shape[1:], *w), weights))
            rows.append(_backward(name, shape, "", lambda x, *w, call=call: call(x, x.shape[1:], *w), weights))
    for shape in ((16, 64, 56, 56), (32, 512, 7, 7)):
        weights = [shape[1:2]] * 2
        rows.append(_with_weights("group_norm", shape, "", lambda x, *w: functional.group_norm(x, 32, *w), weights))
        rows.append(_backward("group_norm", shape, "", lambda x, *w: functional.group_norm(x, 32, *w), weights))
        for what, memory_format in (("", torch.contiguous_format), ("channels last", torch.channels_last)):

            def train(x: torch.Tensor, *w: torch.Tensor, memory_format: torch.memory_format = memory_format) -> Any:
                return functional.batch_norm(x.contiguous(memory_format=memory_format), None, None, *w, training=True)

            rows.append(_with_weights("batch_norm", shape, f"{what} training".strip(), train, weights, memory_format))
            rows.append(_backward("batch_norm", shape, what, train, weights))

        def evaluate(x: torch.Tensor, *w: torch.Tensor) -> Any:
            return functional.batch_norm(x, w[0], w[1].abs(), *w)

        rows.append(_with_weights("batch_norm", shape, "evaluation", evaluate, weights))
    return rows


def _losses() -> list[Row]:
    rows = []
    for name in ("mse_loss", "smooth_l1_loss", "huber_loss"):
        call = getattr(functional, name)
        rows.append(_with_weights(name, (4096, 1000), "mean", call, [(4096, 1000)]))
        rows.append(_backward(name, (4096, 1000), "mean", call, [(4096, 1000)]))
    return rows


ROWS = [*_losses(), *_norms(), *_reductions(), *_softmaxes()]
