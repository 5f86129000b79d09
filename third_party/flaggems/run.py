"""Run the kernels of FlagGems' `_spacemit` backend, unchanged, on this backend and compare them with PyTorch in float64.

    python third_party/flaggems/run.py --flaggems CHECKOUT [--device host|qemu] [--chip CHIP] [--select NAME ...]

CHECKOUT is a working copy of FlagGems' repository; PyYAML and SQLAlchemy, which it imports, must be installed. For each operator, with each
path of its product kernels, one line is printed: the largest error in float32, float16 and bfloat16, relative to the largest value of the
reference. Only tuning tables are changed, to reach every path. The exit status is 1 if an error exceeds its bound and is none of
`KNOWN`.
"""

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from triton_spacemit.backend import set_device

OPS = "flag_gems.runtime.backend._spacemit.ops"
#: What kernels may differ by from float64, relative to the largest value: sums of some hundred terms, a few roundings of the type.
BOUNDS = {torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2.4e-2}
#: What cannot be right, and why: the operators are wrong in themselves.
KNOWN = {
    "conv2d": "waits for the phase that its barrier has at first, and orders columns other than weights",
    "conv1d": "as conv2d",
    "flash_attention": "calls its inner function with an argument too many",
    "layer_norm": "calls a method of an integer literal",
    "argmax dim": "carries a float32 where it began with a narrower float",
}

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Case:
    """An operator of the module `module` as a function of it and of tensors, and the same in PyTorch."""

    module: str
    ours: Callable[..., Any]
    reference: Callable[..., Any]
    tensors: Tensors
    tuning: str = ""  # the entry of the tuning table that `changes` are for
    changes: tuple[tuple[str, int], ...] = ()


def products() -> dict[str, Case]:
    """The matrix products, by all their paths."""
    r = torch.randn
    a, b, odd_a, odd_b = r(64, 128), r(128, 96), r(45, 67), r(67, 101)
    tables = {
        path: tuple({name: int(name == path) for name in ("EVEN_K", "SPLIT_M", "SPLIT_N", "SPLIT_K")}.items())
        + (("BLOCK_SIZE_M", 32), ("BLOCK_SIZE_N", 64), ("SUB_BLK_M", 16), ("SUB_BLK_N", 32))
        for path in ("EVEN_K", "SPLIT_M", "SPLIT_N", "SPLIT_K")
    }
    cases = {}
    for path, table in tables.items():
        for shape, tensors in (("", (a, b)), (" odd", (odd_a, odd_b))):
            cases[f"mm {path}{shape}"] = Case("mm", lambda m, x, y: m.mm(x, y), torch.mm, tensors, "mm_spacemit", table)
    for even, path in ((1, "EVEN_K"), (0, "SPLIT_K")):
        table = (("EVEN_K", even), ("TILE_M", 32), ("TILE_N", 64))
        tensors = r(3, 45, 67), r(3, 67, 51)
        cases[f"bmm {path}"] = Case("bmm", lambda m, x, y: m.bmm(x, y), torch.bmm, tensors, "bmm_spacemit", table)
        table = (("EVEN_K", even), ("BLOCK_SIZE_M", 32), ("BLOCK_SIZE_N", 64))
        cases[f"addmm {path}"] = Case(
            "addmm",
            lambda m, c, x, y: m.addmm(c, x, y, alpha=1.5, beta=0.5),
            lambda c, x, y: torch.addmm(c, x, y, alpha=1.5, beta=0.5),
            (r(101), odd_a, odd_b),
            "addmm_spacemit",
            table,
        )
    cases["mm, its own tuning"] = Case("mm", lambda m, x, y: m.mm(x, y), torch.mm, (odd_a, odd_b))
    cases["bmm, its own tuning"] = Case("bmm", lambda m, x, y: m.bmm(x, y), torch.bmm, (r(2, 130, 70), r(2, 70, 260)))
    cases["mv"] = Case("mv", lambda m, x, y: m.mv(x, y), torch.mv, (r(70, 130), r(130)))
    return cases


def attention() -> dict[str, Case]:
    r = torch.randn
    micro = (("BLOCK_M", 32), ("BLOCK_N", 32), ("MICRO_M", 8), ("MICRO_N", 16), ("MICRO_K", 16), ("num_ctas", 4))
    cases = {}
    for name, shapes, causal in (
        ("", ((2, 3, 45, 24), (2, 3, 77, 24)), False),
        (" causal", ((2, 3, 77, 24), (2, 3, 77, 24)), True),
        (" grouped", ((1, 4, 64, 32), (1, 2, 64, 32)), True),
    ):
        q, kv = shapes
        cases[f"flash_attention{name}"] = Case(
            "flash_attention",
            lambda m, q, k, v, causal=causal: m.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=q.shape[-1] ** -0.5),
            lambda q, k, v, causal=causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True),
            (r(q), r(kv), r(kv)),
            "attention",
            micro,
        )
    return cases


def convolutions() -> dict[str, Case]:
    r = torch.randn
    return {
        "conv2d": Case("conv2d", lambda m, x, w, b: m.conv2d(x, w, b), F.conv2d, (r(2, 5, 9, 8), r(7, 5, 3, 3), r(7))),
        "conv1d": Case("conv1d", lambda m, x, w, b: m.conv1d(x, w, b), F.conv1d, (r(2, 5, 19), r(7, 5, 3), r(7))),
    }


