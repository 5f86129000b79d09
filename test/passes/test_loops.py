"""Blocks mean the same before and after the loops pass: random programs are run on this machine and by NumPy."""

import ctypes
import random
from collections.abc import Callable

import llvmlite.binding as llvm
import numpy as np
import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.hosts import host_chip
from triton_spacemit.dialect.module import SCRATCH, set_chip
from triton_spacemit.passes import codegen, pipeline

Shape = tuple[int, ...]
Environment = dict[str, np.ndarray]
Action = Callable[[Environment], None]
ARENA = 4096  # elements of memory; accesses start at its middle or behind
ARGUMENTS = {"n0": 0, "n1": 7, "n2": 13, "n3": 40, "n4": 1000, "n5": -3}
SHAPES: list[Shape] = [(64,), (256,), (16, 16), (8, 32), (32, 8), (2, 128)]


def execute(text: str, *arguments: np.ndarray | int) -> None:
    """Compile the program `@kernel`, in the structured state, for this machine, and run it."""
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        set_chip(module, host_chip())
        pipeline.run(module, "llvm", after="structure")
        scratch = np.zeros(module.operation.attributes[SCRATCH].value + 64, np.uint8)
        image = codegen.compile_object(codegen.llvm_ir(module), host_chip())
    jit = llvm.create_lljit_compiler()
    library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process().export_symbol("kernel").link(jit, "kernel")
    context = (ctypes.c_uint64 * 8)()
    context[4] = -(-scratch.ctypes.data // 64) * 64
    slots = (ctypes.c_uint64 * len(arguments))(*(a.ctypes.data if isinstance(a, np.ndarray) else a % 2**64 for a in arguments))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library["kernel"])
    function(ctypes.addressof(slots), ctypes.addressof(context))


def tensor(shape: Shape, element: str = "i32") -> str:
    return f"tensor<{'x'.join(map(str, shape))}x{element}>" if shape else element


