"""Triton's own part of a launch: mistakes named by kernel and argument, and two steps without what nobody sees.

`kernel[grid](...)` is `KernelInterface.__getitem__`, then `JITFunction.run`, which binds and specialises the arguments, looks the kernel up
by `compute_cache_key`, asks it for its `launch_metadata` and calls the launcher.
"""

from collections.abc import Callable, Sequence
from typing import Any

import triton.runtime.jit as _jit
from triton import knobs
from triton._C.libtriton import native_specialize_impl
from triton.backends.compiler import BaseBackend

from triton_spacemit.backend.errors import ArgumentError, RangeError

_compute_cache_key = _jit.compute_cache_key


def install() -> None:
    """Replace the functions of kernels, and read a setting once that `run` would read from the environment at each launch."""
    _jit.compute_cache_key = compute_cache_key
    _jit.KernelInterface.__getitem__ = _getitem
    # Triton does so itself with the settings beside it; only instrumented GPU code depends on this one.
    type(knobs.compilation).fpsan_homomorphic_casts = knobs.compilation.fpsan_homomorphic_casts


def install_metadata() -> None:
    """Replace the method of compiled kernels, which Triton defines later than the others."""
    from triton.compiler.compiler import CompiledKernel

    make = CompiledKernel.launch_metadata
    if make.__module__ == __name__:
        return

    def launch_metadata(self: Any, grid: Any, stream: Any, *args: Any) -> Any:
        """What hooks are told of a launch, or None: Triton makes it for empty chains of hooks too."""
        runtime = knobs.runtime
        if getattr(runtime.launch_enter_hook, "calls", True) or getattr(runtime.launch_exit_hook, "calls", True):
            return make(self, grid, stream, *args)
        return None

    CompiledKernel.launch_metadata = launch_metadata


def compute_cache_key(cache: dict[Any, str], specialization: list[Any], options: dict[str, Any]) -> str:
    """Triton's key of a kernel. Triton itself remembers keys by the text of all options, which is made anew at every launch."""
    try:
        known = (*specialization, *options, *options.values())
        key = cache.get(known)
    except TypeError:  # an option without a hash
        return _compute_cache_key(cache, specialization, options)
    if key is None:
        key = cache[known] = _compute_cache_key(cache, specialization, options)
    return key


def _getitem(self: Any, grid: Any) -> Callable[..., Any]:
    def launch(*args: Any, **kwargs: Any) -> Any:
        try:
            return self.run(grid=grid, warmup=False, *args, **kwargs)  # noqa: B026, as Triton does
        except ArgumentError:
            raise
        except Exception as error:
            _explain(error, self, grid, args, kwargs)
            raise

    return launch


def _explain(error: Exception, kernel: Any, grid: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise ArgumentError from `error` where an argument or the grid is none at all; tell a CompilationError of arguments that are None."""
    from triton.compiler.errors import CompilationError
    from triton.runtime import driver

    from triton_spacemit.backend.driver import CPUDriver

    function = kernel
    while not isinstance(function, _jit.JITFunction) and hasattr(function, "fn"):
        function = function.fn
    if not isinstance(function, _jit.JITFunction) or not isinstance(driver.active, CPUDriver):
        return
    name = function.__name__
    bind = function.signature.bind if function is kernel else function.signature.bind_partial  # an autotuner adds arguments
    try:
        values = bind(*args, **{key: value for key, value in kwargs.items() if key in function.arg_names}).arguments
    except TypeError as mistake:
        raise ArgumentError(f"kernel {name!r}: {mistake}") from error
    for parameter in function.params:
        where, value = f"argument {parameter.name!r} of kernel {name!r}", values.get(parameter.name, 0)
        try:
            if parameter.is_constexpr:
                hash(value)
            else:
                native_specialize_impl(BaseBackend, value, False, True, True)
        except Exception as mistake:
            kind = "a value that has a hash" if parameter.is_constexpr else "a tensor on the CPU, a number or a tuple of these"
            given = type(value).__name__ + (f" of {value.dtype}" if hasattr(value, "dtype") else "")
            refusal = RangeError if isinstance(mistake, OverflowError) else ArgumentError
            raise refusal(f"{where} must be {kind}, got {given}: {mistake}") from error
        if value is None and isinstance(error, CompilationError):
            error.message += f"\n{where} is None"
    if not callable(grid) and not (isinstance(grid, tuple | list) and grid):
        raise ArgumentError(f"the grid of kernel {name!r} must be one to three integers, got {grid!r}") from error
