"""Triton's own part of a launch: mistakes named by kernel and argument, and a launch without what nobody sees.

`kernel[grid](...)` is `KernelInterface.__getitem__`, then `JITFunction.run`. For each device, a function has the kernels compiled so far,
their keys, and the binder, which binds and specialises the arguments. At every launch `run` looks the kernel up by `compute_cache_key`,
compiles it by `_do_compile` if need be, asks it for its `launch_metadata` and calls the launcher.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import triton.runtime.jit as _jit
from triton import knobs
from triton._C.libtriton import native_specialize_impl
from triton.backends.compiler import BaseBackend
from triton.compiler.compiler import CompiledKernel

from triton_spacemit.backend.errors import ArgumentError, RangeError


class LaunchedKernel(CompiledKernel):
    """A compiled kernel, without two steps of its launch that nobody sees."""

    #: Triton's property, which loads the kernel when it is first asked for, and asks each time whether it has.
    run = functools.cached_property(CompiledKernel.run.fget)

    def launch_metadata(self, grid: Any, stream: Any, *args: Any) -> Any:
        """What hooks are told of a launch, or None: Triton makes it for empty chains of hooks too."""
        runtime = knobs.runtime
        if getattr(runtime.launch_enter_hook, "calls", True) or getattr(runtime.launch_exit_hook, "calls", True):
            return super().launch_metadata(grid, stream, *args)
        return None


class Keys(dict[Any, str]):
    """Specialisation and options to the key of a kernel of this backend."""


def do_compile(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for `JITFunction._do_compile`: kernels of this backend, and the keys of its functions, are of classes of their own.

    A function makes the dictionary of its keys by a method that it was bound to when it was defined, which may be long before this.
    """

    def _do_compile(self: Any, key: str, signature: Any, device: Any, *rest: Any, **named: Any) -> Any:
        kernel = original(self, key, signature, device, *rest, **named)
        kernels, keys, target, backend, binder = self.device_caches[device]
        if target.backend == "cpu" and type(keys) is not Keys:
            self.device_caches[device] = kernels, Keys(keys), target, backend, binder
        if target.backend == "cpu" and type(kernel) is CompiledKernel:  # else one that is still being compiled
            kernel.__class__ = LaunchedKernel
        return kernel

    return _do_compile


def compute_cache_key(original: Callable[..., str]) -> Callable[..., str]:
    """What stands for the function of that name. Triton's own remembers keys by the text of all options, which is made at every launch."""

    def compute_cache_key(keys: dict[Any, str], specialization: list[Any], options: dict[str, Any]) -> str:
        if type(keys) is not Keys:
            return original(keys, specialization, options)
        try:
            known = (*specialization, *options, *options.values())
            key = keys.get(known)
        except TypeError:  # an option without a hash
            return original(keys, specialization, options)
        if key is None:
            key = keys[known] = original(keys, specialization, options)
        return key

    return compute_cache_key


def read_once(original: Any) -> Any:
    """The value of a setting that `JITFunction.run` would read from the environment at each launch."""
    return original.get()


def getitem(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for `KernelInterface.__getitem__`: the same, and mistakes are explained where our driver is the active one."""

    def __getitem__(self: Any, grid: Any) -> Callable[..., Any]:
        def launch(*args: Any, **kwargs: Any) -> Any:
            try:
                return self.run(grid=grid, warmup=False, *args, **kwargs)  # noqa: B026, as Triton does
            except ArgumentError:
                raise
            except Exception as error:
                _explain(error, self, grid, args, kwargs)
                raise

        return launch

    return __getitem__


def _explain(error: Exception, kernel: Any, grid: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise ArgumentError from `error` where an argument or the grid is none at all; tell a CompilationError of arguments that are None."""
    from triton.compiler.errors import CompilationError
    from triton.runtime import driver

    function = kernel
    while not isinstance(function, _jit.JITFunction) and hasattr(function, "fn"):
        function = function.fn
    if not isinstance(function, _jit.JITFunction) or driver.active.get_current_target().backend != "cpu":
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
