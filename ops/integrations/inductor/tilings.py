"""How many dimensions Inductor's kernels have: as many as spare indices divisions, and no more than its code generator has names for."""

from typing import Any

from torch._inductor import config
from torch._inductor.codegen.triton import TritonScheduling
from torch._inductor.custom_graph_pass import CustomSchedulerPass, get_hash_for_files
from torch._inductor.scheduler import BaseSchedulerNode, SchedulerNode

MOST = 3  # z, y and x
REDUCED = 2  # r0_ and r1_


def _overflows(node: BaseSchedulerNode) -> bool:
    """Whether a reduction over three dimensions that are not one gets three tiled dimensions, which Inductor (2.13) asserts it does not."""
    if not isinstance(node, SchedulerNode) or not node.is_reduction():
        return False
    _, (numel, reduced) = node.group
    try:
        TritonScheduling.get_nd_tilings([node], numel, reduced)
    except AssertionError:
        return True
    return False


class LimitTilings(CustomSchedulerPass):
    """Two dimensions, for the rest of this compilation, where a node of the graph would have a reduction of three.

    Called in front of fusion and behind it, which may reorder loops.
    """

    def __call__(self, nodes: list[BaseSchedulerNode]) -> list[BaseSchedulerNode]:
        if config.triton.max_tiles == MOST and any(_overflows(each) for node in nodes for each in node.get_nodes()):
            config.triton.max_tiles = REDUCED  # its value before is restored with the other settings of the compilation
        return nodes

    def uuid(self) -> Any:
        """What generated code depends on besides Inductor's own settings, for the keys of its caches."""
        return get_hash_for_files((__file__,))
