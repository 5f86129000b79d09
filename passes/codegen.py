"""From the LLVM dialect to LLVM IR, and from that to an object or assembly for a chip, in process with llvmlite."""

import functools
import threading
from typing import Any

import llvmlite.binding as llvm
from torch_mlir import ir
from torch_mlir.dialects import llvm as llvm_dialect

from triton_spacemit.dialect.chips import Chip

_lock = threading.Lock()  # LLVM's target machines are not safe to share between threads


def llvm_ir(module: ir.Module) -> str:
    """LLVM IR text of a module that holds nothing but the LLVM dialect."""
    with module.context:
        return llvm_dialect.translate_module_to_llvmir(module.operation)


def compile_object(text: str, chip: Chip) -> bytes:
    """A relocatable ELF object for `chip`. Raises ValueError where `text` is not valid LLVM IR."""
    with _lock:
        module, machine = _optimised(text, chip)
        return machine.emit_object(module)


def assembly(text: str, chip: Chip) -> str:
    """Readable assembly of the code that `compile_object` gives."""
    with _lock:
        module, machine = _optimised(text, chip)
        return machine.emit_assembly(module)


def _optimised(text: str, chip: Chip) -> tuple[Any, Any]:
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        raise ValueError(f"invalid LLVM IR: {error}") from None
    machine = _machine(chip)
    module.triple = chip.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = False  # the loops are vectors already
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module, machine


@functools.cache
def _machine(chip: Chip) -> Any:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(chip.triple)
    abi = {"abiname": chip.abi} if chip.abi else {}
    return target.create_target_machine(cpu=chip.cpu, features=chip.features, opt=3, reloc="pic", codemodel="small" if not chip.abi else "medium", **abi)
