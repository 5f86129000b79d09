"""What Inductor's code generator for Triton (PyTorch 2.13) cannot do on a CPU, kept from it before it fuses kernels and after.

A reduction over three dimensions that are not one gets three tiled dimensions, if three are allowed; the generator has names for two, and
asserts. A graph's input without dimensions is passed as a number; where a kernel may also write its result into that input, the generator
computes with its address.
"""

from typing import Any

from torch._inductor import config
from torch._inductor.codegen.triton import TritonScheduling
from torch._inductor.custom_graph_pass import CustomSchedulerPass, get_hash_for_files
from torch._inductor.scheduler import BaseSchedulerNode, SchedulerNode
from torch._inductor.virtualized import V

TILED = 3  # dimensions that are tiled at most: z, y and x, which spare indices divisions
_TILED_OF_REDUCTIONS = 2  # r0_ and r1_


def _overflows(node: BaseSchedulerNode) -> bool:
    """Whether a reduction gets more tiled dimensions than it can have."""
    if not isinstance(node, SchedulerNode) or not node.is_reduction():
        return False
    _, (numel, reduced) = node.group
    try:
        TritonScheduling.get_nd_tilings([node], numel, reduced)
    except AssertionError:
        return True
    return False


def _limit_tilings(nodes: list[BaseSchedulerNode]) -> None:
    """Two tiled dimensions, for the rest of this compilation, where a reduction would get three."""
    if config.triton.max_tiles == TILED and any(_overflows(each) for node in nodes for each in node.get_nodes()):
        config.triton.max_tiles = _TILED_OF_REDUCTIONS  # its value before is restored with the compilation's other settings


def _keep_numbers(nodes: list[BaseSchedulerNode]) -> None:
    """Nothing is written into an input that is passed as a number."""
    reusable = nodes[0].scheduler.name_to_donated_buffer if nodes else {}
    for name in [name for name in reusable if V.graph.is_unspec_arg(name)]:
        del reusable[name]


class SchedulePass(CustomSchedulerPass):
    """For both of the hooks around fusion, which may reorder the loops of a node."""

    def __call__(self, nodes: list[BaseSchedulerNode]) -> list[BaseSchedulerNode]:
        _limit_tilings(nodes)
        _keep_numbers(nodes)
        return nodes

    def uuid(self) -> Any:
        """What generated code depends on besides Inductor's own settings, for the keys of its caches."""
        return get_hash_for_files((__file__,))
