"""Emission of element-wise code: values (`lanes.py`) become `arith` and `math` ops at their places."""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate
from triton_spacemit.passes.math.lanes import BITS, Lanes, Number, Types

_ORDERS = ("lt", "le", "gt", "ge")
# What a comparison of a formula is called: orders are signed for integers; for floats all are false of NaN, but `une` and `uno`.
_FLOAT = {name: FloatPredicate[f"o{name}"] for name in ("eq", "ne", *_ORDERS)} | {name: FloatPredicate[name] for name in ("une", "uno")}
_INTEGER = {name: IntPredicate[f"s{name}"] for name in _ORDERS} | {p.name: p for p in IntPredicate}

# Register groups that are left for values, and for masks, beside constants. There are only so few groups where a loop is known to need few
# values (passes/loops/live.py).
_VALUES, _FEW_VALUES, _FEW_GROUPS = 6, 4, 8


def _signed(number: int, bits: int) -> int:
    """The number of `bits` bits that `number` wraps around to; truth values stay 0 and 1."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if bits > 1 and number >> (bits - 1) else number


class Builder:
    """Creates element-wise ops before (or after) `op`, at its location; constants go to the start of its function."""

    def __init__(self, types: Types, entry: ir.Block, constants: dict, op: ir.Operation, after: bool = False) -> None:
        self.types = types
        self.entry = entry
        self.constants = constants
        self.location = op.location
        self.ip = ir.InsertionPoint.after(op) if after else ir.InsertionPoint(op)

    def lanes(self, value: ir.Value) -> Lanes:
        kind, lanes = self.types.describe(value.type)
        return Lanes(self, value, kind, lanes)

    def create(self, name: str, kind: str, lanes: int, operands: Sequence[ir.Value], attributes: dict | None = None) -> Lanes:
        type_ = self.types.get(kind, lanes)
        op = ir.Operation.create(name, [type_], operands, attributes, None, 0, self.location, self.ip, False)
        return Lanes(self, op.result, kind, lanes)

    def constant(self, kind: str, lanes: int, number: Number) -> Lanes:
        key = (kind, lanes, str(number))
        value = self.constants.get(key)
        if value is None:
            type_, element = self.types.get(kind, lanes), self.types.get(kind, 0)
            if "f" in kind:
                attribute = ir.FloatAttr.get(element, float(number), self.location)
            else:
                attribute = ir.IntegerAttr.get(element, _signed(int(number), BITS[kind]))
            if lanes:
                attribute = ir.DenseElementsAttr.get_splat(type_, attribute)
            start = ir.InsertionPoint.at_block_begin(self.entry)  # not kept: the op there may be erased
            op = ir.Operation.create("arith.constant", [type_], [], {"value": attribute}, None, 0, self.location, start, False)
            value = self.constants[key] = op.result
        return Lanes(self, value, kind, lanes)

    def compare(self, left: Lanes, predicate: str, right: Lanes) -> Lanes:
        attributes = {"predicate": self.types.predicates[(_FLOAT if left.is_float else _INTEGER)[predicate]]}
        return self.create("arith.cmpf" if left.is_float else "arith.cmpi", "i1", left.lanes, [left.value, right.value], attributes)

    def select(self, condition: Lanes, yes: Lanes | Number, no: Lanes | Number) -> Lanes:
        """`yes` where the condition holds, else `no`; at most one of them is a number."""
        if isinstance(yes, Lanes):
            no = yes.like(no)
        else:
            assert isinstance(no, Lanes)
            yes = no.like(yes)
        return self.create("arith.select", yes.kind, yes.lanes, [condition.value, yes.value, no.value])

    def fma(self, a: Lanes, b: Lanes | Number, c: Lanes | Number) -> Lanes:
        """a * b + c, rounded once."""
        return a._op("math.fma", a, b, c)

    def at_least(self, x: Lanes, bound: Lanes | Number) -> Lanes:
        """max(x, bound) where a NaN in x stays: a comparison and a merge on RISC-V, one instruction on x86."""
        return self.select(x < bound, bound, x)

    def minimum(self, x: Lanes, bound: Lanes | Number) -> Lanes:
        """min(x, bound) where a NaN in x may become the bound: one instruction on either target."""
        return x._op("arith.minnumf", x, bound) if self.types.riscv else self.select(x < bound, x, bound)

    def maximum(self, x: Lanes, bound: Lanes | Number) -> Lanes:
        """max(x, bound) where a NaN in x may become the bound."""
        return x._op("arith.maxnumf", x, bound) if self.types.riscv else self.select(x > bound, x, bound)

    def at_most(self, x: Lanes, bound: Lanes | Number) -> Lanes:
        """min(x, bound) where a NaN in x stays."""
        return self.select(x > bound, bound, x)

    def polynomial(self, x: Lanes, coefficients: Sequence[float]) -> Lanes:
        """Horner's scheme; `coefficients` from the constant upwards. Where the last is 1, the first step is only a sum."""
        *others, leading = coefficients
        result = x + others.pop() if leading == 1 else x.like(leading)
        fused = self._fused_steps(x, coefficients)
        for number, coefficient in reversed(list(enumerate(others))):
            result = self.fma(result, x, coefficient) if number < fused else result * x + coefficient
        return result

    def paired_polynomial(self, x: Lanes, coefficients: Sequence[float]) -> Lanes:
        """The same with fewer steps that wait for each other, for two more operations and a register for each constant.

        By Estrin's scheme, neighbours in pairs, but for the last step: there roundings count.
        """
        constant, *rest = coefficients
        parts: list[Lanes | float] = list(rest)
        power = x
        while len(parts) > 1:
            pairs: list[Lanes | float] = [self.fma(x.like(high), power, low) for low, high in zip(parts[::2], parts[1::2], strict=False)]
            parts = [*pairs, *parts[len(parts) & ~1 :]]
            power = power * power
        return self.fma(x.like(parts[0]), x, constant)

    def _fused_steps(self, x: Lanes, coefficients: Sequence[Number]) -> int:
        """How many of Horner's last steps are fused operations.

        RISC-V has none that adds a scalar: the constant fills a vector register as long as the loop runs. Where they get short, the first
        steps, whose roundings count least, are a product and a sum. So is the very first: its fused form would begin with a copy.
        """
        if not self.types.register_bits or not x.lanes:
            return len(coefficients)
        room, held = self._room(x), self._held()
        for number, coefficient in enumerate(coefficients[:-2]):
            if (x.kind, coefficient) not in held and len(held) >= room:
                return number
            held.add((x.kind, coefficient))
        return len(coefficients) - 2

    def _room(self, x: Lanes) -> int:
        """How many groups of registers there are for constants, beside values such as `x`."""
        groups = self._groups(x)
        return groups - (_VALUES if groups > _FEW_GROUPS else _FEW_VALUES)

    def _groups(self, x: Lanes) -> int:
        return self.types.register_bits // (x.lanes * BITS[x.kind])

    def _held(self) -> set[tuple[str, Number]]:
        """The constants that fill a register in this block, each with its type."""
        return self.constants.setdefault(("held", self.ip.block), set())

    def holds_many(self, x: Lanes, coefficients: Sequence[Number]) -> bool:
        """Whether constants of fused operations have to lie in registers, there are many, and all steps for these would be fused."""
        if not self.types.register_bits or not x.lanes or self._groups(x) <= _FEW_GROUPS:
            return False
        return len(self._held() | {(x.kind, coefficient) for coefficient in coefficients[:-2]}) <= self._room(x)

    def multiply_high(self, a: Lanes, b: Lanes) -> Lanes:
        """The high half of an unsigned product."""
        types = [a.value.type, a.value.type]
        product = ir.Operation.create("arith.mului_extended", types, [a.value, b.value], None, None, 0, self.location, self.ip, False)
        return self.lanes(product.results[1])

    def any(self, condition: Lanes) -> ir.Value:
        """A scalar i1: whether the condition holds in any lane."""
        if not condition.lanes:
            return condition.value
        kind = ir.Attribute.parse("#vector.kind<or>")
        return self.create("vector.reduction", "i1", 0, [condition.value], {"kind": kind}).value

    def repeat(self, values: list[Lanes], condition: Callable[..., Lanes], body: Callable[..., list[Lanes]]) -> list[Lanes]:
        """`values = body(*values)` in the lanes where `condition(*values)` holds, as long as it does in any."""
        types = [value.value.type for value in values]
        loop = ir.Operation.create("scf.while", types, [value.value for value in values], None, None, 2, self.location, self.ip, False)
        outer = self.ip
        blocks = [region.blocks.append(*types, arg_locs=[self.location] * len(types)) for region in loop.regions]
        self.ip = ir.InsertionPoint(blocks[0])
        before = [self.lanes(argument) for argument in blocks[0].arguments]
        operands = [self.any(condition(*before)), *blocks[0].arguments]
        ir.Operation.create("scf.condition", [], operands, None, None, 0, self.location, self.ip, False)
        self.ip = ir.InsertionPoint(blocks[1])
        old = [self.lanes(argument) for argument in blocks[1].arguments]
        active = condition(*old)
        new = [self.select(active, after, value).value for after, value in zip(body(*old), old, strict=True)]
        ir.Operation.create("scf.yield", [], new, None, None, 0, self.location, self.ip, False)
        self.ip = outer
        return [self.lanes(result) for result in loop.results]

    def where_any(self, condition: Lanes, rare: Callable[[], list[Lanes]], usual: list[Lanes]) -> list[Lanes]:
        """`rare()` merged over `usual` where the condition holds; its code is branched around where it holds in no lane."""
        types = [value.value.type for value in usual]
        branch = ir.Operation.create("scf.if", types, [self.any(condition)], None, None, 2, self.location, self.ip, False)
        outer = self.ip
        for region, make in zip(branch.regions, (rare, None), strict=True):
            self.ip = ir.InsertionPoint(region.blocks.append())
            values = usual
            if make is not None:
                values = [self.select(condition, new, old) for new, old in zip(make(), usual, strict=True)]
            ir.Operation.create("scf.yield", [], [value.value for value in values], None, None, 0, self.location, self.ip, False)
        self.ip = outer
        return [Lanes(self, result, old.kind, old.lanes) for result, old in zip(branch.results, usual, strict=True)]


def walk(module: ir.Module, visit: Callable[[ir.Operation, ir.Block, dict], None]) -> None:
    """Call `visit(op, entry, constants)` on each op inside the module's functions, operands before users, inner ops before outer ones.

    `entry` (its first block) and `constants` are the function's, as `Builder` takes them. `visit` may erase the op and add ops around it.
    """
    for view in module.body.operations:
        function = view.operation
        if not function.regions or not function.regions[0].blocks:
            continue
        ops: list[ir.Operation] = []

        def collect(op: ir.Operation, ops: list[ir.Operation] = ops) -> ir.WalkResult:
            ops.append(op)
            return ir.WalkResult.ADVANCE

        function.walk(collect)
        entry = function.regions[0].blocks[0]
        constants: dict = {}
        for op in ops[:-1]:  # the last one is the function
            visit(op, entry, constants)
