"""LLVM IR as it reaches llvmlite, and the code that comes of it: constants bit for bit, refusals, objects, size."""

import ctypes
import random
import re
import struct
import time

import llvmlite.binding as llvm
import numpy as np
import pytest
from torch_mlir import ir

from triton_spacemit.dialect.chips import CHIPS, Chip, get_chip
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.hosts import host_chip
from triton_spacemit.dialect.module import SCHEDULED, set_chip
from triton_spacemit.passes import codegen, pipeline, registry

FORMATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}  # bits of exponent and mantissa
INTEGERS = {"f16": np.uint16, "bf16": np.uint16, "f32": np.uint32, "f64": np.uint64}


def patterns(type_: str) -> list[int]:
    """Bit patterns of all kinds of numbers, with either sign: zeros, subnormals, infinities, NaNs with payloads, ties in decimal."""
    exponent, mantissa = FORMATS[type_]
    top, bias = (1 << exponent) - 1, (1 << (exponent - 1)) - 1
    quiet = 1 << (mantissa - 1)
    special = [0, 1, 2, (1 << mantissa) - 1, 1 << mantissa]  # up to the least normal number
    special += [(top << mantissa) - 1, top << mantissa]  # the greatest number, infinity
    special += [top << mantissa | payload for payload in (quiet, quiet | 1, quiet | 5, 2 * quiet - 1)]
    special += [top << mantissa | 1, top << mantissa | (quiet - 1)]  # signalling
    special += [bias << mantissa, (bias << mantissa) + 1, (bias << mantissa) - 1]  # around 1
    special += [(bias - 4) << mantissa | (1 << mantissa) // 10 * 6]  # about 0.1
    numbers = random.Random(type_)
    special += [numbers.getrandbits(exponent + mantissa) for _ in range(63 - len(special))] + [bias << mantissa]
    return [pattern | (i % 2) << (exponent + mantissa) for i, pattern in enumerate(special)] + special


def quieted(type_: str, pattern: int) -> int:
    """What multiplying by one makes of a number."""
    exponent, mantissa = FORMATS[type_]
    magnitude = pattern & ((1 << (exponent + mantissa)) - 1)
    return pattern | 1 << (mantissa - 1) if magnitude > ((1 << exponent) - 1) << mantissa else pattern


def parsed(text: str, before: str) -> list[int]:
    """The narrow constants that follow `before` in `text` as llvmlite's LLVM understands it, which writes them in hexadecimal."""
    return [int(digits, 16) for digits in re.findall(before + r"0x[HR]([0-9A-F]{4})\b", str(llvm.parse_assembly(text)))]


def llvm_ir(text: str) -> str:
    with make_context(), ir.Location.unknown():
        return codegen.llvm_ir(ir.Module.parse(text))


def stages(text: str, chip: Chip) -> str:
    """LLVM IR of a program in the structured state."""
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        set_chip(module, chip)
        pipeline.run(module, "llvm", after="structure")
        return codegen.llvm_ir(module)


def execute(text: str, *arrays: np.ndarray) -> None:
    """Compile `@f`, a function of pointers, for this machine, and call it."""
    image = codegen.compile_object(llvm_ir(text), host_chip())
    jit = llvm.create_lljit_compiler()
    library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process().export_symbol("f").link(jit, "f")
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays))(library["f"])(*(a.ctypes.data for a in arrays))


@pytest.mark.parametrize("type_", FORMATS)
def test_scalar_constants(type_):
    """As an operand with its type written before it, and as the bare second operand of an instruction."""
    wanted = patterns(type_)
    lines = []
    for i, pattern in enumerate(wanted):
        lines += [
            f"%c{i} = llvm.mlir.constant(0x{pattern:0{INTEGERS[type_]().nbytes * 2}X} : {type_}) : {type_}",
            f"%p{i} = llvm.getelementptr %out[{i}] : (!llvm.ptr) -> !llvm.ptr, {type_}",
            f"llvm.store %c{i}, %p{i} : {type_}, !llvm.ptr",
            f"%m{i} = llvm.fmul %x, %c{i} : {type_}",
            f"%q{i} = llvm.getelementptr %products[{i}] : (!llvm.ptr) -> !llvm.ptr, {type_}",
            f"llvm.store %m{i}, %q{i} : {type_}, !llvm.ptr",
        ]
    body = "\n".join(lines)
    one = ((1 << (FORMATS[type_][0] - 1)) - 1) << FORMATS[type_][1]
    text = f"""llvm.func @f(%one: !llvm.ptr, %out: !llvm.ptr, %products: !llvm.ptr) {{
      %x = llvm.load %one : !llvm.ptr -> {type_}
      {body}
      llvm.return
    }}"""
    out, products = np.zeros((2, len(wanted)), INTEGERS[type_])
    execute(text, np.array([one], INTEGERS[type_]), out, products)
    assert out.tolist() == wanted
    if type_ in ("f16", "bf16"):  # arithmetic on them is not exact on every machine
        assert parsed(llvm_ir(text), r"fmul \w+ %\d+, ") == wanted
    else:
        assert products.tolist() == [quieted(type_, p) for p in wanted]


