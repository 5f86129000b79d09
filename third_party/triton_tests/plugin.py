"""The pytest plugin that makes Triton's own tests run on this backend: devices, exclusions, time limits, results by test.

Loaded by `run.py` into pytest's controller and workers alike; settings come in environment variables because workers inherit them.
"""

import contextlib
import faulthandler
import fnmatch
import functools
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from triton import _internal_testing

from triton_spacemit.backend.knobs import active_index

WRITE_INTERVAL = 30.0  # seconds between two states of the report


class TestTimeout(Exception):
    """A test took longer than its limit."""

    __test__ = False


class OnCPU(TorchFunctionMode):
    """Puts on the CPU what a test asks to be on a GPU."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if "device" in kwargs:  # an integer is a GPU's number
            kwargs["device"] = "cpu" if isinstance(kwargs["device"], int) else _on_cpu(kwargs["device"])
        if func is torch.Tensor.cuda:
            return args[0]
        if func is torch.Tensor.to:
            args = args[:1] + tuple(_on_cpu(value) for value in args[1:])
        return func(*args, **kwargs)


def _on_cpu(value: Any) -> Any:
    return "cpu" if isinstance(value, str | torch.device) and str(value).partition(":")[0] == "cuda" else value


def read_exclusions(path: Path) -> list[tuple[str, str]]:
    """(pattern, reason) of each line `pattern  # reason`."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.partition("  # ")[::2] for line in lines if line and not line.startswith("#")]
    for pattern, reason in pairs:
        if not reason:
            raise ValueError(f"{path}: {pattern!r} needs a reason")
    return pairs


def _name(nodeid: str) -> str:
    """`test_core.py::test_x[...]`: the node id from the file's name on."""
    path, separator, test = nodeid.partition("::")
    return Path(path).name + separator + test


class Plugin:
    def __init__(self) -> None:
        self.timeout = float(os.environ["TRITON_TESTS_TIMEOUT"])
        self.exclusions = read_exclusions(Path(os.environ["TRITON_TESTS_EXCLUSIONS"]))
        self.sample = int(os.environ.get("TRITON_TESTS_SAMPLE", "0"))
        self.only = set(json.loads(Path(os.environ["TRITON_TESTS_ONLY"]).read_text())) if os.environ.get("TRITON_TESTS_ONLY") else None
        self.results: dict[str, dict[str, Any]] = {}
        self.written = time.monotonic()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen, left_out = [], []
        for item in items:
            name = _name(item.nodeid)
            excluded = any(fnmatch.fnmatchcase(name, _pattern(pattern)) for pattern, _ in self.exclusions)
            (left_out if excluded or self.only is not None and name not in self.only else chosen).append(item)
        if self.sample:
            chosen.sort(key=lambda item: hashlib.sha256(_name(item.nodeid).encode()).digest())
            chosen, rest = chosen[: self.sample], chosen[self.sample :]
            left_out += rest
        items[:] = chosen
        config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Python code is interrupted at the limit; native code that does not return ends the worker, and pytest-xdist names the test."""

        def expire(*_: Any) -> None:
            raise TestTimeout(f"longer than {self.timeout:g} s")

        previous = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, self.timeout)
        faulthandler.dump_traceback_later(2 * self.timeout, exit=True)
        try:
            with OnCPU():
                return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Each test's report carries the memory that its worker holds after it."""
        report: Any = yield
        report.resident_mib = _resident_mib()
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read counts as a failed test."""
        if report.failed:
            self.results[_name(report.nodeid)] = {"outcome": "failed", "seconds": 0.0, "message": str(report.longrepr)[-600:]}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = self.results.setdefault(_name(report.nodeid), {"outcome": "passed", "seconds": 0.0})
        result["seconds"] += report.duration
        for name in ("stop", "resident_mib", "worker_id"):
            result[name] = getattr(report, name, 0)
        text = str(report.longrepr)
        if report.when == "???" or "crashed while running" in text:
            result.update(outcome="crashed", message=text[-300:])
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            result.update(outcome="failed", message=str(crash.message if crash else text)[:600])
        elif report.skipped:
            reason = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else text
            result.update(outcome="xfailed" if hasattr(report, "wasxfail") else "skipped", message=reason[:200])
        if time.monotonic() - self.written > WRITE_INTERVAL and "PYTEST_XDIST_WORKER" not in os.environ:
            self._write()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):
            self._write()

    def _write(self) -> None:
        """The report so far: a run that is stopped keeps it."""
        path = Path(os.environ["TRITON_TESTS_REPORT"])
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(self.results, indent=1, sort_keys=True))
        partial.replace(path)
        self.written = time.monotonic()


def _resident_mib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _pattern(text: str) -> str:
    """Brackets are literal in a test's name."""
    return text.replace("[", "[[]")


def _patch_cuda() -> None:
    """What tests call without asking whether there is a GPU, and the number of the device, which PyTorch names instead on a CPU."""
    for name, value in {"synchronize": None, "current_device": 0, "empty_cache": None, "get_device_capability": (0, 0)}.items():
        setattr(torch.cuda, name, lambda *_, _value=value, **__: _value)
    torch.cuda.device = contextlib.nullcontext  # type: ignore[assignment,misc]
    torch.cpu.current_device = active_index  # type: ignore[assignment]


def in_child(worker: str, *args: Any) -> None:
    """A function of Triton's test tools that a new process runs, in a process that is prepared as this one."""
    _patch_cuda()
    getattr(_internal_testing, worker)(*args)


def pytest_configure(config: pytest.Config) -> None:
    _patch_cuda()
    for worker in ("_run_in_process_worker", "_run_in_replenishing_process_worker"):
        setattr(_internal_testing, worker, functools.partial(in_child, worker))
    config.pluginmanager.register(Plugin(), "triton_tests")
