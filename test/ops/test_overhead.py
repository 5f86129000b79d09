"""What a call costs beyond PyTorch's own dispatch, and what enabling all operators costs."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch

from triton_spacemit import ops

_MOST_MICROSECONDS = 12
_MOST_SECONDS = 0.3


def _microseconds(call: Callable[[], object]) -> float:
    """The least of many turns, of this thread's own time."""
    best = float("inf")
    for _ in range(40):
        start = time.thread_time()
        for _ in range(100):
            call()
        best = min(best, (time.thread_time() - start) / 100)
    return best * 1e6


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda x, y: x + y, id="add"),
        pytest.param(lambda x, y: x * 2.0, id="number"),
        pytest.param(lambda x, y: torch.exp(x), id="exp"),
        pytest.param(lambda x, y: torch.add(x, y, out=y), id="out"),
        pytest.param(lambda x, y: x.mul_(y), id="in place"),
        pytest.param(lambda x, y: x + y[0], id="broadcast"),
        pytest.param(lambda x, y: torch.where(x > 0, x, y), id="where"),
    ],
)
def test_a_call_costs_little_more_than_pytorchs(call, host):
    x, y = torch.randn(4, 4), torch.randn(4, 4)
    eager = _microseconds(lambda: call(x, y))
    with ops.enabled():
        ours = _microseconds(lambda: call(x, y))
    operators = 2 if torch.where.__name__ in call.__code__.co_names else 1
    assert ours - eager < _MOST_MICROSECONDS * operators


def test_enabling_everything_is_quick():
    program = (
        "import time, torch, triton, triton.language; from triton_spacemit import ops\n"
        "start = time.process_time(); ops.enable(); print(time.process_time() - start)"
    )
    times = [float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(times) < _MOST_SECONDS
