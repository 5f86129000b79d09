"""How LLVM is to compile a module, as `to-llvm` finds it and LLVM IR text carries it: in attributes of the kernel's function."""

from collections.abc import Mapping
from dataclasses import dataclass

SCHEDULED_CODE = "xsmt-scheduled"
SIMPLE = "xsmt-simple"


@dataclass(frozen=True)
class CodegenOptions:
    """reorder: LLVM's scheduler may move instructions. It may not where there are register tiles, which are written in the order in which
    an in-order core should run them: it would move the loads of a step together, in front of what waits for them.

    few_passes: the code is short and no loop of it is in another, or it has hundreds of loops. A few of LLVM's passes do then; all of them
    take four times as long.
    """

    reorder: bool = True
    few_passes: bool = False

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "CodegenOptions":
        """What the attributes of a kernel's function ask for."""
        return cls(reorder=SCHEDULED_CODE not in attributes, few_passes=SIMPLE in attributes)
