"""Which of its pointers a kernel may store through: what is proven, and the nearest kernels where nothing can be."""

import pytest
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.passes.facts import stores
from triton_spacemit.passes.loops.ops import OPS

ARGUMENTS = "%x: !llvm.ptr, %n: i64, %y: !llvm.ptr, %out: !llvm.ptr, %c: i1"
ZERO = "%zero = llvm.mlir.zero : !llvm.ptr\n"
ADDRESS = "%a = llvm.ptrtoint %y : !llvm.ptr to i64\n"
SPLAT = '%i = "tt.splat"({}) : (i64) -> tensor<8xi64>\n'
STEP = "{} = llvm.getelementptr {}[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32\n"
NUMBERS = "".join(f"%k{k} = arith.constant {k} : i64\n" for k in (0, 1, 8)) + "%v = arith.constant dense<1.0> : tensor<8xf32>\n"


def stored(body: str) -> tuple[int, ...] | None:
    module = ir.Module.parse(f"func.func @f({ARGUMENTS}) {{\n%one = arith.constant 1.0 : f32\n{body}\nreturn\n}}", make_context())
    return stores.stored_through(module.body.operations[0].operation)


def store(pointer: str) -> str:
    return f"llvm.store %one, {pointer} : f32, !llvm.ptr\n"


def block(base: str) -> str:
    segments = "{operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}"
    types = "(!llvm.ptr, tensor<8xf32>, i64, i64, i64) -> ()"
    return f'{NUMBERS}"xsmt.descriptor_store"({base}, %v, %k1, %k0, %k8) {segments} : {types}\n'


def scatter(base: str, index: str) -> str:
    segments = "{unit = 4, operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>}"
    types = "(!llvm.ptr, tensor<8xi64>, tensor<8xf32>, i64, i64, i64) -> ()"
    return f'{NUMBERS}"xsmt.scatter"({base}, {index}, %v, %k1, %k0, %k8) {segments} : {types}\n'


def atomic(name: str, operands: str, types: str) -> str:
    return f'%old = "xsmt.{name}"({operands}) {{unit = 4, order = "relaxed"{types}\n'


LOADED = "%p = llvm.load %x : !llvm.ptr -> !llvm.ptr\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("%v = llvm.load %x : !llvm.ptr -> f32\n", ()),
        (store("%out"), (3,)),
        (STEP.format("%p", "%out") + store("%p") + "%v = llvm.load %x : !llvm.ptr -> f32\n", (3,)),
        (block("%y"), (2,)),
        (STEP.format("%p", "%y") + STEP.format("%q", "%p") + block("%q"), (2,)),
        # Either, by a choice, a branch or a turn of a loop.
        ("%p = arith.select %c, %x, %out : !llvm.ptr\n" + store("%p"), (0, 3)),
        ("%p = scf.if %c -> !llvm.ptr {\nscf.yield %y : !llvm.ptr\n} else {\nscf.yield %out : !llvm.ptr\n}\n" + store("%p"), (2, 3)),
        (
            "%a = arith.constant 0 : index\n%b = arith.constant 1 : index\n"
            "%r = scf.for %i = %a to %b step %b iter_args(%p = %out) -> !llvm.ptr {\n" + store("%p") + "scf.yield %y : !llvm.ptr\n}",
            (2, 3),
        ),
        # Where an index is a distance its own source is of no interest.
        ("%i = arith.constant dense<3> : tensor<8xi64>\n" + scatter("%out", "%i"), (3,)),
        (SPLAT.format("%n") + scatter("%out", "%i"), (3,)),
        # Where it is the address, it must be known which.
        (ADDRESS + SPLAT.format("%a") + ZERO + scatter("%zero", "%i"), (2,)),
        (SPLAT.format("%n") + ZERO + scatter("%zero", "%i"), None),
        # An address from memory, or from an integer, may be any.
        (LOADED + store("%p"), None),
        (LOADED + "%v = llvm.load %p : !llvm.ptr -> f32\n" + store("%out"), (3,)),
        ("%p = llvm.inttoptr %n : i64 to !llvm.ptr\n" + store("%p"), None),
        (LOADED + "%q = arith.select %c, %p, %out : !llvm.ptr\n" + store("%q"), None),
        # A pointer that becomes a number can hide in a distance.
        (
            ADDRESS + "%b = arith.andi %a, %n : i64\n%p = llvm.getelementptr %out[%b] : (!llvm.ptr, i64) -> !llvm.ptr, i8\n" + store("%p"),
            (2, 3),
        ),
        (ADDRESS, ()),
    ],
)
def test_stored_through(body: str, expected: tuple[int, ...] | None) -> None:
    assert stored(body) == expected


@pytest.mark.parametrize(("name", "values", "expected"), [("atomic_rmw", 1, (2,)), ("atomic_cas", 2, (2,)), ("atomic_poll", 1, ())])
def test_atomics(name: str, values: int, expected: tuple[int, ...] | None) -> None:
    segments = {"atomic_rmw": [1, 0, 1, 0, 0, 0, 0], "atomic_cas": [1, 0, 1, 1, 0, 0, 0, 0], "atomic_poll": [1, 0, 1, 0, 0, 0, 0, 0]}[name]
    kind = ', kind = "add"' if name == "atomic_rmw" else ""
    result = "i1" if name == "atomic_poll" else "i32"
    operands = ", ".join(["%y", *["%k"] * values])
    types = ", ".join(["!llvm.ptr", *["i32"] * values])
    sizes = f"operandSegmentSizes = array<i32: {', '.join(map(str, segments))}>"
    op = f'%old = "xsmt.{name}"({operands}) {{unit = 4, order = "relaxed"{kind}, {sizes}}} : ({types}) -> {result}\n'
    assert stored("%k = arith.constant 1 : i32\n" + op) == expected


def test_every_op_that_writes_to_memory_of_the_caller_is_known() -> None:
    others = ("xsmt.atomic_poll", "llvm.fence", "xsmt.parallel", "xsmt.barrier_arrive", "xsmt.barrier_set_expect")
    assert {name for name, row in OPS.items() if row.writes} == {*stores.STORES, *others}
