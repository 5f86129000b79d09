"""One line of the table of operators."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """operator: of the registry. shape: of the operands, in words. make: the arguments of `call`, a function of PyTorch; it is timed with
    the operators `enabled` (the row's own where it is empty). tolerance: of the comparison, relative and absolute; that of `torch.testing`
    where it is 0.
    """

    operator: str
    shape: str
    call: Callable[..., Any]
    make: Callable[[], tuple[Any, ...]]
    dtype: torch.dtype = torch.float32
    enabled: tuple[str, ...] = ()
    tolerance: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.operator} {self.shape} {str(self.dtype).removeprefix('torch.')}"
