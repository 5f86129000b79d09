"""Products of matrices and vectors."""

import torch
from perf.operator_rows.row import Row


def _dot(size: int) -> Row:
    return Row("dot", str(size), torch.dot, lambda: tuple(torch.randn(2, size)), tolerance=1e-6 * size**0.5)


ROWS = [_dot(1_000_000)]
