"""Affine forms of a block's coordinates: what integer tensors and pointer tensors are described by."""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.facts.nodes import Node, Nodes


@dataclass(frozen=True, eq=False)
class Form:
    """Element i is `offset + sum_d strides[d] * i[d] + rest[i]`.

    For a pointer it is the byte address `pointer + size * (offset + sum_d strides[d] * i[d]) + unit * rest[i]`. `rest` is an integer tensor
    of the value's own shape. Dimensions of extent 1 have stride 0. It holds where all `checks` do.
    """

    shape: tuple[int, ...]
    offset: Node
    strides: tuple[Node, ...]
    rest: Node | None = None
    pointer: Node | None = None
    size: int = 1
    unit: int = 1
    checks: "tuple[Check, ...]" = ()

    @property
    def uniform(self) -> bool:
        return self.rest is None and all(stride.constant == 0 for stride in self.strides)

    @property
    def only_rest(self) -> bool:
        return self.rest is not None and self.offset.constant == 0 and all(stride.constant == 0 for stride in self.strides)

    @property
    def key(self) -> tuple:
        """The same for forms of the same affine part."""
        return (self.shape, self.offset.key, tuple(stride.key for stride in self.strides))


@dataclass(frozen=True, eq=False)
class Check:
    """All elements of an affine `form` are numbers from `low` on and below `end`; None is no limit."""

    form: Form
    low: Node | None
    end: Node | None

    @property
    def key(self) -> tuple:
        return (self.form.key, self.low and self.low.key, self.end and self.end.key)


def merged(first: tuple[Check, ...], second: tuple[Check, ...]) -> tuple[Check, ...]:
    """The checks of two forms of which a third one is made."""
    known = {check.key for check in first}
    return first + tuple(check for check in second if check.key not in known)


def regrouped(nodes: Nodes, form: Form, shape: tuple[int, ...], op: ir.Operation) -> tuple[Node, ...] | None:
    """Strides after a reshape that splits dimensions, or merges ones whose constant strides nest."""
    old = [(extent, stride) for extent, stride in zip(form.shape, form.strides, strict=True) if extent > 1]
    left: list[tuple[int, Node]] = []  # of a dimension that is not used up yet: how much, and its stride
    new: list[Node] = []
    for extent in reversed(shape):
        if extent == 1:
            new.append(nodes.zero)
            continue
        if not left:
            left = [old.pop()]
        size, stride = left[0]
        while size < extent and old:
            outer_size, outer = old.pop()
            if nodes.mul(stride, nodes.const(size), op).key != outer.key:
                return None
            size *= outer_size
        if size % extent:
            return None
        new.append(stride)
        left = [(size // extent, nodes.mul(stride, nodes.const(extent), op))] if size > extent else []
    return tuple(reversed(new))
