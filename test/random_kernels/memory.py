"""The memory of a program: what its storages hold at first, and the arguments that point into them."""

import math
import random
from typing import Any

import numpy as np
import torch
from random_kernels.program import SIZES, SLACK, Program, Storage


def fill(storage: Storage, count: int) -> np.ndarray:
    """`count` elements. bfloat16 is made from float32 by dropping its lower half, which is exact for the small integers that it holds."""
    draw = np.random.default_rng(storage.seed)
    kind = storage.fill
    wide = "float32" if storage.dtype == "bfloat16" else storage.dtype
    if kind == "count":
        data = (np.arange(count) % 100).astype(wide)
    elif kind == "full":
        limits = np.iinfo(wide)
        data = draw.integers(limits.min, limits.max, count, dtype=wide, endpoint=True)
    elif kind == "bits":
        data = draw.integers(0, 2, count).astype(wide)
    elif kind == "index":
        data = draw.integers(0, 1 << 30, count).astype(wide)
    else:  # small integers, with infinities and NaN among them where it is "special"
        low = 0 if wide.startswith("uint") else -4
        data = draw.integers(low, 5, count).astype(wide)
    if kind == "special":
        number = random.Random(storage.seed).choice((-math.inf, math.nan, math.inf, -math.inf))
        data[draw.random(count) < draw.choice((0.02, 0.2))] = number
    if storage.dtype == "bfloat16":
        return (data.view(np.uint32) >> 16).astype(np.uint16)
    return data


def torch_type(dtype: str) -> torch.dtype:
    return torch.bool if dtype == "int1" else getattr(torch, dtype)


class Memory:
    """Every storage as bytes, with slack around what the program may access."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.slack = [SLACK * SIZES[storage.dtype] for storage in program.storages]
        self.storages = [self._make(storage) for storage in program.storages]

    def _make(self, storage: Storage) -> torch.Tensor:
        parts = self.program.programs if storage.sliced else 1
        size = SIZES[storage.dtype]
        count = self.program.part_bytes(storage) * parts // size + 2 * SLACK
        return torch.from_numpy(fill(storage, count).view(np.uint8).copy())

    def arguments(self) -> list[Any]:
        values: list[Any] = []
        for pointer in self.program.pointers:
            tail = self.storages[pointer.storage][self.slack[pointer.storage] + pointer.offset :]
            whole = tail[: len(tail) // SIZES[pointer.dtype] * SIZES[pointer.dtype]]
            values.append(whole.view(torch_type(pointer.dtype)))
        return values + [scalar.value for scalar in self.program.scalars]

    def ranges(self) -> list[tuple[int, int]]:
        return [(storage.data_ptr(), storage.data_ptr() + storage.numel()) for storage in self.storages]

    def contents(self, number: int) -> torch.Tensor:
        return self.storages[number].view(getattr(torch, self.program.storages[number].dtype))
