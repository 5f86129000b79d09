"""The pytest plugin by which FlagGems' own tests are evidence on a CPU: what they compare with, what memory holds, what each test did.

Loaded by `census.py`; its settings are in the JSON file that GEMS_CENSUS names. On a GPU the library's reference is another tensor on
another device. On a CPU it would be the very tensor that is tested, and an operator that writes in place, or does nothing, would agree with
itself. Therefore

- `to_reference` returns a copy;
- memory of `torch.empty` and its like is filled: with NaN, or with a large number where the type has none;
- with the `null` device the launcher does nothing: a test that still passes shows nothing, which the table says;
- each test's result names the operators of its marks and how many kernels it launched.

Tests that say "cuda" are read as saying "cpu", and a device's number that they pass to PyTorch as the CPU's name.
"""

import ast
import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
import types
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import triton

from triton_spacemit.backend import set_device
from triton_spacemit.integrations.gems import cuda_names

SETTINGS = json.loads(Path(os.environ["GEMS_CENSUS"]).read_text())
CHECKOUT = Path(SETTINGS["flaggems"])

set_device(SETTINGS["device"], SETTINGS["chip"] or None)
if SETTINGS["vendor"] == "triton_spacemit":
    import triton_spacemit.integrations.flag_gems  # noqa: F401, this import is what is tested
else:
    os.environ["GEMS_VENDOR"] = SETTINGS["vendor"]


class OutOfTime(BaseException):
    """A test took longer than its limit; no test catches it as one of its own errors."""


class _Translator(cuda_names.Translator):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = ast.unparse(node.func)
        if called.endswith("torch_device_fn.current_device") or called == "torch.cuda.current_device":
            return ast.copy_location(ast.Constant("cpu"), node)
        return super().visit_Call(node)


class _Loader(SourceFileLoader):
    """A module of the tests, translated; the module of references gets ours."""

    def get_code(self, fullname: str) -> types.CodeType:
        tree = ast.fix_missing_locations(_Translator().visit(ast.parse(self.get_data(self.path), self.path)))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        if module.__name__.endswith("accuracy_utils"):
            original = module.to_reference
            module.to_reference = lambda inp, *args, **kwargs: _copied(inp, original(inp, *args, **kwargs))


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        last = name.rpartition(".")[2]
        if not last.startswith("test") and last not in ("accuracy_utils", "ks_tests"):
            return None
        for other in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = other.find_spec(name, path, target) if hasattr(other, "find_spec") else None
            if spec is not None:
                if type(spec.loader) is SourceFileLoader and Path(spec.loader.path).is_relative_to(CHECKOUT / "tests"):
                    spec.loader = _Loader(spec.loader.name, spec.loader.path)
                return spec
        return None


def _copied(tensor: Any, reference: Any) -> Any:
    """The reference, as memory of its own."""
    if isinstance(tensor, torch.Tensor) and isinstance(reference, torch.Tensor) and tensor.layout == torch.strided:
        if reference.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
            copy = reference.detach().clone()
            return copy.requires_grad_(reference.requires_grad and reference.is_leaf) if reference.dtype.is_floating_point else copy
    return reference


#: By type, what no correct result has by chance: NaN, and where there is none three quarters of the largest number. As unsigned integers.
_PATTERNS = {
    torch.float16: 0x7E00,
    torch.bfloat16: 0x7FC0,
    torch.float32: 0x7FC00000,
    torch.float64: 0x7FF8 << 48,
    torch.complex32: 0x7E00,
    torch.complex64: 0x7FC00000,
    torch.complex128: 0x7FF8 << 48,
    torch.uint8: 0xBF,
    torch.int8: 0x5F,
    torch.int16: 0x5FFF,
    torch.int32: 0x5FFFFFFF,
    torch.int64: 0x5FFF << 48,
}


