"""Scalar pointers as `!llvm.ptr`: their arithmetic, loads and stores."""

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.passes.structure.elements import as_bool, as_bytes, in_memory, is_true, zeros
from triton_spacemit.passes.structure.function import DYNAMIC, Function


def scalar_load(f: Function, op: ir.Operation, pointer: ir.Value, mask: ir.Value | None, other: ir.Value | None) -> ir.Value:
    type_ = op.results[0].type
    if f.describer.info(type_)[2] is not None:
        type_ = f.nodes.ptr
    if mask is None or is_true(mask):
        return plain_load(f, op, pointer, type_, op)
    if other is None:
        if type_ == f.nodes.ptr:
            other = f.emit(f.nodes.null)
        else:
            other = zeros(f, op, type_)
    branch = f.create("scf.if", [mask], [type_], ir.InsertionPoint(op), op.location, regions=2)
    for region, taken in zip(branch.regions, (True, False), strict=True):
        end = f.create("scf.yield", [other], [], ir.InsertionPoint(ir.Block.create_at_start(region, [])), op.location)
        if taken:
            end.operands[0] = plain_load(f, op, pointer, type_, end)
    return branch.result


def plain_load(f: Function, op: ir.Operation, pointer: ir.Value, type_: ir.Type, end: ir.Operation) -> ir.Value:
    """Load before `end` what the load `op` asks for."""
    attributes = {"volatile_": ir.UnitAttr.get()} if op.attributes["isVolatile"].value else {}
    stored = in_memory(f, type_)
    value = f.before(end, "llvm.load", [pointer], stored, **attributes)
    if type_ == f.nodes.i1:
        return as_bool(f, end, value)
    return value if stored == type_ else f.before(end, "arith.bitcast", [value], type_)


def scalar_store(f: Function, op: ir.Operation, pointer: ir.Value, value: ir.Value, mask: ir.Value | None) -> None:
    stored = in_memory(f, value.type)
    if value.type == f.nodes.i1:
        value = as_bytes(f, op, value)
    elif stored != value.type:
        value = f.before(op, "arith.bitcast", [value], stored)
    point = ir.InsertionPoint(op)
    if mask is not None and not is_true(mask):
        branch = f.create("scf.if", [mask], [], point, op.location, regions=2)
        block = ir.Block.create_at_start(branch.regions[0], [])
        point = ir.InsertionPoint(f.create("scf.yield", [], [], ir.InsertionPoint(block), op.location))
    f.create("llvm.store", [value, pointer], [], point, op.location)


def addptr(f: Function, op: ir.Operation) -> None:
    result = op.results[0]
    shape, _, pointee = f.describer.info(result.type)
    if shape:
        return
    unit = ir.TypeAttr.get(ir.IntegerType.get_signless(8 * tt.size_of(pointee)))
    indices = ir.DenseI32ArrayAttr.get([DYNAMIC])
    new = f.before(op, "llvm.getelementptr", op.operands, f.nodes.ptr, elem_type=unit, rawConstantIndices=indices)
    f.replace(op, new)


def bitcast(f: Function, op: ir.Operation) -> None:
    shape, _, pointee = f.describer.info(op.results[0].type)
    if pointee is not None and not shape:
        f.replace(op, op.operands[0])


def int_to_ptr(f: Function, op: ir.Operation) -> None:
    if not f.describer.info(op.results[0].type)[0]:
        f.replace(op, f.before(op, "llvm.inttoptr", op.operands, f.nodes.ptr))


def ptr_to_int(f: Function, op: ir.Operation) -> None:
    operand, type_ = op.operands[0], op.results[0].type
    if isinstance(type_, ir.RankedTensorType):
        new = f.addresses(operand, op)
        if type_ != new.type:
            new = f.before(op, "arith.trunci", [new], type_)
    else:
        new = f.before(op, "llvm.ptrtoint", [operand], type_)
    f.replace(op, new)


RULES = {
    "tt.addptr": addptr,
    "tt.bitcast": bitcast,
    "tt.int_to_ptr": int_to_ptr,
    "tt.ptr_to_int": ptr_to_int,
}
