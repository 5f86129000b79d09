"""Block pointers in Triton's interpreter, which runs kernels as Python functions (`TRITON_INTERPRET`)."""

import functools
from collections.abc import Callable
from typing import Any

import triton.language as tl
from triton.runtime import interpreter

from triton_spacemit.backend.language.block_pointer import FUNCTIONS, BlockPointer


def patch_lang(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for the function that gives Triton's language the interpreter's meaning while a kernel runs, and takes it back after."""

    def patch_lang(fn: Any) -> Any:
        scope = original(fn)
        for name, function in FUNCTIONS.items():
            for owner in (tl, tl.core, BlockPointer):
                if owner is not BlockPointer or hasattr(BlockPointer, name):
                    scope.set_attr(owner, name, _bound(function, owner is BlockPointer))
        return scope

    return patch_lang


def _bound(function: Callable[..., Any], is_method: bool) -> Callable[..., Any]:
    call = functools.partial(function, _semantic=interpreter.interpreter_semantic)
    return functools.partialmethod(call) if is_method else call  # type: ignore[return-value]
