"""What kernels may import or call besides Triton's own language: block pointers, pointers to pointers, `smt` and the CPU's libdevice."""

import functools
from types import ModuleType

_LANGUAGE = "triton.language"


@functools.cache
def kernel_language() -> ModuleType:
    """The module that stands for `triton.language` in kernels of this backend: with block pointers, which Triton 3.9 no longer has."""
    import triton.language

    from triton_spacemit.backend.language import block_pointer

    module = ModuleType(_LANGUAGE, triton.language.__doc__)
    module.__dict__["__getattr__"] = functools.partial(getattr, triton.language)
    module.__dict__.update(block_pointer.FUNCTIONS)
    return module


def module_map() -> dict[str, ModuleType]:
    """Modules that kernels name, to what they get: Triton's code generator asks."""
    from triton.language.extra.cpu import libdevice

    from triton_spacemit.backend.language import block_pointer

    return {"triton.language.extra.libdevice": libdevice, _LANGUAGE: kernel_language(), block_pointer.__name__: block_pointer}


def rename(original: str) -> str:
    """The module that a function of Triton's says it is from where the map above is to give ours for it."""
    from triton_spacemit.backend.language import block_pointer

    return block_pointer.__name__
