"""Threads of one program: parallel loops, and barriers, which programs share as well."""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from triton_spacemit.dialect.xsmt.checks import UPDATES, XSMT, attribute, counted, fail, verify_scalars


def _is_inside(op: ir.OpView, names: Sequence[str]) -> bool:
    parent = op.operation.parent
    while parent is not None:
        if parent.operation.name in names:
            return True
        parent = parent.operation.parent
    return False


def _verify_handle(op: ir.OpView, value: ir.Value) -> bool:
    return verify_scalars(op, [value], "i64", "a barrier")


class MBarrierOp(XSMT.Operation, name="mbarrier", traits=[UPDATES]):
    """`copies` phase barriers behind one handle. The phase is `flag` (0 or not) at first and flips after `expect` arrivals.

    `arrive` arrivals have happened at the start. `transaction` counts transfers in flight on machines that copy by themselves; here every
    copy is done when its op is, so it has no effect. A barrier is made once: not inside a loop, nor by a thread of a parallel one.

    ```mlir
    %bar = "xsmt.mbarrier"(%flag, %arrive, %transaction, %expect) {copies = 1 : i32} : (i32, i32, i32, i32) -> i64
    ```
    """

    flag: ext.Operand[Any]
    arrive: ext.Operand[Any]
    transaction: ext.Operand[Any]
    expect: ext.Operand[Any]
    result: ext.Result[Any]
    copies: ir.IntegerAttr

    @staticmethod
    @counted((4,), 1)
    def verify_invariants(op: "MBarrierOp") -> bool:
        copies = attribute(op, "copies")
        if not isinstance(copies, ir.IntegerAttr) or copies.value < 1:
            return fail(op, f"copies must be a positive number, got {copies}")
        if _is_inside(op, ("scf.for", "scf.while", "xsmt.parallel")):
            return fail(op, "cannot be inside a loop: make the barrier before it")
        return verify_scalars(op, op.operation.operands, "i32", "a count") and _verify_handle(op, op.result)


class GlobalMBarrierOp(XSMT.Operation, name="global_mbarrier"):
    """The barrier number `id` (0 to 63) between the programs of one launch: its phase is 0 at first and flips when all have arrived.

    `barrier_set_expect` changes how many arrivals it takes.

    ```mlir
    %bar = "xsmt.global_mbarrier"(%id) : (i32) -> i64
    ```
    """

    id: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @counted((1,), 1)
    def verify_invariants(op: "GlobalMBarrierOp") -> bool:
        return verify_scalars(op, [op.id], "i32", "id") and _verify_handle(op, op.result)


class BarrierAtOp(XSMT.Operation, name="barrier_at", traits=[ext.Pure]):
    """Barrier number `index` of several behind one handle.

    ```mlir
    %bar = "xsmt.barrier_at"(%bars, %index) : (i64, i32) -> i64
    ```
    """

    bars: ext.Operand[Any]
    index: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @counted((2,), 1)
    def verify_invariants(op: "BarrierAtOp") -> bool:
        return _verify_handle(op, op.bars) and verify_scalars(op, [op.index], "i32", "index") and _verify_handle(op, op.result)


class BarrierArriveOp(XSMT.Operation, name="barrier_arrive"):
    """Count one arrival, without waiting. What was written before it is seen by whoever waits for the phase it completes.

    ```mlir
    "xsmt.barrier_arrive"(%bar) : (i64) -> ()
    ```
    """

    bar: ext.Operand[Any]

    @staticmethod
    @counted((1,), 0)
    def verify_invariants(op: "BarrierArriveOp") -> bool:
        return _verify_handle(op, op.bar)