def _fill(tensor: torch.Tensor) -> torch.Tensor:
    """Write the type's pattern over the whole storage, past PyTorch: `fill_` may be the operator that is tested."""
    storage = tensor.untyped_storage()
    size = (tensor.dtype.itemsize >> tensor.dtype.is_complex) if tensor.dtype in _PATTERNS else 1
    pattern = _PATTERNS.get(tensor.dtype, 0x7F if tensor.dtype.is_floating_point else 1)  # float8 and bool
    memory = (ctypes.c_ubyte * (storage.nbytes() // size * size)).from_address(storage.data_ptr())
    numpy.frombuffer(memory, f"u{size}")[:] = pattern
    return tensor


def fill_new_memory() -> None:
    """`torch.empty`, `empty_like`, `empty_strided`, `Tensor.new_empty` and `new_empty_strided` return filled memory."""
    for owner, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch, "empty_strided"),
        (torch.Tensor, "new_empty"),
        (torch.Tensor, "new_empty_strided"),
    ):
        original = getattr(owner, name)

        def filled(*args: Any, _original: Any = original, **kwargs: Any) -> torch.Tensor:
            tensor = _original(*args, **kwargs)
            return _fill(tensor) if tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.numel() else tensor

        setattr(owner, name, filled)


def short_tuning() -> None:
    """Configurations are still measured, each for milliseconds."""
    original = triton.testing.do_bench
    triton.testing.do_bench = lambda fn, warmup=1, rep=2, **keywords: original(fn, warmup=1, rep=2, **keywords)


def spread(items: list[pytest.Item], count: int) -> list[pytest.Item]:
    """`count` of the items at equal distances, the last among them: it tends to be the largest and oddest case."""
    if count <= 0 or len(items) <= count:
        return items
    return [items[len(items) - 1 - i * len(items) // count] for i in range(count)]


class Plugin:
    def __init__(self) -> None:
        self.report = open(SETTINGS["report"], "a", buffering=1)  # open as long as the process
        self.done = set(SETTINGS["done"])
        self.launches = 0
        triton.knobs.runtime.launch_enter_hook.add(self._launched)

    def _launched(self, *_: Any) -> None:
        self.launches += 1

    def _write(self, **fields: Any) -> None:
        self.report.write(json.dumps(fields) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        functions: dict[tuple[str, ...], list[pytest.Item]] = defaultdict(list)
        for item in items:
            # Some functions test several operators, each parameter with the mark of its own.
            functions[item.nodeid.partition("[")[0], *_operators(item)].append(item)
        chosen = [item for group in functions.values() for item in spread(group, SETTINGS["sample"])]
        only = set(SETTINGS["only"])
        chosen = [item for item in chosen if _name(item) not in self.done] if not only else [item for item in items if _name(item) in only]
        left = set(map(id, chosen))
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in left])
        items[:] = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        def expire(*_: Any) -> None:
            raise OutOfTime(f"longer than {SETTINGS['limit']:g} s of processor time")

        previous = signal.signal(signal.SIGPROF, expire)
        signal.setitimer(signal.ITIMER_PROF, SETTINGS["limit"])
        try:
            return (yield)
        except OutOfTime as error:
            raise TimeoutError(f"{error}, at {_place(error)}") from None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, previous)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._write(test=_name(item), started=time.time(), operators=_operators(item))
        self.launches, self.begun = 0, time.process_time()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield
        if call.when == "call" or report.outcome != "passed" and call.when == "setup":
            error = call.excinfo.value if call.excinfo else None
            message = f"{type(error).__name__}: {' '.join(str(error).split())[:600]}" if error else ""
            self._write(
                test=_name(item),
                outcome=report.outcome if not hasattr(report, "wasxfail") else "xfailed",
                message=message,
                place=_place(error) if error and report.outcome == "failed" else "",
                launches=self.launches,
                seconds=round(time.process_time() - self.begun, 3),
                mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            )
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            message = " ".join(str(report.longrepr)[-900:].split())
            self._write(test=Path(report.nodeid).name, outcome="failed", message=message, launches=0, seconds=0.0)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(files=SETTINGS["files"], tests=len(session.items))


def _name(item: pytest.Item) -> str:
    path, separator, test = item.nodeid.partition("::")
    return Path(path).name + separator + test


def _operators(item: pytest.Item) -> list[str]:
    known = set(SETTINGS["operators"])
    return sorted({mark.name for mark in item.iter_markers()} & known)


def _place(error: BaseException) -> str:
    """The innermost line of the library or its tests that the error passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(CHECKOUT) in frame.filename]
    return f"{Path(frames[-1].filename).relative_to(CHECKOUT)}:{frames[-1].lineno}" if frames else ""


def pytest_configure(config: pytest.Config) -> None:
    sys.meta_path.insert(0, _Finder())
    short_tuning()
    fill_new_memory()
    config.pluginmanager.register(Plugin(), "gems_census")
