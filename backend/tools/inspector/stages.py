"""The stages of a kernel as texts with the place of every line, and the time that each takes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from triton_spacemit.backend.tools.inspector.kernels import Kernel
from triton_spacemit.backend.tools.inspector.locations import Chain, Text, read_llvm, read_mlir
from triton_spacemit.backend.tools.inspector.machine_code import Function, read_assembly
from triton_spacemit.dialect.chips import get_chip

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Pane:
    """One stage. language: how its text is coloured."""

    name: str
    title: str
    language: str
    text: Text


@dataclass
class Stages:
    """What there is to see of a kernel. kernel_place: where its function begins. tiles: the tile of each product, and why it has that."""

    kernel_place: Chain = ()
    panes: list[Pane] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    times_ms: dict[str, float] = field(default_factory=dict)
    object_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    tiles: list[str] = field(default_factory=list)


def collect(kernel: Kernel) -> Stages:
    """Every stage of `kernel`. What the cache does not hold is lowered again from its TTIR, which the cached texts are checked against."""
    from triton_spacemit.passes import codegen, remarks

    chip = get_chip(kernel.chip)
    result = Stages()
    with remarks.heard(lambda _, text: result.tiles.append(text)):
        texts = _lower(kernel, {})
    result.times_ms = {}
    _lower(kernel, result.times_ms)  # a second time: the first also imports modules, which takes longer than the stages do

    def timed(name: str, action: Callable[[], _Result]) -> _Result:
        start = time.perf_counter()
        value = action()
        result.times_ms[name] = (time.perf_counter() - start) * 1e3
        return value

    codegen.compile_object(kernel.llir, chip)
    result.object_bytes = len(timed("object", lambda: codegen.compile_object(kernel.llir, chip)))
    if texts["llir"] != kernel.llir:
        result.notes.append(
            "The cached kernel is not what today's compiler makes of its TTIR: smt and loops are today's, the other stages the kernel's."
        )
    optimised, debug = read_llvm(codegen.optimised(kernel.llir, chip))
    machine_text, result.functions = read_assembly(codegen.assembly(kernel.llir, chip, comments=True), debug, chip)
    ttir = read_mlir(kernel.ttir)
    panes = [
        Pane("ttir", "Triton IR", "mlir", ttir),
        Pane("xsmt", "structured", "mlir", read_mlir(kernel.xsmt)),
        Pane("smt", "plain blocks", "mlir", read_mlir(texts["smt"])),
        Pane("loops", "loops", "mlir", read_mlir(texts["loops"])),
        Pane("llvm", "LLVM IR", "llvm", read_llvm(kernel.llir)[0]),
        Pane("opt", "optimised", "llvm", optimised),
        Pane("asm", "assembly", "asm", machine_text),
    ]
    if panes[1].text.lines == panes[2].text.lines:
        del panes[2]
    entry = result.kernel_place = ttir.places[next(i for i, line in enumerate(ttir.lines) if "tt.func public" in line)]
    for pane in panes[-2:]:
        pane.text.places = [_without_call(place, entry) for place in pane.text.places]
    result.panes = panes
    return result


def _without_call(place: Chain, entry: Chain) -> Chain:
    """Without the call of the program's body by the kernel's entry, which no user wrote."""
    return place[:-1] if len(place) > 1 and place[-1:] == entry else place


def _lower(kernel: Kernel, times_ms: dict[str, float]) -> dict[str, str]:
    """Run the pipeline from TTIR on; the text of every stage, and its time into `times_ms`."""
    from torch_mlir import ir

    from triton_spacemit.dialect.context import make_context
    from triton_spacemit.dialect.module import set_chip, set_fp_fusion, set_slots
    from triton_spacemit.passes import codegen, pipeline, ttir_text

    def clock(name: str, start: float) -> None:
        times_ms[name] = (time.perf_counter() - start) * 1e3

    start = time.perf_counter()
    context = make_context()
    module = ir.Module.parse(ttir_text.as_functions(ttir_text.generic(kernel.ttir, "-")), context)
    clock("bridge", start)
    set_chip(module, get_chip(kernel.chip))
    set_slots(module)
    set_fp_fusion(module, kernel.metadata["enable_fp_fusion"])
    texts, before = {}, None
    for stage in pipeline.STAGES:
        start = time.perf_counter()
        pipeline.run(module, until=stage, after=before)
        clock(stage, start)
        before = stage
        if stage in ("smt", "loops"):
            texts[stage] = module.operation.get_asm(enable_debug_info=True)
    start = time.perf_counter()
    texts["llir"] = codegen.llvm_ir(module)
    clock("LLVM IR", start)
    return texts
