"""Values of element-wise code: formulas in Python's operators, on scalars or vectors alike, and their types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, attribute_of

if TYPE_CHECKING:
    from triton_spacemit.passes.math.builder import Builder

BITS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "f16": 16, "bf16": 16, "f32": 32, "f64": 64}

Number = int | float


class Types:
    """The types and attributes of one module, made once; a kind is a type's text, such as `f32`.

    `register_bits`: of all vector registers, where constants of fused operations have to lie in registers; else 0. `vlen`: bits of one,
    where instructions of the V extension may be named; else 0. `native_bfloat16`: whether they convert to bfloat16. `converts_float16`:
    whether the chip has instructions for that.
    """

    def __init__(
        self, riscv: bool, register_bits: int = 0, vlen: int = 0, native_bfloat16: bool = False, converts_float16: bool = True
    ) -> None:
        self.riscv = riscv
        self.register_bits = register_bits
        self.vlen = vlen
        self.native_bfloat16 = native_bfloat16
        self.converts_float16 = converts_float16
        self._types: dict[tuple[str, int], ir.Type] = {}
        self._kinds: dict[ir.Type, tuple[str, int]] = {}
        self.predicates = {predicate: attribute_of(predicate) for predicate in (*IntPredicate, *FloatPredicate)}

    def get(self, kind: str, lanes: int) -> ir.Type:
        """The type `kind`, or a vector of `lanes` (0 for a scalar) of it."""
        type_ = self._types.get((kind, lanes))
        if type_ is None:
            element = ir.Type.parse(kind)
            type_ = self._types[kind, lanes] = ir.VectorType.get([lanes], element) if lanes else element
        return type_

    def describe(self, type_: ir.Type) -> tuple[str, int]:
        """Kind and lanes of a scalar or vector type."""
        described = self._kinds.get(type_)
        if described is None:
            if isinstance(type_, ir.VectorType):
                described = (str(type_.element_type), type_.shape[0])
            else:
                described = (str(type_), 0)
            self._kinds[type_] = described
        return described


class Lanes:
    """A scalar or vector value with its kind; operators emit ops. Numbers on either side become constants of its kind."""

    __slots__ = ("builder", "kind", "lanes", "value")

    def __init__(self, builder: Builder, value: ir.Value, kind: str, lanes: int) -> None:
        self.builder = builder
        self.value = value
        self.kind = kind
        self.lanes = lanes

    @property
    def is_float(self) -> bool:
        return "f" in self.kind

    def like(self, number: Lanes | Number) -> Lanes:
        return number if isinstance(number, Lanes) else self.builder.constant(self.kind, self.lanes, number)

    def _op(self, name: str, *operands: Lanes | Number, kind: str | None = None) -> Lanes:
        kind = kind or self.kind
        return self.builder.create(name, kind, self.lanes, [self.like(operand).value for operand in operands])

    def __add__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.addf" if self.is_float else "arith.addi", self, other)

    __radd__ = __add__

    def __sub__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.subf" if self.is_float else "arith.subi", self, other)

    def __rsub__(self, other: Number) -> Lanes:
        return self._op("arith.subf" if self.is_float else "arith.subi", other, self)

    def __mul__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.mulf" if self.is_float else "arith.muli", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.divf", self, other)

    def __rtruediv__(self, other: Number) -> Lanes:
        return self._op("arith.divf", other, self)

    def __neg__(self) -> Lanes:
        return self._op("arith.negf", self) if self.is_float else 0 - self

    def __and__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.andi", self, other)

    def __or__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.ori", self, other)

    def __xor__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.xori", self, other)

    def __invert__(self) -> Lanes:
        return self._op("arith.xori", self, -1)

    def __lshift__(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.shli", self, other)

    def __rshift__(self, other: Lanes | Number) -> Lanes:
        """The arithmetic shift; `shrui` is the logical one."""
        return self._op("arith.shrsi", self, other)

    def shrui(self, other: Lanes | Number) -> Lanes:
        return self._op("arith.shrui", self, other)

    def compare(self, predicate: str, other: Lanes | Number) -> Lanes:
        """A comparison; for floats false where an operand is NaN, but for `une` and `uno`."""
        return self.builder.compare(self, predicate, self.like(other))

    def __lt__(self, other: Lanes | Number) -> Lanes:
        return self.compare("lt", other)

    def __le__(self, other: Lanes | Number) -> Lanes:
        return self.compare("le", other)

    def __gt__(self, other: Lanes | Number) -> Lanes:
        return self.compare("gt", other)

    def __ge__(self, other: Lanes | Number) -> Lanes:
        return self.compare("ge", other)

    def equals(self, other: Lanes | Number) -> Lanes:
        return self.compare("eq", other)

    def is_nan(self) -> Lanes:
        return self.compare("une", self)

    def bits(self) -> Lanes:
        """The same bits as an integer."""
        return self._op("arith.bitcast", self, kind=f"i{BITS[self.kind]}")

    def floats(self) -> Lanes:
        """The same bits as a float: f32 or f64 by width."""
        return self._op("arith.bitcast", self, kind=f"f{BITS[self.kind]}")

    def abs(self) -> Lanes:
        return self._op("math.absf", self)

    def sqrt(self) -> Lanes:
        return self._op("math.sqrt", self)

    def floor(self) -> Lanes:
        return self._op("math.floor", self)

    def ceil(self) -> Lanes:
        return self._op("math.ceil", self)

    def trunc(self) -> Lanes:
        return self._op("math.trunc", self)

    def roundeven(self) -> Lanes:
        """Halves to even: on RISC-V by the core's own mode, which is that and which nobody changes, rather than by setting it each time."""
        return self._op("llvm.intr.rint" if self.builder.types.riscv else "math.roundeven", self)

    def copysign(self, sign: Lanes) -> Lanes:
        return self._op("math.copysign", self, sign)

    def to(self, kind: str) -> Lanes:
        """Converted to `kind`: rounded to nearest, integers signed; to integers towards zero."""
        if kind == self.kind:
            return self
        if self.is_float and "f" in kind:
            if BITS[kind] == BITS[self.kind]:
                return self.to("f32").to(kind)
            return self._op("arith.extf" if BITS[kind] > BITS[self.kind] else "arith.truncf", self, kind=kind)
        if self.is_float:
            return self._op("arith.fptosi", self, kind=kind)
        if "f" in kind:
            return self._op("arith.sitofp", self, kind=kind)
        return self._op("arith.extsi" if BITS[kind] > BITS[self.kind] else "arith.trunci", self, kind=kind)

    def to_unsigned(self, kind: str) -> Lanes:
        """A float cut off to an unsigned integer."""
        return self._op("arith.fptoui", self, kind=kind)

    def unsigned_to(self, kind: str) -> Lanes:
        """An unsigned integer converted to `kind`."""
        return self._op("arith.uitofp" if "f" in kind else "arith.extui", self, kind=kind)