class BarrierWaitOp(XSMT.Operation, name="barrier_wait"):
    """Block until the phase is `flag` (0 or not). `arrive` is what SpacemiT's language lets one say beside it; it has no effect.

    A launch in which every thread that could still arrive is blocked ends with an error that names this line.

    ```mlir
    "xsmt.barrier_wait"(%bar, %flag, %arrive) : (i64, i32, i32) -> ()
    ```
    """

    bar: ext.Operand[Any]
    flag: ext.Operand[Any]
    arrive: ext.Operand[Any]

    @staticmethod
    @counted((3,), 0)
    def verify_invariants(op: "BarrierWaitOp") -> bool:
        return _verify_handle(op, op.bar) and verify_scalars(op, [op.flag, op.arrive], "i32", "a count")


class BarrierSetExpectOp(XSMT.Operation, name="barrier_set_expect"):
    """Let the phase flip after `expect` arrivals from now on.

    ```mlir
    "xsmt.barrier_set_expect"(%bar, %expect) : (i64, i32) -> ()
    ```
    """

    bar: ext.Operand[Any]
    expect: ext.Operand[Any]

    @staticmethod
    @counted((2,), 0)
    def verify_invariants(op: "BarrierSetExpectOp") -> bool:
        return _verify_handle(op, op.bar) and verify_scalars(op, [op.expect], "i32", "a count")


class NumThreadsOp(XSMT.Operation, name="get_num_of_thread", traits=[ext.Pure]):
    """The number of threads that run this program's parallel loops.

    ```mlir
    %n = "xsmt.get_num_of_thread"() : () -> i32
    ```
    """

    result: ext.Result[Any]

    @staticmethod
    @counted((0,), 1)
    def verify_invariants(op: "NumThreadsOp") -> bool:
        return verify_scalars(op, [op.result], "i32", "result")


class YieldOp(XSMT.Operation, name="yield", traits=[ir.IsTerminatorTrait]):
    """The end of one iteration of `parallel`.

    ```mlir
    "xsmt.parallel"(%lower, %upper, %step) ({
    ^bb0(%i: index):
      "xsmt.yield"() : () -> ()
    }) {bind_sub_block = false} : (index, index, index) -> ()
    ```
    """

    @staticmethod
    @counted((0,), 0)
    def verify_invariants(op: "YieldOp") -> bool:
        parent = op.operation.parent
        if parent is None or parent.operation.name != "xsmt.parallel":
            return fail(op, "must end the body of xsmt.parallel")
        return True


class ParallelOp(XSMT.Operation, name="parallel"):
    """`body(i)` for every `i` from `lower` to `upper` by `step`, by concurrent threads of the program; ends when all have ended.

    Iterations may wait for each other at barriers: each of them makes progress whatever the others do. With `bind_sub_block` an iteration
    keeps its thread, without it lowering may regroup iterations; both run each by itself here.

    ```mlir
    "xsmt.parallel"(%lower, %upper, %step) ({
    ^bb0(%i: i32):
      "xsmt.yield"() : () -> ()
    }) {bind_sub_block = true} : (i32, i32, i32) -> ()
    ```
    """

    lower: ext.Operand[Any]
    upper: ext.Operand[Any]
    step: ext.Operand[Any]
    body: ext.Region

    @staticmethod
    @counted((3,), 0)
    def verify_invariants(op: "ParallelOp") -> bool:
        regions = op.operation.regions
        if len(regions) != 1 or len(list(regions[0].blocks)) != 1:
            return fail(op, "must have a body of one block")
        if not isinstance(attribute(op, "bind_sub_block"), ir.BoolAttr):
            return fail(op, f"bind_sub_block must be a boolean, got {attribute(op, 'bind_sub_block')}")
        types = [value.type for value in (*op.operation.operands, *regions[0].blocks[0].arguments)]
        if len(types) != 4 or len({str(type_) for type_ in types}) > 1 or str(types[0]) not in ("i32", "i64", "index"):
            return fail(op, f"needs bounds, a step and a body's one argument of one integer type, got {', '.join(map(str, types))}")
        operations = list(regions[0].blocks[0].operations)
        if not operations or operations[-1].operation.name != "xsmt.yield":
            return fail(op, "must end its body with xsmt.yield")
        return True