@pytest.mark.parametrize("type_", FORMATS)
def test_constants_of_vectors_and_phis(type_):
    wanted = patterns(type_)
    digits = INTEGERS[type_]().nbytes * 2
    half = len(wanted) // 2
    numbers = ", ".join(f"0x{p:0{digits}X}" for p in wanted)
    types = ", ".join([type_] * half)
    constants = "\n".join(f"%c{i} = llvm.mlir.constant(0x{p:0{digits}X} : {type_}) : {type_}" for i, p in enumerate(wanted))
    stores = "\n".join(
        f"%p{i} = llvm.getelementptr %chosen[{i}] : (!llvm.ptr) -> !llvm.ptr, {type_}\nllvm.store %a{i}, %p{i} : {type_}, !llvm.ptr"
        for i in range(half)
    )
    first, second = (", ".join(f"%c{i}" for i in numbers) for numbers in (range(half), range(half, len(wanted))))
    text = f"""llvm.func @f(%flag: !llvm.ptr, %out: !llvm.ptr, %chosen: !llvm.ptr) {{
      {constants}
      %v = llvm.mlir.constant(dense<[{numbers}]> : vector<{len(wanted)}x{type_}>) : vector<{len(wanted)}x{type_}>
      llvm.store %v, %out {{alignment = 1 : i64}} : vector<{len(wanted)}x{type_}>, !llvm.ptr
      %c = llvm.load %flag : !llvm.ptr -> i1
      llvm.cond_br %c, ^end({first} : {types}), ^end({second} : {types})
    ^end({", ".join(f"%a{i}: {type_}" for i in range(half))}):
      {stores}
      llvm.return
    }}"""
    for flag, part in ((1, wanted[:half]), (0, wanted[half:])):
        out, chosen = np.zeros(len(wanted), INTEGERS[type_]), np.zeros(half, INTEGERS[type_])
        execute(text, np.array([flag], np.uint8), out, chosen)
        assert out.tolist() == wanted
        if type_ not in ("f16", "bf16"):
            assert chosen.tolist() == part
    if type_ in ("f16", "bf16"):
        first, second = (parsed(llvm_ir(text), before) for before in (r"phi \w+ \[ ", r" \], \[ "))
        assert sorted([first, second]) == sorted([wanted[:half], wanted[half:]])


def test_text_in_quotes_stays():
    content = "float +qnan, f0x7F7FFFFF, 1.500000e+00 half 1.000000e-01 "
    text = f"""llvm.mlir.global constant @s("{content}")
    llvm.func @f(%p: !llvm.ptr) {{
      %c = llvm.mlir.constant(1.000000e-01 : f64) : f64
      llvm.store %c, %p : f64, !llvm.ptr
      llvm.return
    }}"""
    assert content.encode() in codegen.compile_object(llvm_ir(text), CHIPS["x60"])
    out = np.zeros(1)
    execute(text, out)
    assert out[0] == 0.1


@pytest.mark.parametrize(
    "text",
    [
        "define void @f( {",
        "define i32 @f() {\n  ret i32 1.0\n}",
        "define i32 @f() {\n  ret i32 %x\n}",
        # well-formed, but a value is used where it is not defined yet
        "define i32 @f() {\n  %y = add i32 %x, 1\n  %x = add i32 1, 1\n  ret i32 %y\n}",
    ],
)
def test_invalid_ir(text):
    for compile_ in (codegen.compile_object, codegen.assembly):
        with pytest.raises(ValueError, match="invalid LLVM IR"):
            compile_(text, CHIPS["x60"])


