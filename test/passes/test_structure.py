"""The structure pass keeps what a program accesses: random programs are interpreted before and after it."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.predicates import IntPredicate, predicate_of
from triton_spacemit.passes.structure import structure

ARGUMENTS = {"x": 1 << 20, "y": 1 << 24, "n": 11, "m": 5, "s": 3}
COMPARE = {
    IntPredicate.eq: np.equal, IntPredicate.ne: np.not_equal, IntPredicate.slt: np.less, IntPredicate.sle: np.less_equal,
    IntPredicate.sgt: np.greater, IntPredicate.sge: np.greater_equal,
}  # fmt: skip


class Interpreter:
    """Runs a function on integers; every access is noted as its kind and the byte addresses of its active elements, in order."""

    def __init__(self) -> None:
        self.values: dict[ir.Value, object] = {}
        self.trace: list[tuple[str, list[int]]] = []

    def run(self, block: ir.Block, arguments: list[object]) -> list[object]:
        self.values.update(zip(block.arguments, arguments, strict=True))
        for view in block.operations:
            op = view.operation
            operands = [self.values[operand] for operand in op.operands]
            if op.name in ("func.return", "scf.yield", "scf.condition"):
                return operands
            self.values.update(zip(op.results, self.results(op, operands), strict=True))
        raise AssertionError("a block without a terminator")

    def results(self, op: ir.Operation, operands: list[object]) -> list[object]:
        if op.name == "scf.for":
            lower, upper, step, *carried = operands
            for k in range(int(lower), int(upper), int(step)):
                carried = self.run(op.regions[0].blocks[0], [k, *carried])
            return carried
        if op.name == "scf.if":
            return self.run(op.regions[0 if operands[0] else 1].blocks[0], [])
        if op.name == "scf.while":
            while True:
                go, *passed = self.run(op.regions[0].blocks[0], operands)
                if not go:
                    return passed
                operands = self.run(op.regions[1].blocks[0], passed)
        if op.name in ("tt.load", "tt.store") or op.name.startswith("xsmt."):
            return self.access(op, operands)
        return [self.value(op, operands)]

    def access(self, op: ir.Operation, operands: list[object]) -> list[object]:
        if op.name.startswith("tt."):
            load = op.name == "tt.load"
            sizes = op.attributes["operandSegmentSizes"] if load else [1] * len(operands)
            groups = [[operands.pop(0)] if size else [] for size in sizes]
            address = groups[0][0]
            mask = groups[1] if load else groups[2] if len(groups) > 2 else []
            active = mask[0] if mask else np.ones(address.shape, bool)
        else:
            load = op.name in ("xsmt.descriptor_load", "xsmt.gather")
            groups = []
            for size in op.attributes["operandSegmentSizes"]:
                groups.append(operands[:size])
                del operands[:size]
            indexed = op.name in ("xsmt.gather", "xsmt.scatter")
            block = (op.results[0] if load else op.operands[2 if indexed else 1]).type
            base, strides, lower, upper, mask = groups[0][0], *groups[-5 if load else -4 :][:4]
            address, active = np.full(block.shape, base, np.int64), np.ones(block.shape, bool)
            for d, i in enumerate(np.indices(block.shape)):
                address += 4 * strides[d] * i
                active &= (lower[d] <= i) & (i < upper[d])
            if indexed:
                address += op.attributes["unit"].value * groups[1][0].astype(np.int64)
            if mask:
                active &= mask[0]
        self.trace.append(("load" if load else "store", address[active].tolist()))
        # What is loaded is a small number that depends on the address.
        return [(address >> 2) * 7 % 13] if load else []

    def value(self, op: ir.Operation, operands: list[object]) -> object:
        type_ = op.results[0].type
        shape = tuple(type_.shape) if isinstance(type_, ir.RankedTensorType) else ()
        name = op.name.partition(".")[2]
        if op.name == "arith.constant":
            attribute = op.attributes["value"]
            return np.full(shape, attribute.get_splat_value().value) if shape else attribute.value
        if name == "cmpi":
            return COMPARE[predicate_of(op)](*operands)
        simple: dict[str, Callable[..., object]] = {
            "addi": np.add, "subi": np.subtract, "muli": np.multiply, "remsi": np.fmod, "andi": np.bitwise_and, "ori": np.bitwise_or,
            "minsi": np.minimum, "maxsi": np.maximum, "select": np.where, "extsi": lambda x: x, "trunci": lambda x: x,
            "floordivsi": np.floor_divide,
            "make_range": lambda: np.arange(op.attributes["start"].value, op.attributes["end"].value),
            "splat": lambda x: np.full(shape, x), "expand_dims": lambda x: np.expand_dims(x, op.attributes["axis"].value),
            "broadcast": lambda x: np.broadcast_to(x, shape), "reshape": lambda x: np.reshape(x, shape),
            "trans": lambda x: np.transpose(x, list(op.attributes["order"])), "addptr": lambda p, i: p + 4 * i,
            "getelementptr": lambda p, *i: p + 4 * i[0], "mlir.zero": lambda: 0, "ptrtoint": lambda p: p,
        }  # fmt: skip
        return simple[name](*operands)


class Program:
    """Random TTIR, in the generic form, over i32 offsets and pointers to i32."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0

    def op(self, name: str, operands: list[tuple[str, str]], result: str, attributes: str = "") -> tuple[str, str]:
        self.count += 1
        names, types = ", ".join(name for name, _ in operands), ", ".join(type_ for _, type_ in operands)
        self.lines.append(f'%v{self.count} = "{name}"({names}) {{{attributes}}} : ({types}) -> {result}')
        return f"%v{self.count}", result

    def tensor(self, shape: tuple[int, ...], element: str = "i32") -> str:
        return f"tensor<{'x'.join(map(str, shape))}x{element}>"

    def splat(self, shape: tuple[int, ...]) -> tuple[str, str]:
        if self.random.random() < 0.5:
            value = f"value = dense<{self.random.randint(-3, 6)}> : {self.tensor(shape)}"
            return self.op("arith.constant", [], self.tensor(shape), value)
        return self.op("tt.splat", [(f"%{self.random.choice('nms')}", "i32")], self.tensor(shape))

    def offsets(self, shape: tuple[int, ...], depth: int) -> tuple[str, str]:
        """A random integer tensor, mostly affine."""
        choice = self.random.choice(["line", "add", "sub", "mul", "rem", "trans", "line"]) if depth else "line"
        type_ = self.tensor(shape)
        if choice == "add":
            return self.op("arith.addi", [self.offsets(shape, depth - 1), self.offsets(shape, depth - 1)], type_)
        if choice == "sub":
            return self.op("arith.subi", [self.offsets(shape, depth - 1), self.splat(shape)], type_)
        if choice == "mul":
            operands = [self.offsets(shape, depth - 1), self.splat(shape)]
            self.random.shuffle(operands)
            return self.op("arith.muli", operands, type_)
        if choice == "rem":
            seven = self.op("arith.constant", [], type_, f"value = dense<7> : {type_}")
            return self.op("arith.remsi", [self.offsets(shape, depth - 1), seven], type_)
        if choice == "trans" and len(shape) == 2:
            return self.op("tt.trans", [self.offsets(shape[::-1], depth - 1)], type_, "order = array<i32: 1, 0>")
        return self.line(shape)

    def line(self, shape: tuple[int, ...]) -> tuple[str, str]:
        """A range along one dimension, through a reshape or expand_dims and a broadcast."""
        d = self.random.randrange(len(shape))
        start = self.random.randint(0, 4)
        numbers = f"start = {start} : i32, end = {start + shape[d]} : i32"
        value = self.op("tt.make_range", [], self.tensor((shape[d],)), numbers)
        if len(shape) == 1:
            return value
        thin = (shape[0], 1) if d == 0 else (1, shape[1])
        if self.random.random() < 0.3:
            value = self.op("tt.reshape", [value], self.tensor(thin))
        else:
            value = self.op("tt.expand_dims", [value], self.tensor(thin), f"axis = {1 - d} : i32")
        return self.op("tt.broadcast", [value], self.tensor(shape))

    def mask(self, shape: tuple[int, ...], depth: int, offsets: list[tuple[str, str]]) -> tuple[str, str]:
        type_ = self.tensor(shape, "i1")
        if depth and self.random.random() < 0.4:
            return self.op("arith.andi", [self.mask(shape, depth - 1, offsets), self.mask(shape, depth - 1, offsets)], type_)
        first = self.random.choice(offsets)
        if self.random.random() < 0.4:  # a multiple of one coordinate
            factor = self.op("arith.constant", [], first[1], f"value = dense<{self.random.choice([-3, -2, 2, 3])}> : {first[1]}")
            first = self.op("arith.muli", [self.line(shape), factor], first[1])
        operands = [first, self.splat(shape) if self.random.random() < 0.8 else self.offsets(shape, 1)]
        self.random.shuffle(operands)
        return self.op("arith.cmpi", operands, type_, self.predicate("eq ne slt slt sle sle sgt sgt sge sge"))

    def predicate(self, names: str) -> str:
        """One of these for an `arith.cmpi`; what stands there twice is taken twice as often."""
        return f"predicate = {IntPredicate[self.random.choice(names.split())].value} : i64"

    def access(self, pointer: tuple[str, str], shape: tuple[int, ...], offsets: list[tuple[str, str]]) -> None:
        mask = self.mask(shape, 2, offsets)
        value = self.op("tt.load", [pointer, mask], self.tensor(shape), "isVolatile = false, operandSegmentSizes = array<i32: 1, 1, 0>")
        if self.random.random() < 0.3:  # what was loaded as an index
            pointer = self.op("tt.addptr", [pointer, value], pointer[1])
        self.lines.append(f'"tt.store"({pointer[0]}, {value[0]}, {mask[0]}) : ({pointer[1]}, {value[1]}, {mask[1]}) -> ()')

    def pointer(self, shape: tuple[int, ...]) -> tuple[str, str]:
        type_ = self.tensor(shape, "!tt.ptr<i32>")
        base = self.op("tt.splat", [(f"%{self.random.choice('xy')}", "!tt.ptr<i32>")], type_)
        return self.op("tt.addptr", [base, self.offsets(shape, 2)], type_)

    def text(self) -> str:
        shape = self.random.choice([(8,), (4, 8), (8, 4), (2, 2), (1, 8), (4, 1)])
        pointer, other, offsets = self.pointer(shape), self.pointer(shape), self.offsets(shape, 2)
        self.access(pointer, shape, [offsets])
        a, b, c = (f"%loop{i}" for i in range(3))
        types = ", ".join((pointer[1], other[1], offsets[1]))
        loop = f'%r:3 = "scf.for"(%zero, %three, %one, {pointer[0]}, {other[0]}, {offsets[0]}) ({{'
        self.lines += [loop, f"^bb0(%k: i32, {a}: {pointer[1]}, {b}: {other[1]}, {c}: {offsets[1]}):"]
        self.access((a, pointer[1]), shape, [(c, offsets[1]), offsets])
        # Each is carried on as it was, advanced by something, or in the other's place.
        moved = [(a, pointer[1]), (b, other[1])]
        if self.random.random() < 0.3:
            moved.reverse()
        for i in range(2):
            step = self.random.choice([None, self.splat(shape), self.offsets(shape, 1)])
            if step is not None:
                moved[i] = self.op("tt.addptr", [moved[i], step], moved[i][1])
        step = self.splat(shape) if self.random.random() < 0.7 else self.offsets(shape, 1)
        stepped = self.op("arith.addi", [(c, offsets[1]), step], offsets[1])
        yielded = ", ".join([moved[0][0], moved[1][0], stepped[0]])
        self.lines += [f'"scf.yield"({yielded}) : ({types}) -> ()', f"}}) : (i32, i32, i32, {types}) -> ({types})"]
        # One of two pointers, by a condition.
        choice = self.op("arith.cmpi", [("%n", "i32"), ("%m", "i32")], "i1", self.predicate("slt sgt"))
        self.lines.append(f'%p = "scf.if"({choice[0]}) ({{')
        state = self.random.getstate()
        first = self.pointer(shape)
        self.lines += [f'"scf.yield"({first[0]}) : ({first[1]}) -> ()', "}, {"]
        second = ("%r#0", pointer[1])
        if self.random.random() < 0.6:
            if self.random.random() < 0.5:
                self.random.setstate(state)  # the same computation again, then a step
            second = self.pointer(shape)
            second = self.op("tt.addptr", [second, self.splat(shape)], second[1])
        self.lines += [f'"scf.yield"({second[0]}) : ({second[1]}) -> ()', f"}}) : (i1) -> ({first[1]})"]
        self.access(("%p", first[1]), shape, [("%r#2", offsets[1])])
        self.access(("%r#1", other[1]), shape, [offsets])
        body = "\n".join(self.lines)
        return f"""func.func @f(%x: !tt.ptr<i32>, %y: !tt.ptr<i32>, %n: i32, %m: i32, %s: i32) {{
          %zero = arith.constant 0 : i32
          %one = arith.constant 1 : i32
          %three = arith.constant 3 : i32
          {body}
          return
        }}"""


