"""How many vectors the main part of a loop needs at once: where they are few, each may fill a larger group of registers.

Blocks are computed in the order in which the loops evaluate them, each once; a vector is needed from there to the last block that reads it,
and may then become that block's own.
"""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.evaluation import DEEP, Evaluator
from triton_spacemit.passes.loops.tensors import Computed, Loaded, Tensor

# What an exponential in float32 needs: three values, and constants of fused operations (`Builder.polynomial`).
_EXPONENTIALS = ("math.exp", "math.exp2")
_VALUES, _CONSTANTS = 3, 4


def live(evaluator: Evaluator, tensors: Sequence[Tensor], dim: int, function: int, inner: int | None = None) -> int | None:
    """Of a loop that evaluates `tensors` by vectors along `dim`, or for each vector at all indices along `inner`.

    None where masks, indices, other functions (operations that cost `function` or more) or long chains make it hard to say.
    """
    if any(tensor.height > DEEP for tensor in tensors):
        return None
    return _Live(evaluator, function, inner is not None).together(list(dict.fromkeys(tensors)), dim, inner)


class _Live:
    def __init__(self, evaluator: Evaluator, function: int, is_nested: bool) -> None:
        self.evaluator, self.function, self.is_nested = evaluator, function, is_nested
        self.order: list[tuple[list[Tensor], Tensor, int]] = []  # vectors that are read, what is computed from them, vectors it takes
        self.seen: dict[Tensor, bool] = {}  # blocks, and whether they are vectors
        self.constants = 0
        self.unchanged = 0  # vectors that the inner loop finds made

    def together(self, tensors: list[Tensor], dim: int, inner: int | None) -> int | None:
        for tensor in tensors:
            if not self._known(tensor, dim, inner):
                return None
            self.order.append(([tensor], tensor, 0))  # stored, or added to what is carried
        last = {tensor: number for number, (read, _, _) in enumerate(self.order) for tensor in read}
        needed: set[Tensor] = set()
        most = 0
        for number, (read, tensor, own) in enumerate(self.order):
            needed -= {source for source in read if last[source] == number}
            if own:
                most = max(most, len(needed) + own)
                needed.add(tensor)
        return most + self.constants + self.unchanged

    def _known(self, tensor: Tensor, dim: int | None, inner: int | None) -> bool:
        """Note what computing `tensor` by vectors along its dimension `dim` takes (None: it is one element for all lanes)."""
        if tensor in self.seen:
            return True
        state = self.evaluator.now(tensor)
        self.seen[tensor] = False
        if dim is None or state.uniform is not None or state.shape[dim] == 1:
            return True
        if self.is_nested and (inner is None or state.shape[inner] == 1):
            self.unchanged += 1
            return True
        if isinstance(state, Loaded):
            access = state.access
            if access.index is not None or (access.mask is not None and access.unmasked is None):
                return False
        elif isinstance(state, Computed) and isinstance(tensor.element, ir.IntegerType):
            return not state.always and tensor.element.width == 1  # a mask that holds in the main part
        own = 1
        if state.cost - sum(self.evaluator.now(source).cost for source, _ in state.sources) >= self.function:
            if tensor.origin is None or tensor.origin.name not in _EXPONENTIALS or not isinstance(tensor.element, ir.F32Type):
                return False
            own, self.constants = _VALUES, _CONSTANTS
        sources = dict(state.sources)
        if isinstance(state, Loaded) and state.access.mask in sources:
            del sources[state.access.mask]  # it holds in the main part
        places = {source: [follows.index(d) if d in follows else None for d in (dim, inner)] for source, follows in sources.items()}
        if not all(self._known(source, *places[source]) for source in sources):
            return False
        vectors = [source for source in sources if self.seen[source]]
        if vectors or not sources or isinstance(state, Loaded):
            self.seen[tensor] = True
            self.order.append((vectors, tensor, own))
        return True