@pytest.mark.parametrize("name", [*CHIPS, "host"])
def test_object(name):
    chip = get_chip(name)
    image = codegen.compile_object("define void @kernel(ptr %a, ptr %c) {\n  ret void\n}", chip)
    assert image[:6] == b"\x7fELF\x02\x01"
    kind, machine = struct.unpack_from("<HH", image, 16)
    riscv = chip.is_riscv
    assert (kind, machine) == (1, 243 if riscv else 62)  # relocatable; EM_RISCV or EM_X86_64
    if riscv:
        (flags,) = struct.unpack_from("<I", image, 48)
        assert flags & 0x6 == 0x4  # doubles are passed in registers
    assert b"\0kernel\0" in image


LOAD = "{operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32)"
STORE = "{operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>} : (!llvm.ptr"
ELEMENTWISE = f"""func.func @kernel(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {{
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %z = arith.constant 0.0 : f32
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %z) {LOAD} -> tensor<BLOCKxf32>
  %b = "xsmt.descriptor_load"(%y, %c1, %c0, %n, %z) {LOAD} -> tensor<BLOCKxf32>
  %s = arith.addf %a, %b : tensor<BLOCKxf32>
  %t = math.exp %s : tensor<BLOCKxf32>
  "xsmt.descriptor_store"(%y, %t, %c1, %c0, %n) {STORE}, tensor<BLOCKxf32>, i64, i64, i64) -> ()
  return
}}"""
SOFTMAX = f"""func.func @kernel(%x: !llvm.ptr, %y: !llvm.ptr, %n: i64) {{
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %z = arith.constant 0xFF800000 : f32
  %a = "xsmt.descriptor_load"(%x, %c1, %c0, %n, %z) {LOAD} -> tensor<BLOCKxf32>
  %m = "tt.reduce"(%a) ({{
  ^bb0(%l: f32, %r: f32):
    %o = arith.maxnumf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }}) {{axis = 0 : i32}} : (tensor<BLOCKxf32>) -> f32
  %ms = "tt.splat"(%m) : (f32) -> tensor<BLOCKxf32>
  %d = arith.subf %a, %ms : tensor<BLOCKxf32>
  %e = math.exp %d : tensor<BLOCKxf32>
  %s = "tt.reduce"(%e) ({{
  ^bb0(%l: f32, %r: f32):
    %o = arith.addf %l, %r : f32
    "tt.reduce.return"(%o) : (f32) -> ()
  }}) {{axis = 0 : i32}} : (tensor<BLOCKxf32>) -> f32
  %ss = "tt.splat"(%s) : (f32) -> tensor<BLOCKxf32>
  %q = arith.divf %e, %ss : tensor<BLOCKxf32>
  "xsmt.descriptor_store"(%y, %q, %c1, %c0, %n) {STORE}, tensor<BLOCKxf32>, i64, i64, i64) -> ()
  return
}}"""


@pytest.mark.parametrize("program", [ELEMENTWISE, SOFTMAX], ids=["elementwise", "softmax"])
def test_code_does_not_grow_with_the_block(program):
    chip = CHIPS["x60"]
    small, large = (len(codegen.assembly(stages(program.replace("BLOCK", str(block)), chip), chip).splitlines()) for block in (1024, 65536))
    assert small > 50
    assert abs(large - small) <= 0.1 * small


@pytest.mark.parametrize("name", ["x60", "a100", "host"])
@pytest.mark.parametrize("program", [ELEMENTWISE, SOFTMAX], ids=["elementwise", "softmax"])
def test_no_library_calls(program, name):
    chip = get_chip(name)
    text = stages(program.replace("BLOCK", "1024"), chip)
    assembly = codegen.assembly(text, chip)
    assert "kernel" in assembly
    called = set(re.findall(r"^\s*(?:callq?|tail|jal|jmp)\s+([\w.]+)", assembly, re.MULTILINE))
    assert {name for name in called if not name.startswith(".L")} <= {"kernel.program", "memcpy"}
    if not chip.is_riscv:
        assert "vscale" not in text