def trace(module: ir.Module) -> list[tuple[str, list[int]]]:
    interpreter = Interpreter()
    interpreter.run(module.body.operations[0].operation.regions[0].blocks[0], list(ARGUMENTS.values()))
    return interpreter.trace


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_accesses_are_kept(start: int) -> None:
    for seed in range(start, start + 50):
        module = ir.Module.parse(Program(seed).text(), make_context())
        expected = trace(module)
        structure(module)
        module.operation.verify()
        assert "!tt." not in str(module), seed
        assert trace(module) == expected, seed


POINTERS = "tensor<16x!tt.ptr<i32>>"
LINKS = {
    "pointers": '%q{0} = "tt.addptr"(%q{1}, %s) : ({p}, tensor<16xi32>) -> {p}',
    "indices": "%h{0} = arith.addi %h{1}, %o : tensor<16xi32>",
    "masks": "%o{0} = arith.addi %h{1}, %s : tensor<16xi32>\n%h{0} = arith.addi %o{0}, %s : tensor<16xi32>\n"
    "%l{0} = arith.cmpi slt, %o{0}, %s : tensor<16xi32>\n%m{0} = arith.andi %m{1}, %l{0} : tensor<16xi1>",
    "branches": '%q{0} = "scf.if"(%c) ({{\n%z{0} = "tt.addptr"(%q{1}, %s) : ({p}, tensor<16xi32>) -> {p}\nscf.yield %z{0} : {p}\n'
    "}}, {{ scf.yield %q{1} : {p} }}) : (i1) -> {p}",
}


