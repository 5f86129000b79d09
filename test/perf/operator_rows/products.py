"""Products of matrices and vectors."""

from collections.abc import Callable
from typing import Any

import torch
from perf.operator_rows.row import Row


def _row(
    operator: str, shape: str, call: Callable[..., Any], *sizes: tuple[int, ...], dtype: torch.dtype = torch.float32, terms: int = 1000
) -> Row:
    """`sizes`: of the operands; a size that begins with -1 is of one whose last two dimensions lie the other way round in memory."""

    def make() -> tuple[torch.Tensor, ...]:
        def tensor(size: tuple[int, ...]) -> torch.Tensor:
            if size[0] == -1:
                return tensor((*size[1:-2], size[-1], size[-2])).mT
            return torch.randint(-128, 128, size, dtype=dtype) if dtype == torch.int8 else torch.randn(size).to(dtype)

        return tuple(map(tensor, sizes))

    # sums of `terms` products of numbers about 1, in float32 or better, and roundings of the results
    tolerance = 0.0 if dtype == torch.int8 else max(4 * torch.finfo(dtype).eps, 2**-23 * terms)
    return Row(operator, shape, call, make, dtype, tolerance=tolerance)


def _mm(m: int, n: int, k: int, lies: str = "nn", dtype: torch.dtype = torch.float32) -> Row:
    a, b = ((-1, *size) if how == "t" else size for size, how in zip(((m, k), (k, n)), lies, strict=True))
    return _row("mm", f"{m}x{n}x{k}{'' if lies == 'nn' else ' ' + lies}", torch.mm, a, b, dtype=dtype, terms=k)


ROWS = [
    *(_mm(size, size, size) for size in (128, 512, 1024)),
    *(_mm(m, n, k) for m, n, k in ((32, 1024, 1024), (1, 1024, 1024), (1024, 1, 1024))),
    *(_mm(m, n, k) for m, n, k in ((64, 64, 4096), (2048, 64, 64), (515, 509, 513))),
    *(_mm(512, 512, 512, lies) for lies in ("nt", "tn")),
    *(_mm(4096, n, 512, "nt") for n in (512, 128)),
    *(_mm(512, 512, 512, dtype=dtype) for dtype in (torch.bfloat16, torch.float16, torch.float64)),
    _row("bmm", "16x128x128x64", torch.bmm, (16, 128, 64), (16, 64, 128), terms=64),
    _row("bmm", "16x128x64x128 nt", torch.bmm, (16, 128, 128), (-1, 16, 128, 64), terms=128),
    _row("addmm", "512x2048x512 nt", torch.addmm, (2048,), (512, 512), (-1, 512, 2048), terms=512),
    _row("baddbmm", "8x256x256x64", torch.baddbmm, (8, 256, 256), (8, 256, 64), (8, 64, 256), terms=64),
    _row("mv", "1024x1024", torch.mv, (1024, 1024), (1024,)),
    _row("mv", "1024x1024 t", torch.mv, (-1, 1024, 1024), (1024,)),
    _row("addmv", "4096x256", torch.addmv, (4096,), (4096, 256), (256,), terms=256),
    _row("dot", "1000000", torch.dot, (1_000_000,), (1_000_000,), terms=1_000_000),
    _row("_int_mm", "512x512x512", torch._int_mm, (512, 512), (512, 512), dtype=torch.int8),
]
