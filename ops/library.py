"""Registration with PyTorch: operators of the table in place of PyTorch's CPU kernels, and back.

What is replaced is the kernel of an `aten` overload for dense tensors on the CPU, below autograd: PyTorch's derivative formulas call the
backward overloads of the same table; its shape functions (fake tensors, `torch.compile`, `meta`) stay as they are.
"""

import functools
import importlib
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.library import Library, get_kernel

from triton_spacemit.ops.plans import planned
from triton_spacemit.ops.registry import by_name

_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)

_registered: dict[str, dict[str, Library]] = {}  # operator to the registrations of its overloads
_kernels: dict[str, Any] = {}  # of the overloads that were enabled, as they are without us
_left: Counter[str] = Counter()
_lock = threading.RLock()


def implementation_of(place: str) -> Callable[..., Any]:
    """The function that a row of the table names as "module:function"."""
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(f"triton_spacemit.ops.{module}"), function)


@functools.cache
def _function(overload: str, place: str) -> Callable[..., Any]:
    """What PyTorch calls for an overload: the implementation, and PyTorch's own kernel where that answers `NotImplemented`.

    It is made once, so that it keeps its plans while the operator is disabled.
    """

    def leave(*args: Any, **kwargs: Any) -> Any:
        kernel = _kernels[overload]
        if kernel is None:
            return NotImplemented
        _left[overload] += 1
        return kernel.call_boxed(_CPU, *_numbers_as_tensors(overload, args), **kwargs)

    return planned(implementation_of(place), leave)


def _kernel_of(overload: str) -> Any:
    """PyTorch's own kernel; None where PyTorch composes the operator of others, so that only the backward of ours asks for it."""
    try:
        return get_kernel(f"aten::{overload}", "CPU")
    except RuntimeError:
        return None


def _numbers_as_tensors(overload: str, args: Sequence[Any]) -> list[Any]:
    """The arguments as PyTorch's kernels take them.

    Where a Python number stands for a tensor (`x * 2`), an implementation is given the number; a kernel of PyTorch's takes tensors only.
    """
    name, _, variant = overload.partition(".")
    schema = torch._C._get_schema(f"aten::{name}", variant)
    tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]

    def convert(number: Any) -> torch.Tensor:
        dtypes = [torch.result_type(tensor, number) for tensor in tensors] or [torch.result_type(number, number)]
        return torch.scalar_tensor(number, dtype=functools.reduce(torch.promote_types, dtypes))

    return [
        convert(arg) if isinstance(arg, int | float | complex) and str(argument.type) == "Tensor" else arg
        for arg, argument in zip(args, schema.arguments, strict=False)
    ]


def _resolve(names: Iterable[str]) -> list[str]:
    """The operators to act on: all where no name is given. Raises ValueError for a name that is none."""
    known = by_name()
    chosen = list(dict.fromkeys(names)) or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"no such operator: {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    return chosen


def enable(*names: str) -> None:
    """Let the named operators (no names: all) run here for tensors on the CPU, until they are disabled. Enabling twice is enabling once.

    Raises ValueError for a name that is not in the table; then nothing has changed.
    """
    chosen = _resolve(names)
    operators = by_name()
    with _lock:
        for name in chosen:
            if name in _registered:
                continue
            functions = {overload: _function(overload, place) for overload, place in operators[name].overloads.items()}
            libraries = _registered[name] = {}
            with warnings.catch_warnings():
                # PyTorch says once a process that a kernel of its own is replaced, which is what was asked for.
                warnings.filterwarnings("ignore", "Warning only once for all operators", UserWarning)
                for overload, function in functions.items():
                    _kernels[overload] = _kernel_of(overload)
                    library = libraries[overload] = Library("aten", "IMPL")
                    library.impl(overload, function, "CPU", allow_override=True)


def disable(*names: str) -> None:
    """Let PyTorch's own kernels run again for the named operators (no names: all).

    PyTorch does not guard its kernels against this: no other thread may be calling the operators. Raises ValueError for a name that is
    not in the table.
    """
    chosen = _resolve(names)
    with _lock:
        for name in chosen:
            for library in _registered.pop(name, {}).values():
                library._destroy()


@contextmanager
def enabled(*names: str) -> Iterator[None]:
    """The named operators (no names: all) run here inside the `with` block; behind it, those that did before it."""
    with _lock:
        new = [name for name in _resolve(names) if name not in _registered]
    enable(*names)
    try:
        yield
    finally:
        if new:
            disable(*new)


def active() -> tuple[str, ...]:
    """The operators that run here."""
    with _lock:
        return tuple(_registered)


def left_to_pytorch() -> dict[str, int]:
    """How many calls of each overload PyTorch's own kernel answered while the operator was enabled: other dtypes, and mistakes."""
    return dict(_left)
