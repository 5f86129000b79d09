"""What a user sees of mistakes in a kernel: a CompilationError with its own line; and of options that are not supported."""

import pytest
import torch
import triton
import triton.language as tl
from kernels.elementwise import add_kernel
from triton.compiler.errors import CompilationError

from triton_spacemit.backend.errors import OptionError

pytestmark = pytest.mark.usefixtures("host")


@triton.jit
def inline_assembly_kernel(x_ptr):
    x = tl.load(x_ptr + tl.arange(0, 16))
    y = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [x], dtype=tl.int32, is_pure=True, pack=1)
    tl.store(x_ptr + tl.arange(0, 16), y)


@tl.core.extern
def no_such_function(x, _semantic=None):
    symbol = {(tl.float32,): ("no_such_symbol", tl.float32)}
    return tl.core.extern_elementwise("", "", [x], symbol, is_pure=True, _semantic=_semantic)


@triton.jit
def unknown_function_kernel(x_ptr):
    x = tl.load(x_ptr + tl.arange(0, 16))
    y = no_such_function(x)
    tl.store(x_ptr + tl.arange(0, 16), y)


@triton.jit
def not_a_power_kernel(x_ptr):
    tl.store(x_ptr + tl.arange(0, 12), 0)


@pytest.mark.parametrize(
    ("kernel", "dtype", "line", "message"),
    [
        (inline_assembly_kernel, torch.int32, 3, "is not supported: the text 'mov.b32 $0, $1;'"),
        (unknown_function_kernel, torch.float32, 3, "no_such_symbol"),
        (not_a_power_kernel, torch.float32, 2, "power of 2"),
    ],
    ids=["inline_assembly", "unknown_function", "arange"],
)
def test_unsupported_names_the_line(kernel, dtype, line, message):
    """`line` counts from the kernel's `def`; the excerpt of the source ends there, with a mark below it."""
    with pytest.raises(CompilationError) as caught:
        kernel[(1,)](torch.zeros(16, dtype=dtype))
    start = next(i for i, text in enumerate(kernel.raw_src) if text.startswith("def "))
    offending = kernel.raw_src[start + line - 1].strip()
    excerpt, _, explanation = str(caught.value).partition("^\n")
    assert excerpt.rstrip().endswith(offending)
    assert message in explanation


@pytest.mark.parametrize(("option", "value"), [("num_ctas", 2), ("num_warps", 3), ("num_stages", -1)])
def test_wrong_options_are_refused(option, value):
    x = torch.zeros(16)
    with pytest.raises(OptionError, match=option):
        add_kernel[(1,)](x, x, x, 16, BLOCK=16, **{option: value})
