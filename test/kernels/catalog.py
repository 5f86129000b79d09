"""Every kernel of this folder, by name."""

from kernels import attention, block_pointers, control_flow, dropout, elementwise, layer_norm, matmul, overlap, softmax
from kernels.case import Case

CASES: dict[str, Case] = {
    case.name: case
    for module in (elementwise, softmax, layer_norm, dropout, matmul, attention, block_pointers, control_flow, overlap)
    for case in module.CASES
}
