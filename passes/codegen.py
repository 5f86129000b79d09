"""From the LLVM dialect to LLVM IR, and from that to an object or assembly for a chip, in process with llvmlite."""

import functools
import re
import struct
import threading

import llvmlite.binding as llvm
from torch_mlir import ir
from torch_mlir.dialects import llvm as llvm_dialect

from triton_spacemit.dialect.chips import Chip

_lock = threading.Lock()  # LLVM's target machines are not safe to share between threads


def llvm_ir(module: ir.Module) -> str:
    """LLVM IR text of a module that holds nothing but the LLVM dialect."""
    with module.context:
        text = llvm_dialect.translate_module_to_llvmir(module.operation)
    return _POINTER.sub(r"\1", _float_patterns(text))


# The newer LLVM names the pointer's type in RISC-V's loads and stores.
_POINTER = re.compile(r"(@llvm\.riscv\.v[ls]e\.nxv\w+)\.p0(?=\.i64\b)")

# torch-mlir's LLVM writes float constants in a newer form than llvmlite's LLVM reads: `+qnan`, `f0x7F7FFFFF`, and decimals that are exact
# only in the constant's own type, which is the last type named before them. They become bit patterns, which both agree on.
_FLOAT = re.compile(
    r'"[^"]*"|\b(half|bfloat|float|double)\b'
    r"|(?<=[ (\[<])(?:([+-])(inf|qnan|s?nan\((0x[0-9A-F]+)\))|f0x([0-9A-F]+)|(-?[0-9]+\.[0-9]+e[+-][0-9]+))(?=[,)\]> \n])"
)
_LAYOUT = {"half": (5, 10), "bfloat": (8, 7), "float": (8, 23), "double": (11, 52)}  # bits of exponent and mantissa
_PACK = {"half": ("<e", "<H"), "float": ("<f", "<I"), "double": ("<d", "<Q")}


# Few lines have such a constant, and they are found sooner than the types that are named in all.
_SIGN = re.compile(r"[ (\[<](?:[+-](?:inf|qnan|s?nan\()|f0x|-?[0-9]+\.[0-9]+e[+-])")


def _float_patterns(text: str) -> str:
    parts, done = [], 0
    for match in _SIGN.finditer(text):
        if match.start() >= done:
            begin, end = text.rfind("\n", 0, match.end()) + 1, text.index("\n", match.end()) + 1
            parts += [text[done:begin], _line_patterns(text[begin:end])]
            done = end
    return "".join(parts) + text[done:]


def _line_patterns(line: str) -> str:
    kind = "double"

    def replace(match: re.Match[str]) -> str:
        nonlocal kind
        if match[1] is not None:
            kind = match[1]
        return match[0] if match[1] is not None or match[0].startswith('"') else _pattern(kind, *match.groups()[1:])

    return _FLOAT.sub(replace, line)


def _pattern(kind: str, sign: str | None, special: str | None, payload: str | None, raw: str | None, decimal: str | None) -> str:
    """A constant of LLVM's type `kind` as older LLVMs write it, in hexadecimal."""
    exponent, mantissa = _LAYOUT[kind]
    if raw is not None:
        pattern = int(raw, 16)
    elif decimal is not None:
        if kind == "bfloat":
            (wide,) = struct.unpack("<I", struct.pack("<f", float(decimal)))
            pattern = (wide + 0x7FFF + (wide >> 16 & 1)) >> 16
        else:
            value, integer = _PACK[kind]
            (pattern,) = struct.unpack(integer, struct.pack(value, float(decimal)))
    else:
        pattern = ((1 << exponent) - 1) << mantissa
        if special != "inf":
            quiet = 0 if special.startswith("snan") else 1 << (mantissa - 1)
            pattern |= quiet | (int(payload, 16) if payload else 0)
        pattern |= (sign == "-") << (exponent + mantissa)
    if kind in ("half", "bfloat"):
        return f"0x{'H' if kind == 'half' else 'R'}{pattern:04X}"
    if kind == "float":  # written as the double of the same value
        head, rest = pattern >> 31 << 63, pattern & 0x7FFFFFFF
        if rest >> 23 == 0xFF:
            pattern = head | 0x7FF << 52 | (rest & 0x7FFFFF) << 29
        else:
            (value,) = struct.unpack("<f", struct.pack("<I", pattern))
            (pattern,) = struct.unpack("<Q", struct.pack("<d", value))
    return f"0x{pattern:016X}"


