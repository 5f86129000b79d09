"""Dropout that stores no mask: a seed and the counter-based Philox generator give the same one again."""

import numpy as np
import torch
import triton
import triton.language as tl
from kernels.case import Case, random, rounding


@triton.jit
def dropout_kernel(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask)
    keep = tl.rand(seed, offsets) > p
    tl.store(out_ptr + offsets, tl.where(keep, x / (1 - p), 0.0), mask)


def dropout(x: torch.Tensor, p: float = 0.5, seed: int = 123, block: int = 1024) -> torch.Tensor:
    out = torch.empty_like(x)
    dropout_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), p, seed, BLOCK=block)
    return out


def philox(seed: int, counters: np.ndarray, rounds: int = 10) -> np.ndarray:
    """First word of Philox 4x32 of (counter, 0, 0, 0) under the key `seed` (Salmon et al., 2011)."""
    low = np.uint64(0xFFFFFFFF)
    c = [counters.astype(np.uint64) & low] + [np.zeros(counters.shape, np.uint64) for _ in range(3)]
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32 & 0xFFFFFFFF)]
    for _ in range(rounds):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [second >> np.uint64(32) ^ c[1] ^ key[0], second & low, first >> np.uint64(32) ^ c[3] ^ key[1], first & low]
        key = [key[0] + np.uint64(0x9E3779B9) & low, key[1] + np.uint64(0xBB67AE85) & low]
    return c[0].astype(np.uint32)


def uniform(seed: int, n: int) -> torch.Tensor:
    """What `tl.rand(seed, arange(n))` gives: 31 bits (the negative half mirrored) times the largest scale that stays below 1."""
    words = philox(seed, np.arange(n)).view(np.int32)
    return torch.from_numpy(np.where(words < 0, -words - 1, words).astype(np.float32) * np.float32(4.6566127342e-10))


def reference(x: torch.Tensor, p: float = 0.5, seed: int = 123) -> torch.Tensor:
    keep = (uniform(seed, x.numel()) > p).reshape(x.shape)
    return torch.where(keep, x.double() / (1 - float(np.float32(p))), 0.0)


DROPOUT = Case(
    "dropout",
    dropout,
    reference,
    lambda dtype=torch.float32, size=4099, seed=0: (random(size, dtype=dtype, seed=seed), 0.3, 1 << 40 | 77),
    lambda x, p, seed: rounding(reference(x, p, seed), x.dtype, 1) + rounding(reference(x, p, seed), torch.float32, 2),
)
CASES = (DROPOUT,)
