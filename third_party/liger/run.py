"""Run Liger-Kernel's ops forward and backward on this backend and compare them with PyTorch in float64.

    python third_party/liger/run.py --liger SITE [--device host|qemu] [--chip CHIP] [--select NAME ...]

SITE is a folder that `pip install --no-deps --target SITE liger-kernel==0.8.5` has filled. For each op one line is printed: the largest
error of its results and of its gradients, relative to the largest value of the reference. The exit status is 1 if an error exceeds its
bound.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from triton_spacemit.backend import set_device

#: What a float32 kernel may differ by from float64, relative to the largest value: sums of some hundred rounded terms.
BOUND = 2e-5

Tensors = tuple[torch.Tensor, ...]


def rotate_half(x: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def rotate(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Tensors:
    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def angles(*shape: int) -> Tensors:
    half = torch.randn(*shape[:-1], shape[-1] // 2)
    full = torch.cat((half, half), dim=-1)
    return full.cos(), full.sin()


def sections(x: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Of the three position kinds of Qwen2-VL, the one that each part of the head takes, as (batch, 1, length, head)."""
    parts = x.split(lengths * 2, dim=-1)
    return torch.cat([part[i % 3] for i, part in enumerate(parts)], dim=-1).unsqueeze(1)


def jsd(log_q: torch.Tensor, log_p: torch.Tensor, beta: float = 0.5) -> torch.Tensor:
    q, p = log_q.exp(), log_p.exp()
    mean = (beta * p + (1 - beta) * q).log()
    return (beta * p * (log_p - mean) + (1 - beta) * q * (log_q - mean)).sum() / log_q.shape[0]


def sparsemax(x: torch.Tensor) -> torch.Tensor:
    ordered = x.sort(dim=-1, descending=True).values
    sums = ordered.cumsum(-1) - 1
    count = (ordered * torch.arange(1, x.shape[-1] + 1) > sums).sum(-1, keepdim=True)
    return (x - sums.gather(-1, count - 1) / count).clamp(min=0)


def poly_norm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return b + sum(w[i] * (x ** (3 - i)) * ((x ** (3 - i)).pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() for i in range(3))


def rms_norm(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], w, 1e-6)


def cases() -> dict[str, tuple[Callable[..., Any], Callable[..., Any], Tensors]]:
    """Name -> (the op of Liger, the same in PyTorch, both of the float tensors that follow)."""
    import liger_kernel.ops as ops
    from liger_kernel.ops import dyt

    # DyT's backward counts processors where it knows how to: of GPUs and NPUs. Of the latter it takes a default where there is none.
    dyt.infer_device = lambda: "npu"
    tokens, width, vocabulary = 37, 200, 1030
    r = torch.randn
    target = torch.randint(0, vocabulary, (tokens,))
    target[3] = -100
    q, k = r(2, 4, 19, 64), r(2, 2, 19, 64)
    cos, sin = angles(1, 19, 64)
    cos3, sin3 = angles(3, 2, 19, 64)
    freqs = torch.polar(torch.ones(19, 32), r(19, 32))
    indices = torch.randint(0, 50, (5, 7))
    lengths = [8, 12, 12]
    p, s = r(tokens, vocabulary).softmax(-1), r(tokens, vocabulary).softmax(-1)
    log_p = r(tokens, vocabulary).log_softmax(-1)

    def llama4(q: torch.Tensor, k: torch.Tensor) -> Tensors:
        def turn(x: torch.Tensor) -> torch.Tensor:
            pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * freqs.to(pairs.dtype)[None, :, None]).flatten(3)

        return turn(q), turn(k)

    def multi_token(scores: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        lower = torch.ones(scores.shape[-2:]).tril().bool()
        probabilities = scores.masked_fill(~lower, -1e9).softmax(-1)
        return F.conv2d(probabilities, weight, bias, padding=1).masked_fill(~lower, 0)

    def linear_jsd(student: torch.Tensor, weight: torch.Tensor, teacher: torch.Tensor, teacher_weight: torch.Tensor) -> torch.Tensor:
        teacher_log = (teacher @ teacher_weight.T).log_softmax(-1).detach()
        return jsd((student @ weight.T).log_softmax(-1), teacher_log)

    return {
        "rms_norm": (lambda x, w: ops.LigerRMSNormFunction.apply(x, w, 1e-6, 0.0, "llama", False), rms_norm, (r(tokens, width), r(width))),
        "fused_add_rms_norm": (
            lambda x, y, w: ops.LigerFusedAddRMSNormFunction.apply(x, y, w, 1e-6),
            lambda x, y, w: (rms_norm(x + y, w), x + y),
            (r(tokens, width), r(tokens, width), r(width)),
        ),
        "layer_norm": (
            lambda x, w, b: ops.LigerLayerNormFunction.apply(x, w, b, 1e-6),
            lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 1e-6),
            (r(tokens, width), r(width), r(width)),
        ),
        "group_norm": (
            lambda x, w, b: ops.LigerGroupNormFunction.apply(x, w, b, 12, 3, 1e-6),
            lambda x, w, b: F.group_norm(x, 3, w, b, 1e-6),
            (r(3, 12, 85), r(12), r(12)),
        ),
        "poly_norm": (lambda x, w, b: ops.LigerPolyNormFunction.apply(x, w, b, 1e-6, False), poly_norm, (r(tokens, width), r(3), r(()))),
        "dyt": (
            ops.LigerDyTFunction.apply,
            lambda x, a, g, b: g * torch.tanh(a * x) + b,
            (r(tokens, width), r(1), r(width), r(width)),
        ),
        "rope": (lambda q, k: ops.LigerRopeFunction.apply(q, k, cos, sin), lambda q, k: rotate(q, k, cos[:, None], sin[:, None]), (q, k)),
        "qwen2vl_mrope": (
            lambda q, k: ops.LigerQwen2VLMRopeFunction.apply(q, k, cos3, sin3, lengths),
            lambda q, k: rotate(q, k, sections(cos3, lengths), sections(sin3, lengths)),
            (q, k),
        ),
        "llama4_rope": (
            lambda q, k: ops.LigerLlama4RopeFunction.apply(q, k, freqs),
            llama4,
            (r(2, 19, 4, 64), r(2, 19, 2, 64)),
        ),
        "swiglu": (ops.LigerSiLUMulFunction.apply, lambda a, b: F.silu(a) * b, (r(tokens, width), r(tokens, width))),
        "geglu": (
            ops.LigerGELUMulFunction.apply,
            lambda a, b: F.gelu(a, approximate="tanh") * b,
            (r(tokens, width), r(tokens, width)),
        ),
        "relu_squared": (ops.LigerReLUSquaredFunction.apply, lambda x: F.relu(x) ** 2, (r(tokens, width),)),
        "cross_entropy": (
            lambda x: ops.LigerCrossEntropyFunction.apply(x, target, None, -100, 1e-4, 0.1, "mean", 30.0)[0],
            lambda x: _cross_entropy(30 * torch.tanh(x / 30), target),
            (r(tokens, vocabulary),),
        ),
        "fused_linear_cross_entropy": (
            lambda x, w, b: ops.LigerFusedLinearCrossEntropyFunction.apply(x, w, target, b)[0],
            lambda x, w, b: F.cross_entropy(x @ w.T + b, target),
            (r(tokens, width), r(vocabulary, width) / 8, r(vocabulary)),
        ),
        "softmax": (ops.LigerSoftmaxFunction.apply, lambda x: x.softmax(-1), (r(tokens, vocabulary),)),
        "sparsemax": (lambda x: ops.LigerSparsemaxFunction.apply(x, -1), sparsemax, (r(tokens, width),)),
        "kl_div": (
            lambda x: ops.LigerKLDivLossFunction.apply(x, p),
            lambda x: F.kl_div(x, p.to(x.dtype), reduction="batchmean"),
            (log_p,),
        ),
        "jsd": (
            lambda x: ops.LigerJSDFunction.apply(x, p.log()),
            lambda x: jsd(x, p.to(x.dtype).log()),
            (log_p,),
        ),
        "fused_linear_jsd": (
            ops.LigerFusedLinearJSDFunction.apply,
            linear_jsd,
            (r(tokens, width), r(vocabulary, width) / 8, r(tokens, width), r(vocabulary, width) / 8),
        ),
        "tvd": (
            lambda x: ops.LigerTVDLossFunction.apply(x, p),
            lambda x: (x - p.to(x.dtype)).abs().sum() / 2 / tokens,
            (s,),
        ),
        "embedding": (lambda x: ops.LigerEmbeddingFunction.apply(x, indices), lambda x: x[indices], (r(50, width),)),
        "multi_token_attention": (
            lambda x, w, b: ops.LigerMultiTokenAttentionFunction.apply(x, w, b, 1, 1, 1, 1, False),
            multi_token,
            (r(2, 3, 33, 33), r(3, 3, 3, 3), r(3)),
        ),
    }


