"""Operations that combine two elements of a block: their neutral elements, and how the lanes of a vector are combined by them."""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import bits

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
_GROUP = 8  # registers, whose halves are worth combining first
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


def reduced(low: Lowering, kind: str, value: Emitted, numbers: bool = False, start: Emitted | None = None) -> Emitted:
    """The lanes of a vector combined by a known operation, and with the scalar `start`. `numbers`: none is NaN.

    On RISC-V one instruction combines those of a register, which takes more time for each register of a group: halves of groups are
    combined first. Elsewhere it is done as LLVM does it.
    """
    b = low.b
    element = b.element(value)
    if not low.chip.maximum_skips_nan and kind in _OF_NAN:
        numbers &= kind in OF_NUMBERS
        while value.width > 1:
            half = value.width // 2
            left, right = b.shuffle(value, value, range(half)), b.shuffle(value, value, range(half, 2 * half))
            value = extreme(low, kind, left, right) if numbers else b.op(kind, element, [left, right])
        result = low.memory.extract(value, b.constant(0))
        return result if start is None else b.op(kind, element, [result, start])
    is_group = low.chip.is_riscv and value.width >= low.chip.lanes(bits(element), _GROUP)
    while is_group and value.width > low.chip.lanes(bits(element)):
        half = value.width // 2
        value = b.op(kind, element, [b.shuffle(value, value, range(half)), b.shuffle(value, value, range(half, 2 * half))])
    attributes = {"kind": ir.Attribute.parse(f"#vector.kind<{KINDS[kind][0]}>")}
    if isinstance(element, ir.FloatType):
        attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<reassoc>")
    operands, depth = [value], value.depth
    if start is not None:
        operands, depth = [value, start], max(value.depth, start.depth)
    elif kind == "arith.addf":
        operands = [value, b.constant(-0.0, element)]  # not +0.0, which would turn a sum of -0.0
    found = b.create("vector.reduction", [element], [operand.value for operand in operands], attributes, depth=depth).results[0]
    result = Emitted(found, depth, 0)
    # LLVM would set a group's length in each turn of a loop, rather than in front of it, where it knows another one from here
    return b.opaque(result, depth) if is_group and bits(element) >= 32 else result
