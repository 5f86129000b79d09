"""Random kernels do what Triton's interpreter does.

The seeds are fresh in every run. A failure names them; RANDOM_KERNELS_SEED=number repeats a run from there.
"""

import os
import random
import time
from collections import Counter
from itertools import count, takewhile

import pytest
from random_kernels.check import FAILURES, Result
from random_kernels.other_cores import CORES
from random_kernels.pool import check_all

#: Seconds, and programs at most, of a usual run on each chip.
SHORT = {"host": (30.0, 400), "x60": (15.0, 100), "a100": (15.0, 100)} | dict.fromkeys(CORES, (8.0, 50))
LONG = {"host": 5000, "x60": 500, "a100": 500} | dict.fromkeys(CORES, 500)
CHIPS = [pytest.param("host"), *(pytest.param(name, marks=pytest.mark.qemu) for name in ("x60", "a100", *CORES))]


def run(chip: str, seconds: float, most: int, jobs: int = 1) -> Counter[str]:
    first = int(os.environ.get("RANDOM_KERNELS_SEED", random.SystemRandom().randrange(1 << 31)))
    print(f"random kernels on {chip}: RANDOM_KERNELS_SEED={first}")
    end = time.monotonic() + seconds
    seeds = takewhile(lambda seed: seed < first + most and time.monotonic() < end, count(first))
    counts: Counter[str] = Counter()
    failed: list[Result] = []
    for result in check_all(seeds, chip, jobs):
        counts[result.kind] += 1
        if result.kind in FAILURES or result.kind == "unknown":
            failed.append(result)
    print(dict(counts))
    again = f"PYTHONPATH=test python -m random_kernels --chip {chip} --count 1 --seed"
    assert not failed, "\n".join(f"{again} {result.seed}: {result.kind}: {result.detail[-1500:]}" for result in failed)
    return counts


@pytest.mark.parametrize("chip", CHIPS)
def test_random_kernels(chip: str) -> None:
    counts = run(chip, *SHORT[chip])
    assert counts["ok"] > counts["undefined"]


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_thousands_of_random_kernels(chip: str) -> None:
    counts = run(chip, float("inf"), LONG[chip], jobs=2)
    assert counts["ok"] > 0.85 * LONG[chip]