class Program:
    """A random program over blocks of i32, as text and as NumPy functions."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.actions: list[Action] = []
        self.count = 0
        self.visible: list[tuple[str, Shape]] = []
        for _ in range(3):
            self.load(self.random.choice(SHAPES))
        for _ in range(self.random.randint(4, 10)):
            self.statement(2)
        for name, shape in self.visible[-2:]:
            self.store(name, shape)
        arguments = ", ".join(["%x: !llvm.ptr"] + [f"%{name}: i64" for name in ARGUMENTS])
        constants = "\n".join(f"%c{n} = arith.constant {n} : i64" for n in range(0, 257))
        self.text = f"func.func @kernel({arguments}) {{\n{constants}\n" + "\n".join(self.lines) + "\nreturn\n}"

    def new(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def define(self, name: str, shape: Shape, text: str, value: Callable[[Environment], np.ndarray]) -> tuple[str, Shape]:
        self.lines.append(f"{name} = {text}")

        def act(env: Environment) -> None:
            env[name] = np.asarray(value(env), np.int32)

        self.actions.append(act)
        self.visible.append((name, shape))
        return name, shape

    def pick(self, shape: Shape | None = None) -> tuple[str, Shape]:
        """A block that is there (of `shape`, if given), recent ones more often."""
        found = [v for v in self.visible if shape in (None, v[1])]
        if not found:
            return self.load(shape)
        return found[-1 - int(self.random.random() ** 2 * len(found))]

    # -- memory

    def place(self, shape: Shape, injective: bool) -> tuple[str, list[str], np.ndarray, np.ndarray]:
        """Lines for the base are emitted; gives it, the strides and bounds, and what they mean: indices into the arena, active elements."""
        if len(shape) == 1:
            strides = [self.random.choice([1, 1, 1, 2, 3] + [0, -1] * (not injective))]
        else:
            strides = self.random.choice(
                [(shape[1], 1), (shape[1] + 3, 1), (1, shape[0]), (2 * shape[1], 2)] + [(1, 1), (0, 1), (shape[1], 0)] * (not injective)
            )
        offset = ARENA // 2 + self.random.choice([0, 0, 1, 5, 64, 700])
        base = self.new()
        self.lines.append(f"{base} = llvm.getelementptr %x[{offset}] : (!llvm.ptr) -> !llvm.ptr, i32")
        bounds: list[list[tuple[str, int]]] = [[], []]
        for extent in shape:
            for side, least in ((0, 0), (1, extent)):
                bounded = self.random.random() < (0.15, 0.4)[side]
                name = self.random.choice(list(ARGUMENTS)) if bounded else f"c{least}"
                bounds[side].append((f"%{name}", ARGUMENTS[name] if bounded else least))
        names = []
        for stride in strides:
            names.append(f"%c{stride}" if stride >= 0 else self.new())
            if stride < 0:
                self.lines.append(f"{names[-1]} = arith.constant {stride} : i64")
        operands = names + [name for side in bounds for name, _ in side]
        where = offset + sum(s * i for s, i in zip(strides, np.indices(shape), strict=True))
        active = np.ones(shape, bool)
        for i, (_, lower), (_, upper) in zip(np.indices(shape), *bounds, strict=True):
            active &= (lower <= i) & (i < upper)
        return base, operands, where, active

    def load(self, shape: Shape) -> tuple[str, Shape]:
        base, operands, where, active = self.place(shape, False)
        rank = len(shape)
        sizes = f"{{operandSegmentSizes = array<i32: 1, {rank}, {rank}, {rank}, 0, 1>}}"
        types = ", ".join(["!llvm.ptr"] + ["i64"] * len(operands) + ["i32"])
        other = self.new()
        self.lines.append(f"{other} = arith.constant 9 : i32")
        text = f'"xsmt.descriptor_load"({", ".join([base, *operands, other])}) {sizes} : ({types}) -> {tensor(shape)}'
        return self.define(self.new(), shape, text, lambda env: np.where(active, env["memory"][where], 9))

    def store(self, name: str, shape: Shape) -> None:
        base, operands, where, active = self.place(shape, True)
        rank = len(shape)
        sizes = f"{{operandSegmentSizes = array<i32: 1, 1, {rank}, {rank}, {rank}, 0>}}"
        types = ", ".join(["!llvm.ptr", tensor(shape)] + ["i64"] * len(operands))
        self.lines.append(f'"xsmt.descriptor_store"({", ".join([base, name, *operands])}) {sizes} : ({types}) -> ()')

        def act(env: Environment) -> None:
            env["memory"][where[active]] = env[name][active]

        self.actions.append(act)

    # -- blocks

    def statement(self, depth: int) -> None:
        kinds = [self.elementwise] * 5 + [self.memory] * 4 + [self.reduce, self.scan, self.trans, self.reshape, self.index, self.gather]
        if depth:
            kinds += [lambda: self.loop(depth - 1), lambda: self.branch(depth - 1)]
        self.random.choice(kinds)()

    def memory(self) -> None:
        if self.random.random() < 0.5:
            self.load(self.random.choice(SHAPES))
        else:
            self.store(*self.pick())

    def elementwise(self) -> None:
        (a, shape), (b, _) = self.pick(), ("", ())
        b, _ = self.pick(shape)
        name, function = self.random.choice(
            [("addi", np.add), ("subi", np.subtract), ("muli", np.multiply), ("xori", np.bitwise_xor), ("maxsi", np.maximum)]
        )
        self.define(self.new(), shape, f"arith.{name} {a}, {b} : {tensor(shape)}", lambda env: function(env[a], env[b]))

    def index(self) -> None:
        """What depends on the position alone, under a comparison with a limit."""
        shape = self.random.choice(SHAPES)
        extent, limit = shape[-1], self.random.choice(list(ARGUMENTS))
        r, s, t, m = (self.new() for _ in range(4))
        self.lines += [
            f'{r} = "tt.make_range"() {{start = 0 : i32, end = {extent} : i32}} : () -> {tensor((extent,))}',
            f"{s} = arith.trunci %{limit} : i64 to i32",
            f'{t} = "tt.splat"({s}) : (i32) -> {tensor((extent,))}',
            f"{m} = arith.cmpi slt, {r}, {t} : {tensor((extent,))}",
        ]
        v = self.new()
        text = f"arith.select {m}, {r}, {t} : {tensor((extent,), 'i1')}, {tensor((extent,))}"
        _, small = self.define(v, (extent,), text, lambda env: np.minimum(np.arange(extent), ARGUMENTS[limit]))
        if len(shape) == 2:
            e = self.new()
            self.lines.append(f'{e} = "tt.expand_dims"({v}) {{axis = 0 : i32}} : ({tensor(small)}) -> {tensor((1, extent))}')
            text = f'"tt.broadcast"({e}) : ({tensor((1, extent))}) -> {tensor(shape)}'
            self.define(self.new(), shape, text, lambda env: np.broadcast_to(env[v], shape))

    def trans(self) -> None:
        a, shape = self.pick()
        if len(shape) == 2:
            text = f'"tt.trans"({a}) {{order = array<i32: 1, 0>}} : ({tensor(shape)}) -> {tensor(shape[::-1])}'
            self.define(self.new(), shape[::-1], text, lambda env: env[a].T)

    def reshape(self) -> None:
        a, shape = self.pick(self.random.choice([s for s in SHAPES if np.prod(s) == 256]))
        result = self.random.choice([s for s in SHAPES if np.prod(s) == 256])
        text = f'"tt.reshape"({a}) : ({tensor(shape)}) -> {tensor(result)}'
        self.define(self.new(), result, text, lambda env: env[a].reshape(result))

    def gather(self) -> None:
        (a, shape), (b, _) = self.pick((64,)), self.pick((256,))
        mask, index = self.new(), self.new()
        self.lines += [
            f"{mask} = arith.constant dense<63> : tensor<256xi32>",
            f"{index} = arith.andi {b}, {mask} : tensor<256xi32>",
        ]
        text = f'"tt.gather"({a}, {index}) {{axis = 0 : i32}} : ({tensor(shape)}, tensor<256xi32>) -> tensor<256xi32>'
        self.define(self.new(), (256,), text, lambda env: env[a][env[b] & 63])

    def combine(self, name: str, end: str) -> str:
        return f'({{\n^bb0(%l: i32, %r: i32):\n%o = arith.{name} %l, %r : i32\n"tt.{end}.return"(%o) : (i32) -> ()\n}})'

    def reduce(self) -> None:
        a, shape = self.pick()
        axis = self.random.randrange(len(shape))
        name, function = self.random.choice([("addi", np.add), ("maxsi", np.maximum), ("xori", np.bitwise_xor)])
        result = shape[:axis] + shape[axis + 1 :]
        r = self.new()
        self.lines.append(
            f'{r} = "tt.reduce"({a}) {self.combine(name, "reduce")} {{axis = {axis} : i32}} : ({tensor(shape)}) -> {tensor(result)}'
        )

        def value(env: Environment) -> np.ndarray:
            reduced = function.reduce(env[a], axis, dtype=np.int32)
            return np.broadcast_to(np.expand_dims(reduced, axis), shape)

        # back to the block's shape, so that it meets others
        if not result:
            self.define(self.new(), shape, f'"tt.splat"({r}) : (i32) -> {tensor(shape)}', value)
            return
        e, kept = self.new(), tuple(1 if d == axis else n for d, n in enumerate(shape))
        self.lines.append(f'{e} = "tt.expand_dims"({r}) {{axis = {axis} : i32}} : ({tensor(result)}) -> {tensor(kept)}')
        self.define(self.new(), shape, f'"tt.broadcast"({e}) : ({tensor(kept)}) -> {tensor(shape)}', value)

    def scan(self) -> None:
        a, shape = self.pick()
        axis, reverse = self.random.randrange(len(shape)), self.random.random() < 0.5
        attributes = f"{{axis = {axis} : i32, reverse = {str(reverse).lower()}}}"
        text = f'"tt.scan"({a}) {self.combine("addi", "scan")} {attributes} : ({tensor(shape)}) -> {tensor(shape)}'

        def value(env: Environment) -> np.ndarray:
            source = np.flip(env[a], axis) if reverse else env[a]
            result = np.cumsum(source, axis, dtype=np.int32)
            return np.flip(result, axis) if reverse else result

        self.define(self.new(), shape, text, value)

    # -- control flow

    def region(self, depth: int, arguments: list[tuple[str, Shape]], shapes: list[Shape]) -> tuple[list[Action], list[str]]:
        """Statements in a scope of their own: their actions, and a value of each of `shapes` at the end."""
        outer, seen, self.actions = self.actions, list(self.visible), []
        self.visible += arguments
        for _ in range(self.random.randint(1, 4)):
            self.statement(depth)
        results = [self.pick(shape)[0] for shape in shapes]
        actions, self.actions, self.visible = self.actions, outer, seen
        self.lines.append(f"scf.yield {', '.join(results)} : {', '.join(map(tensor, shapes))}")
        return actions, results

    def loop(self, depth: int) -> None:
        inits = [self.pick() for _ in range(self.random.randint(1, 3))]
        shapes = [shape for _, shape in inits]
        arguments = [(self.new(), shape) for shape in shapes]
        r, i, turns = self.new(), self.new(), self.random.randint(0, 3)
        carried = ", ".join(f"{a} = {v}" for (a, _), (v, _) in zip(arguments, inits, strict=True))
        types = ", ".join(map(tensor, shapes))
        self.lines.append(f"{r}:{len(inits)} = scf.for {i} = %c0 to %c{turns} step %c1 iter_args({carried}) -> ({types}) : i64 {{")
        actions, ends = self.region(depth, arguments, shapes)
        self.lines.append("}")

        def act(env: Environment) -> None:
            state = [env[v] for v, _ in inits]
            for _ in range(turns):
                env.update(zip((a for a, _ in arguments), state, strict=True))
                for action in actions:
                    action(env)
                state = [env[v] for v in ends]
            env.update({f"{r}#{number}": value for number, value in enumerate(state)})

        self.actions.append(act)
        self.visible += [(f"{r}#{number}", shape) for number, shape in enumerate(shapes)]

    def branch(self, depth: int) -> None:
        shapes = [self.pick()[1] for _ in range(self.random.randint(1, 2))]
        limit, c, r = self.random.choice(list(ARGUMENTS)), self.new(), self.new()
        self.lines.append(f"{c} = arith.cmpi sgt, %{limit}, %c10 : i64")
        self.lines.append(f"{r}:{len(shapes)} = scf.if {c} -> ({', '.join(map(tensor, shapes))}) {{")
        then, then_ends = self.region(depth, [], shapes)
        self.lines.append("} else {")
        other, other_ends = self.region(depth, [], shapes)
        self.lines.append("}")

        def act(env: Environment) -> None:
            actions, ends = (then, then_ends) if ARGUMENTS[limit] > 10 else (other, other_ends)
            for action in actions:
                action(env)
            env.update({f"{r}#{number}": env[v] for number, v in enumerate(ends)})

        self.actions.append(act)
        self.visible += [(f"{r}#{number}", shape) for number, shape in enumerate(shapes)]


def run(seed: int) -> tuple[str, np.ndarray, np.ndarray]:
    program = Program(seed)
    memory = np.random.default_rng(seed).integers(-(2**31), 2**31, ARENA, np.int32)
    wanted: Environment = {"memory": memory.copy()}
    with np.errstate(over="ignore"):
        for action in program.actions:
            action(wanted)
    execute(program.text, memory, *ARGUMENTS.values())
    return program.text, memory, wanted["memory"]


@pytest.mark.parametrize("seed", range(40))
def test_random_program(seed):
    text, memory, wanted = run(seed)
    assert np.array_equal(memory, wanted), text