def others() -> dict[str, Case]:
    """Pointwise operators and reductions."""
    r = torch.randn
    x, y, positive = r(37, 130), r(37, 130), r(37, 130).abs() + 0.1
    rows = r(37, 70)

    def pointwise(module: str, name: str, reference: Callable[..., Any], *tensors: torch.Tensor, **keywords: Any) -> Case:
        return Case(module, lambda m, *t: getattr(m, name)(*t, **keywords), reference, tensors)

    def gradient(function: Callable[..., Any]) -> Callable[..., Any]:
        def backward(dy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            x = x.detach().requires_grad_()
            return torch.autograd.grad(function(x), x, dy)[0]

        return backward

    cases = {
        f"gelu {kind}": pointwise("gelu", "gelu", lambda t, kind=kind: F.gelu(t, approximate=kind), x, approximate=kind)
        for kind in ("none", "tanh")
    }
    for kind in ("none", "tanh"):
        reference = gradient(lambda t, kind=kind: F.gelu(t, approximate=kind))
        cases[f"gelu {kind} backward"] = pointwise("gelu", "gelu_backward", reference, y, x, approximate=kind)
    return cases | {
        "silu": pointwise("silu", "silu", F.silu, x),
        "sigmoid": pointwise("sigmoid", "sigmoid", torch.sigmoid, x),
        "sigmoid backward": pointwise("sigmoid", "sigmoid_backward", lambda dy, s: dy * s * (1 - s), y, x.sigmoid()),
        "rsqrt": pointwise("rsqrt", "rsqrt", torch.rsqrt, positive),
        "pow tensor_tensor": pointwise("pow", "pow_tensor_tensor", torch.pow, positive, y),
        "pow tensor_scalar": Case("pow", lambda m, t: m.pow_tensor_scalar(t, 3), lambda t: t**3, (x,)),
        "pow scalar": Case("pow", lambda m, t: m.pow_scalar(2.5, t), lambda t: 2.5**t, (x,)),
        "where": Case("where", lambda m, s, t: m.where_self(s > t, s, t), lambda s, t: torch.where(s > t, s, t), (x, y)),
        "softmax": Case("softmax", lambda m, t: m.softmax(t, -1), lambda t: t.softmax(-1), (x,)),
        "softmax backward": Case(
            "softmax",
            lambda m, dy, s: m.softmax_backward(dy, s, -1, dy.dtype),
            lambda dy, s: s * (dy - (dy * s).sum(-1, keepdim=True)),
            (y, x.softmax(-1)),
        ),
        "layer_norm": Case(
            "layernorm",
            lambda m, t, w, b: m.layer_norm(t, (t.shape[-1],), w, b),
            lambda t, w, b: F.layer_norm(t, (t.shape[-1],), w, b),
            (x, r(130), r(130)),
        ),
        "argmax": Case("argmax", lambda m, t: m.argmax(t), torch.argmax, (rows,)),
        "argmax dim": Case("argmax", lambda m, t: m.argmax(t, 1), lambda t: t.argmax(1), (rows,)),
        "argmin dim": Case("argmin", lambda m, t: m.argmin(t, 1), lambda t: t.argmin(1), (rows,)),
        "mean": Case("mean", lambda m, t: m.mean(t), torch.mean, (positive,)),
        "mean_dim": Case("mean", lambda m, t: m.mean_dim(t, [1]), lambda t: t.mean(1), (positive,)),
    }


def error(ours: Any, wanted: torch.Tensor) -> float:
    """The largest difference by the largest value; infinite where shapes differ, a number is not finite, or an index is another."""
    if ours.shape != wanted.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return 0.0 if torch.equal(ours, wanted) else float("inf")
    if not ours.isfinite().all():
        return float("inf")
    return float((ours.double() - wanted).abs().max() / wanted.abs().max())


def module_of(case: Case) -> Any:
    """The operator's module as it is with the case's tuning."""
    from flag_gems import runtime

    if case.tuning:
        for config in runtime.config_loader.loaded_triton_config[case.tuning]:
            config.kwargs.update(case.changes)
            config.kwargs.pop("PRE_LOAD_V", None)  # of the attention of other vendors; the kernel does not have it
        del runtime.config_loader.loaded_triton_config[case.tuning][1:]
    return importlib.reload(importlib.import_module(f"{OPS}.{case.module}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flaggems", type=Path, required=True, help="a working copy of FlagGems' repository")
    parser.add_argument("--device", default="host", choices=("host", "qemu"))
    parser.add_argument("--chip", default=None)
    parser.add_argument("--select", nargs="*", default=None, help="words that the operators' lines start with (default: all)")
    arguments = parser.parse_args()
    os.environ["GEMS_VENDOR"] = "spacemit"
    sys.path.insert(0, str(arguments.flaggems / "src"))
    set_device(arguments.device, arguments.chip)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    bad = 0
    print("| operator | " + " | ".join(str(dtype).removeprefix("torch.") for dtype in BOUNDS) + " |\n|---|---|---|---|")
    # Those with the library's own tuning come first: the others change the tables.
    cases = sorted((products() | attention() | convolutions() | others()).items(), key=lambda item: bool(item[1].tuning))
    for name, case in cases:
        if arguments.select and not name.startswith(tuple(arguments.select)):
            continue
        cells, known = [], KNOWN.get(name) or KNOWN.get(name.split()[0])
        for dtype, bound in BOUNDS.items():
            tensors = [tensor.to(dtype) for tensor in case.tensors]
            try:
                found = error(case.ours(module_of(case), *tensors), case.reference(*(tensor.double() for tensor in tensors)))
                cells.append(f"{found:.1e}" + ("" if found <= bound else " WRONG"))
            except Exception as failure:  # the others still run
                found = float("inf")
                cells.append(f"{type(failure).__name__}: {' '.join(str(failure).split())[-160:]}")
            bad += not found <= bound and known is None
        print(f"| {name} | {' | '.join(cells)} |" + (f" {known}" if known else ""), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
