"""Make xsmt ops of the smt language's calls and of its parallel loops.

In: a call of a private function `@__smt.NAME__TYPES` without a body for each builtin, with its constants as attributes; a parallel loop is
an `scf.for` with the attribute `smt.parallel` (backend/language/smt lists them all). Out: the ops of `dialect/xsmt`.

```mlir
func.func @tiles(%m: tensor<8x8xf16>, %i: i32) -> tensor<2x2x4x4xf16> {
  %t = func.call @__smt.pack__a(%m, %i, %i)
       : (tensor<8x8xf16>, i32, i32) -> tensor<2x2x4x4xf16>
  return %t : tensor<2x2x4x4xf16>
}
func.func private @__smt.pack__a(tensor<8x8xf16>, i32, i32) -> tensor<2x2x4x4xf16>
```
"""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.errors import LoweringError, from_mlir
from triton_spacemit.dialect.module import operations

PREFIX = "__smt."
Attributes = dict[str, ir.Attribute]


def smt(module: ir.Module) -> None:
    """Run the pass. Raises LoweringError for a builtin that is not known or breaks a rule of its op."""
    found = operations(module.operation, "func.call", "scf.for")
    calls = [op for op in found if op.name == "func.call" and _callee(op).startswith(PREFIX)]
    loops = [op for op in found if op.name == "scf.for" and "smt.parallel" in op.attributes]
    with module.context:
        for call in calls:
            _replace(call)
        for loop in reversed(loops):
            _make_parallel(loop)
    for op in list(module.body.operations):
        if op.operation.name == "func.func" and op.operation.attributes["sym_name"].value.startswith(PREFIX):
            op.operation.erase()


def _callee(call: ir.Operation) -> str:
    return ir.FlatSymbolRefAttr(call.attributes["callee"]).value


def _replace(call: ir.Operation) -> None:
    name = _callee(call).removeprefix(PREFIX).partition("__")[0]
    if name not in _ATTRIBUTES:
        raise LoweringError(f"the builtin smt.{name} is not known", call.location)
    try:
        attributes = _ATTRIBUTES[name](call)
    except (KeyError, ValueError, AttributeError, IndexError):
        raise LoweringError(f"the call of smt.{name} lacks an attribute, or has one of another kind", call.location) from None
    results = [result.type for result in call.results]
    new = ir.Operation.create(f"xsmt.{name}", results, list(call.operands), attributes, loc=call.location, ip=ir.InsertionPoint(call))
    for old, result in zip(call.results, new.results, strict=True):
        old.replace_all_uses_with(result)
    call.erase()
    _verify(new)


def _verify(op: ir.Operation) -> None:
    try:
        op.verify()
    except ir.MLIRError as error:
        raise from_mlir(error, op.location) from None


def _none(call: ir.Operation) -> Attributes:
    return {}


def _mmt4d(call: ir.Operation) -> Attributes:
    return {"transposed": call.attributes["smt.transposed"]}


def _alloc(call: ir.Operation) -> Attributes:
    element = tt.pointee(call.results[0].type)
    if element is None:
        raise ValueError("no pointer")
    size = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), call.attributes["smt.size"].value)
    return {"size": size, "element": ir.TypeAttr.get(ir.Type.parse(element)), "storage": call.attributes["smt.storage"]}


def _mbarrier(call: ir.Operation) -> Attributes:
    return {"copies": call.attributes["smt.copies"]}


def _annotation(call: ir.Operation) -> Attributes:
    return {"hint": call.attributes["smt.name"], "value": call.attributes["smt.value"]}


_ATTRIBUTES: dict[str, Callable[[ir.Operation], Attributes]] = dict.fromkeys(
    (
        *("pack", "repack", "subview", "unpack"),
        *("barrier_at", "barrier_arrive", "barrier_wait", "barrier_set_expect", "global_mbarrier", "get_num_of_thread"),
    ),
    _none,
) | {"mmt4d": _mmt4d, "alloc": _alloc, "mbarrier": _mbarrier, "annotation": _annotation}


def _make_parallel(loop: ir.Operation) -> None:
    if loop.results:
        raise LoweringError("iterations of smt.parallel are independent: a value cannot be carried from one to the next", loop.location)
    bind = loop.attributes["smt.bind_sub_block"] if "smt.bind_sub_block" in loop.attributes else ir.BoolAttr.get(True)
    operands, point = list(loop.operands), ir.InsertionPoint(loop)
    new = ir.Operation.create("xsmt.parallel", [], operands, {"bind_sub_block": bind}, regions=1, loc=loop.location, ip=point)
    body = loop.regions[0].blocks[0]
    end = body.operations[len(body.operations) - 1].operation
    with ir.InsertionPoint(end):
        ir.Operation.create("xsmt.yield", loc=end.location)
    end.erase()
    body.append_to(new.regions[0])
    loop.erase()
    _verify(new)
