"""Operations that combine two elements of a block: their neutral elements, and how the lanes of a vector are combined by them."""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.passes.loops.builder import Builder, Emitted
from triton_spacemit.passes.loops.lowering import Lowering

# op -> (vector.reduction kind, neutral element of a type)
KINDS: dict[str, tuple[str, Callable[[ir.Type], int | float]]] = {
    "arith.addf": ("add", lambda t: -0.0),
    "arith.mulf": ("mul", lambda t: 1.0),
    "arith.maxnumf": ("maxnumf", lambda t: float("nan")),
    "arith.minnumf": ("minnumf", lambda t: float("nan")),
    "arith.maximumf": ("maximumf", lambda t: float("-inf")),
    "arith.minimumf": ("minimumf", lambda t: float("inf")),
    "arith.addi": ("add", lambda t: 0),
    "arith.muli": ("mul", lambda t: 1),
    "arith.andi": ("and", lambda t: -1),
    "arith.ori": ("or", lambda t: 0),
    "arith.xori": ("xor", lambda t: 0),
    "arith.maxsi": ("maxsi", lambda t: -(1 << (t.width - 1))),
    "arith.minsi": ("minsi", lambda t: (1 << (t.width - 1)) - 1),
    "arith.maxui": ("maxui", lambda t: 0),
    "arith.minui": ("minui", lambda t: -1),
}
# x86 has no instructions for these where an operand may be NaN; LLVM would take the lanes one by one.
_OF_NAN = ("arith.maxnumf", "arith.minnumf", "arith.maximumf", "arith.minimumf")
# Two of them take one comparison, of this predicate, where the left operand is a number: the right one is then taken, or is none.
OF_NUMBERS = {"arith.maxnumf": "ogt", "arith.minnumf": "olt"}


def known_kind(op: ir.Operation) -> str | None:
    """The name of the one op that a reduction or scan combines elements by, where there is just one and it is known."""
    name = combining_op(op)
    return name if name in KINDS else None


def neutral(b: Builder, kind: str | None, element: ir.Type) -> Emitted | None:
    """The number that changes no other one that it is combined with."""
    return None if kind is None else b.constant(KINDS[kind][1](element), element)


def extreme(low: Lowering, kind: str, left: Emitted, right: Emitted) -> Emitted:
    """The larger or smaller one, where `left` is a number, as one instruction of x86."""
    return low.b.select(low.b.compare_floats(OF_NUMBERS[kind], right, left), right, left)


def reduced(low: Lowering, kind: str, value: Emitted, numbers: bool = False) -> Emitted:
    """The lanes of a vector combined by a known operation: one instruction on RISC-V, else as LLVM does it. `numbers`: none is NaN."""
    b = low.b
    element = b.element(value)
    if not low.chip.maximum_skips_nan and kind in _OF_NAN:
        numbers &= kind in OF_NUMBERS
        while value.width > 1:
            half = value.width // 2
            left, right = b.shuffle(value, value, range(half)), b.shuffle(value, value, range(half, 2 * half))
            value = extreme(low, kind, left, right) if numbers else b.op(kind, element, [left, right])
        return low.memory.extract(value, b.constant(0))
    attributes = {"kind": ir.Attribute.parse(f"#vector.kind<{KINDS[kind][0]}>")}
    if isinstance(element, ir.FloatType):
        attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<reassoc>")
    start = [b.constant(-0.0, element).value] if kind == "arith.addf" else []  # not +0.0, which would turn a sum of -0.0
    return Emitted(b.create("vector.reduction", [element], [value.value, *start], attributes, depth=value.depth).results[0], value.depth, 0)
