"""What a module says of itself: its chip and its kernel."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch_mlir import ir

from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip, get_chip
from triton_spacemit.dialect.errors import LoweringError

CHIP = "xsmt.chip"
LLVM_ATTRIBUTES = "llvm.passthrough"  # of a function, for LLVM's own
SLOTS = "xsmt.slots"  # types of the kernel's arguments as the user wrote them, which passes may change
STORED = "xsmt.stored"  # the numbers of the arguments that are pointers it may store through; absent means any
SCRATCH = "xsmt.scratch_bytes"
CONCURRENT = "xsmt.concurrent"  # one program uses several threads
SCHEDULED = "xsmt.scheduled"  # the code has register tiles whose instructions stand in the order in which the chip should start them
SANITIZE = "xsmt.sanitize"  # the kernel is to check its accesses
STORAGES = "xsmt.storages"  # the numbers of the pointers whose storages' beginnings and ends are the last arguments
NONPOSITIVE = "xsmt.nonpositive"  # of an exponential whose operand is nowhere above zero: how exact it has to be
FP_FUSION = "xsmt.fp_fusion"  # absent means yes
ALLOW_IME = "xsmt.allow_ime"  # absent means yes


_watched: ContextVar[set[str] | None] = ContextVar("watched", default=None)


@contextmanager
def reads() -> Iterator[set[str]]:
    """The attributes of modules that passes ask for in a block, for the reference of passes."""
    found: set[str] = set()
    token = _watched.set(found)
    try:
        yield found
    finally:
        _watched.reset(token)


def _attributes(module: ir.Module, asked: str) -> ir.OpAttributeMap:
    watched = _watched.get()
    if watched is not None:
        watched.add(asked)
    return module.operation.attributes


def _given(module: ir.Module, name: str, kind: type[ir.Attribute], what: str) -> Any:
    """An attribute of `module`, None where it has none. Raises LoweringError where it is not `what` it must be."""
    attributes = _attributes(module, name)
    if name not in attributes:
        return None
    if not isinstance(attributes[name], kind):
        raise LoweringError(f"the module's attribute {name} must be {what}", module.operation.location)
    return attributes[name]


def chip_of(module: ir.Module) -> Chip:
    """The chip that `module` is compiled for, with what of it may be used; the host where it names none."""
    name, allow_ime = _given(module, CHIP, ir.StringAttr, "a string"), _given(module, ALLOW_IME, ir.BoolAttr, "true or false")
    chip = get_chip("host" if name is None else name.value)
    return chip if allow_ime is None or allow_ime.value else chip.without_ime()


def set_chip(module: ir.Module, chip: Chip) -> None:
    """Say that `module` is compiled for `chip`."""
    with module.context:
        module.operation.attributes[CHIP] = ir.StringAttr.get(chip.name)


def set_allow_ime(module: ir.Module, allow: bool) -> None:
    """Say whether the chip's matrix instructions may be used."""
    with module.context:
        module.operation.attributes[ALLOW_IME] = ir.BoolAttr.get(allow)


def say(module: ir.Module, attribute: str) -> None:
    """Give `module` an attribute that has no value."""
    with module.context:
        module.operation.attributes[attribute] = ir.UnitAttr.get()


def set_slots(module: ir.Module) -> None:
    """Keep the types of the kernel's arguments: `*f32` for `!tt.ptr<f32>`."""
    with module.context:
        names = slot_types(kernel_of(module).attributes["function_type"].value.inputs)
        module.operation.attributes[SLOTS] = ir.ArrayAttr.get([ir.StringAttr.get(name) for name in names])


def slots_of(module: ir.Module) -> list[ir.Attribute] | None:
    """The strings that `set_slots` has put there; None where there are none."""
    what = "a list of strings"
    slots = _given(module, SLOTS, ir.ArrayAttr, what)
    if slots is not None and not all(isinstance(slot, ir.StringAttr) for slot in slots):
        raise LoweringError(f"the module's attribute {SLOTS} must be {what}", module.operation.location)
    return None if slots is None else list(slots)


def slot_types(types: Iterable[ir.Type]) -> tuple[str, ...]:
    """The types of arguments as an artifact names them."""
    return tuple(_slot(str(type_)) for type_ in types)


def _slot(type_: str) -> str:
    prefix = "!tt.ptr<"
    if type_ == "!llvm.ptr":
        return "*"
    return "*" + _slot(type_[len(prefix) : -1].partition(",")[0]) if type_.startswith(prefix) else type_


def artifact_of(module: ir.Module, types: Iterable[ir.Type]) -> Artifact:
    """What `module` says of its kernel, which has no code yet; its arguments have `types` where it does not say."""
    attributes, slots = module.operation.attributes, slots_of(module)
    return Artifact(
        name=kernel_of(module).attributes["sym_name"].value,
        chip=chip_of(module).name,
        slots=slot_types(types) if slots is None else tuple(ir.StringAttr(slot).value for slot in slots),
        stored=tuple(attributes[STORED]) if STORED in attributes else None,
        scratch_bytes=attributes[SCRATCH].value if SCRATCH in attributes else 0,
        concurrent=CONCURRENT in attributes,
    )


def fuses(module: ir.Module) -> bool:
    """Whether a product and a sum of `module` may become one fused multiply-add."""
    given = _given(module, FP_FUSION, ir.BoolAttr, "true or false")
    return given is None or given.value


def set_fp_fusion(module: ir.Module, fuse: bool) -> None:
    """Say what `fuses` asks."""
    with module.context:
        module.operation.attributes[FP_FUSION] = ir.BoolAttr.get(fuse)


def takes_sanitize(module: ir.Module) -> bool:
    """Whether the kernel is to check its accesses, which the module then says no longer."""
    asked = SANITIZE in _attributes(module, SANITIZE)
    if asked:
        del module.operation.attributes[SANITIZE]
    return asked


def storages_of(module: ir.Module) -> tuple[int, ...]:
    """The numbers of the pointers of which the kernel has the storages: two more arguments for each, in this order, at the end."""
    attributes = _attributes(module, STORAGES)
    return tuple(number.value for number in attributes[STORAGES]) if STORAGES in attributes else ()


def operations(root: ir.Operation, *names: str) -> list[ir.Operation]:
    """The ops of these names in `root`, inner ones first."""
    found: list[ir.Operation] = []

    def collect(op: ir.Operation) -> ir.WalkResult:
        if op.name in names:
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(collect)
    return found


def kernel_of(module: ir.Module) -> ir.Operation:
    """The module's one public function. Raises LoweringError where there is none or several."""
    functions = [
        op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
        and op.operation.regions[0].blocks
        and ("sym_visibility" not in op.operation.attributes or op.operation.attributes["sym_visibility"].value == "public")
    ]
    if len(functions) != 1:
        raise LoweringError(f"a module must have one public function, this one has {len(functions)}", module.operation.location)
    return functions[0]