NESTS = """
func.func @f(%p: !llvm.ptr, %n: i64, %context: !llvm.ptr, %scratch: !llvm.ptr) {{
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  scf.for %i = %zero to %n step %one : i64 {{
    {inner}
    %a = llvm.getelementptr %p[%i] : (!llvm.ptr, i64) -> !llvm.ptr, i64
    llvm.store %i, %a : i64, !llvm.ptr
  }}
  {after}
  return
}}
"""
LOOP = """scf.for %j = %zero to %n step %one : i64 {
      %b = llvm.getelementptr %p[%j] : (!llvm.ptr, i64) -> !llvm.ptr, i64
      llvm.store %n, %b : i64, !llvm.ptr
    }"""
WHILE = """scf.while : () -> () {
      %c = llvm.load %p : !llvm.ptr -> i1
      scf.condition(%c)
    } do {
      scf.yield
    }"""
LONG = "llvm.store volatile %n, %p : i64, !llvm.ptr\n" * 300


def entry(text: str) -> str:
    """The line with the attributes of the kernel's function in LLVM IR."""
    group = re.search(r"^define void @f\([^)]*\) (#\d+)", text, re.MULTILINE)
    return next(line for line in text.splitlines() if line.startswith(f"attributes {group[1]} ="))


def lowered(text: str, *attributes: str) -> str:
    with make_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        for attribute in attributes:
            module.operation.attributes[attribute] = ir.UnitAttr.get()
        set_chip(module, CHIPS["x60"])
        registry.lookup("to-llvm")(module)
        return codegen.llvm_ir(module)


@pytest.mark.parametrize(
    ("inner", "after", "simple"),
    [
        ("", "", True),
        ("", LOOP, True),
        ("", WHILE, True),
        (LOOP, "", False),
        (WHILE, "", False),
        (LOOP, LOOP, False),
        ("", LONG, False),
    ],
    ids=["loop", "two loops", "a while loop too", "nested", "a while loop in a loop", "nested and another", "long"],
)
def test_nested_loops_and_long_code_are_optimised_in_full(inner: str, after: str, simple: bool) -> None:
    text = lowered(NESTS.format(inner=inner, after=after))
    assert ('"xsmt-simple"' in entry(text)) == simple


@pytest.mark.parametrize("loops", [100, 300])
def test_of_hundreds_of_loops_few_passes_are_run(loops: int) -> None:
    text = lowered(NESTS.format(inner=LOOP, after=LONG + "\n".join([LOOP] * loops)))
    assert ('"xsmt-simple"' in entry(text)) == (loops == 300)


@pytest.mark.parametrize("loops", [100, 300])
def test_hundreds_of_loops_end_with_their_condition(loops: int) -> None:
    """Each is a block that branches to itself, and names where it is entered first; of fewer loops that is left to LLVM."""
    blocks = re.split(r"\n(?=\d+:)", lowered(NESTS.format(inner=LOOP, after="\n".join([LOOP] * loops))))
    numbered = [(block.partition(":")[0], block) for block in blocks[1:]]
    ends = [(number, block) for number, block in numbered if re.search(rf"br i1 .*label %{number}\b", block)]
    assert len(ends) == (loops + 1 if loops == 300 else 0)
    assert all(re.search(rf"phi i64 \[ [^]]*, %(?!{number} )\d+ \], \[ [^]]*, %{number} \]", block) for number, block in ends)


def test_unrolled_code_compiles_in_time_as_long_as_it_is() -> None:
    """Accesses that may meet, for all that LLVM knows: were each compared with all, four times as many would take 16 times as long."""

    def seconds(accesses: int) -> float:
        copies = "".join(f"  %p{i} = load ptr, ptr %p\n  %v{i} = load i32, ptr %q\n  store i32 %v{i}, ptr %p{i}\n" for i in range(accesses))
        text = f"define void @f(ptr %p, ptr %q) {{\n{copies}  ret void\n}}"

        def once() -> float:
            start = time.process_time()
            codegen.compile_object(text, host_chip())
            return time.process_time() - start

        return min(once() for _ in range(3))

    assert seconds(800) < 8 * seconds(200)


@pytest.mark.parametrize("scheduled", [False, True])
def test_scheduled_code_says_so(scheduled: bool) -> None:
    text = lowered(NESTS.format(inner="", after=""), *([SCHEDULED] if scheduled else []))
    assert ('"xsmt-scheduled"' in entry(text)) == scheduled
