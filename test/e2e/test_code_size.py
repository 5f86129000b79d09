"""Blocks become loops: the code of a kernel does not grow with its block."""

import pytest
from kernels.elementwise import add_kernel, gelu_erf, unary_kernel
from kernels.softmax import softmax_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

POINTERS = {"x_ptr": "*fp32", "y_ptr": "*fp32", "out_ptr": "*fp32", "n": "i32", "BLOCK": "constexpr"}


def _signature(*names: str) -> dict[str, str]:
    return {name: POINTERS.get(name, "i32") for name in names}


KERNELS = {
    "add": (add_kernel, _signature("x_ptr", "y_ptr", "out_ptr", "n", "BLOCK"), {}),
    "gelu": (unary_kernel, _signature("x_ptr", "out_ptr", "n", "BLOCK") | {"OP": "constexpr"}, {"OP": gelu_erf}),
    "softmax": (softmax_kernel, _signature("x_ptr", "out_ptr", "x_stride", "out_stride", "rows", "columns", "BLOCK"), {}),
}


@pytest.mark.parametrize("chip", ["x60", "a100", "host"])
@pytest.mark.parametrize("name", KERNELS)
def test_code_does_not_grow_with_the_block(name, chip):
    kernel, signature, constants = KERNELS[name]
    signature = {argument: signature[argument] for argument in kernel.arg_names}

    def size(block: int) -> int:
        source = ASTSource(kernel, signature, constants | {"BLOCK": block})
        return len(compile(source, target=GPUTarget("cpu", chip, 32)).asm["asm"].splitlines())

    small, large = size(1024), size(65536)
    assert small > 10
    assert abs(large - small) <= 0.1 * small