@pytest.mark.parametrize("kind", LINKS)
def test_long_chains(kind: str) -> None:
    """Unrolled code is longer than Python's stack is deep."""
    count = 2000
    lines = [LINKS[kind].format(i, i - 1, p=POINTERS) for i in range(1, count)]
    pointer, index, mask = (f"%{letter}{count - 1 if kind in of else 0}" for letter, of in
                            (("q", ("pointers", "branches")), ("h", ("indices",)), ("m", ("masks",))))  # fmt: skip
    text = f"""func.func @f(%x: !tt.ptr<i32>, %n: i32, %c: i1) {{
      %i = "tt.make_range"() {{start = 0 : i32, end = 16 : i32}} : () -> tensor<16xi32>
      %s = "tt.splat"(%n) : (i32) -> tensor<16xi32>
      %q0 = "tt.splat"(%x) : (!tt.ptr<i32>) -> {POINTERS}
      %m0 = arith.cmpi slt, %i, %s : tensor<16xi32>
      %o = arith.addi %i, %s : tensor<16xi32>
      %h0 = arith.muli %i, %i : tensor<16xi32>
      {chr(10).join(lines)}
      %p = "tt.addptr"({pointer}, {index}) : ({POINTERS}, tensor<16xi32>) -> {POINTERS}
      "tt.store"(%p, %i, {mask}) : ({POINTERS}, tensor<16xi32>, tensor<16xi1>) -> ()
      return
    }}"""
    module = ir.Module.parse(text, make_context())
    structure(module)
    module.operation.verify()
    assert "!tt." not in str(module)