def compile_object(text: str, chip: Chip) -> bytes:
    """A relocatable ELF object for `chip`. Raises ValueError where `text` is not valid LLVM IR."""
    with _lock:
        compiler = _compiler(chip)
        _schedule(text)
        return compiler.machine.emit_object(compiler.optimise(text))


def assembly(text: str, chip: Chip, comments: bool = False) -> str:
    """Readable assembly of the code that `compile_object` gives; with LLVM's `comments` on loops, spills and inlined places."""
    with _lock:
        compiler = _compiler(chip)
        _schedule(text)
        compiler.machine.set_asm_verbosity(comments)
        try:
            return compiler.machine.emit_assembly(compiler.optimise(text))
        finally:
            compiler.machine.set_asm_verbosity(False)


def optimised(text: str, chip: Chip) -> str:
    """LLVM IR text as LLVM's own passes leave it to the code generator."""
    with _lock:
        return str(_compiler(chip).optimise(text))


# What of the function pipeline changes anything in a short kernel without nested loops; the rest of it takes four times as long.
_SIMPLE_PASSES = (
    "simplify_cfg instruction_combine loop_simplify loop_rotate simplify_cfg new_gvn instruction_combine aggressive_dce"
).split()
_SHORT = 24_000  # characters of LLVM IR
_LABEL_OR_BRANCH = re.compile(r"^(\d+):|\blabel %(\d+)", re.MULTILINE)


def is_simple(text: str) -> bool:
    """Whether LLVM IR is short and no loop in it contains another. Blocks are numbered in order: a branch back closes a loop."""
    if len(text) > _SHORT:
        return False
    block, opened = 0, -1  # the current block, and the latest block that a loop starts at
    for label, target in _LABEL_OR_BRANCH.findall(text):
        if label:
            block = int(label)
            continue
        start = int(target)
        if start <= block:
            if start < opened <= block:
                return False
            opened = start
    return True


# Register tiles are written in the order in which an in-order core should run them. LLVM's scheduler would move the loads of a step
# together, in front of what waits for them.
_TILE = re.compile(r"@llvm\.riscv\.vf?w?macc(bf16)?\.")


def _schedule(text: str) -> None:
    """Whether LLVM may move instructions in what is compiled next: not where there are register tiles."""
    llvm.set_option("", f"-enable-misched={0 if _TILE.search(text) else 1}")


class _Compiler:
    """LLVM's machinery for one chip, made once: what llvmlite's pass managers allocate is not all freed with them."""

    def __init__(self, chip: Chip) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(chip.triple)
        abi = {"abiname": chip.abi} if chip.abi else {}
        model = "medium" if chip.abi else "small"
        self.machine = target.create_target_machine(cpu=chip.cpu, features=chip.features, opt=3, reloc="pic", codemodel=model, **abi)
        self.triple, self.layout = chip.triple, str(self.machine.target_data)
        # The function pipeline only: the loops are vectors already, and the one call in a module is inlined first.
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_unrolling = False
        self.builder = llvm.create_pass_builder(self.machine, options)
        self.functions = self.builder.getFunctionPassManager()
        self.simple_functions = llvm.create_new_function_pass_manager()
        for name in _SIMPLE_PASSES:
            getattr(self.simple_functions, f"add_{name}_pass")()
        self.modules = llvm.create_new_module_pass_manager()
        self.modules.add_always_inliner_pass()
        self.modules.add_global_dead_code_eliminate_pass()

    def optimise(self, text: str) -> llvm.ModuleRef:
        try:
            module = llvm.parse_assembly(text)
            module.verify()
        except RuntimeError as error:
            raise ValueError(f"invalid LLVM IR: {error}") from None
        module.triple, module.data_layout = self.triple, self.layout
        self.modules.run(module, self.builder)
        functions = self.simple_functions if is_simple(text) else self.functions
        for function in module.functions:
            if not function.is_declaration:
                functions.run(function, self.builder)
        return module


_compiler = functools.cache(_Compiler)