def _cross_entropy(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """With smoothed labels and the penalty on large normalisers."""
    kept = target != -100
    return F.cross_entropy(x, target, label_smoothing=0.1) + 1e-4 * (x[kept].logsumexp(-1) ** 2).mean()


def outcome(function: Callable[..., Any], tensors: Tensors, dtype: torch.dtype) -> tuple[Tensors, Tensors]:
    """Results and gradients, the results' own gradients being fixed numbers."""
    inputs = tuple(x.to(dtype, copy=True).requires_grad_() for x in tensors)
    # Some ops write into their operands: they are given a copy, as layers give them what they have computed.
    results = function(*(x * 1 for x in inputs))
    results = results if isinstance(results, tuple) else (results,)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(dtype) for x in results]
    torch.autograd.backward(results, weights)
    return tuple(x.detach() for x in results), tuple(torch.zeros_like(x) if x.grad is None else x.grad for x in inputs)


def error(ours: Tensors, wanted: Tensors) -> float:
    """The largest difference by the largest value; infinite where shapes differ or a number is not finite."""
    if [x.shape for x in ours] != [x.shape for x in wanted] or not all(x.isfinite().all() for x in ours):
        return float("inf")
    return max(float((x.double() - y).abs().max() / y.abs().max().clamp(min=1e-30)) for x, y in zip(ours, wanted, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--liger", type=Path, required=True, help="the folder that liger-kernel is installed in")
    parser.add_argument("--device", default="host", choices=("host", "qemu"))
    parser.add_argument("--chip", default=None)
    parser.add_argument("--select", nargs="*", default=None, help="names of ops (default: all)")
    arguments = parser.parse_args()
    sys.path.append(str(arguments.liger))
    set_device(arguments.device, arguments.chip)
    torch.manual_seed(0)
    bad = 0
    print("| op | error forward | error backward |\n|---|---|---|")
    for name, (ours, wanted, tensors) in cases().items():
        if arguments.select and name not in arguments.select:
            continue
        try:
            got, reference = outcome(ours, tensors, torch.float32), outcome(wanted, tensors, torch.float64)
            errors = [error(x, y) for x, y in zip(got, reference, strict=True)]
            row = " | ".join(f"{x:.1e}" for x in errors)
            bad += max(errors) > BOUND
        except Exception as failure:  # the others still run
            row = f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]} | "
            bad += 1
        print(f"| {name} | {row} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
