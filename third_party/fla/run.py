"""Run flash-linear-attention's own tests on this backend.

    python third_party/fla/run.py --fla CHECKOUT [--cases N] [--seconds S] [--device host|qemu] [--chip CHIP] [FILE ...]

FILE is a file below the checkout's `tests` (`ops/test_gla.py`); without one, all of `ops` and `modules`. Of each test the first N cases
run, for at most S seconds of processor time each; the exit status is pytest's. The tests need `pytest` and `einops`.

The library takes a Triton device called "cpu" for the absence of one. So its module of devices is loaded before it, unchanged, and told the
CPU by name. Its autotuned kernels run in their first configuration: a choice among configurations of GPUs takes more time than the tests.
"""

import argparse
import contextlib
import functools
import importlib.util
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from triton.runtime.autotuner import Autotuner

from triton_spacemit.backend import set_device


class OutOfTime(BaseException):
    """A test took longer than its limit; no test catches it as one of its own errors."""


class Sample:
    """The pytest plugin: the first cases of each test, with a limit of processor time."""

    def __init__(self, cases: int, seconds: int) -> None:
        self.cases, self.seconds = cases, seconds

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        seen: Counter[str] = Counter()
        kept, left = [], []
        for item in items:
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            (kept if seen[test] <= self.cases else left).append(item)
        config.hook.pytest_deselected(items=left)
        items[:] = kept

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        signal.signal(signal.SIGPROF, self._stop)
        signal.setitimer(signal.ITIMER_PROF, self.seconds)
        try:
            yield
        except OutOfTime:
            pytest.fail(f"more than {self.seconds} s of processor time")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _stop(self, *_: Any) -> None:
        raise OutOfTime


def name_the_cpu(checkout: Path) -> None:
    """Make the CPU the library's device."""
    spec = importlib.util.spec_from_file_location("fla.utils._device", checkout / "fla/utils/_device.py")
    assert spec
    assert spec.loader
    device: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = device
    spec.loader.exec_module(device)
    device.device = device.device_name = device.device_platform = "cpu"
    device.device_torch_lib = torch.cpu
    device.custom_device_ctx = lambda index: contextlib.nullcontext()
    device.autocast_custom_fwd = functools.partial(torch.amp.custom_fwd, device_type="cpu")
    device.autocast_custom_bwd = functools.partial(torch.amp.custom_bwd, device_type="cpu")


def take_first_configurations() -> None:
    """One configuration for each autotuned kernel, and of its keys those that are arguments: Triton 3.9 refuses others."""
    construct = Autotuner.__init__

    def init(self: Autotuner, fn: Any, names: Sequence[str], configs: list[Any], key: Sequence[str], *rest: Any, **options: Any) -> None:
        construct(self, fn, names, configs[:1], [name for name in key if name in names], *rest, **options)

    Autotuner.__init__ = init


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fla", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--cases", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--device", default="host")
    parser.add_argument("--chip")
    parser.add_argument("files", nargs="*", default=["ops", "modules"], metavar="FILE")
    options = parser.parse_args()
    set_device(options.device, chip=options.chip)
    sys.path.insert(0, str(options.fla))
    name_the_cpu(options.fla)
    take_first_configurations()
    arguments = ["-q", "-n0", "-p", "no:cacheprovider", "-o", "log_cli=false", f"--rootdir={options.fla}"]
    files = [str(options.fla / "tests" / file) for file in options.files]
    return pytest.main([*arguments, *files], plugins=[Sample(options.cases, options.seconds)])


if __name__ == "__main__":
    sys.exit(main())
