"""Where Triton's code generator meets a loop: `smt.parallel` has a visitor of its own, in the module that kernels import it from."""

import sys
from collections.abc import Callable
from typing import Any

from triton_spacemit.backend.language.pointers import is_ours

_LOOPS = "triton.language.extra.smt.loops"


def visit_for(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for `CodeGenerator.visit_For`."""

    def visit_For(self: Any, node: Any) -> Any:  # named as Triton's own
        loops = sys.modules.get(_LOOPS)
        if loops is None or not is_ours(self.builder):
            return original(self, node)
        return loops.visit_for(original, self, node)

    return visit_For
