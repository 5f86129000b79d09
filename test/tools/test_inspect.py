"""`triton-spacemit inspect`: places and figures of every stage, what it refuses; test_inspect_page.py looks at the page itself."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from triton_spacemit.backend import set_device
from triton_spacemit.backend.estimate import estimate
from triton_spacemit.backend.knobs import knobs as settings
from triton_spacemit.backend.tools import cli, mca
from triton_spacemit.backend.tools.bench import load_function
from triton_spacemit.backend.tools.inspector.kernels import Kernel, find_kernel
from triton_spacemit.backend.tools.inspector.locations import read_llvm, read_mlir
from triton_spacemit.backend.tools.inspector.machine_code import Function, read_assembly
from triton_spacemit.backend.tools.inspector.mix import kind, mix
from triton_spacemit.backend.tools.inspector.page import describe
from triton_spacemit.backend.tools.inspector.stages import Stages, collect
from triton_spacemit.dialect.chips import CHIPS, get_chip
from triton_spacemit.passes import codegen

SIGNATURE = "*fp32:16, *fp32:16, i32, 1024"


def line_of(program: Path, text: str) -> int:
    return next(number for number, line in enumerate(program.read_text().splitlines(), 1) if text in line)


@pytest.fixture(scope="module", params=["x60", "a100", "host"])
def inspected(request: pytest.FixtureRequest, program: Path) -> tuple[Kernel, Stages]:
    kernel = find_kernel(f"{program}:softmax", SIGNATURE, (), request.param)
    return kernel, collect(kernel)


def test_places_of_mlir() -> None:
    text = read_mlir(
        """#loc = loc("/a/k.py":1:1)
#loc1 = loc("/a/k.py":7:5)
#loc2 = loc("x"(#loc1))
#loc3 = loc(callsite("/lib/s.py":3:2 at #loc2))
#loc4 = loc(fused<"k(]">["y", #loc3])
module {
  func.func @k(%arg0: i32 loc("n"(#loc))) {
    scf.for %i = %a to %b step %c {
      %s = "a.b"() {t = "loc(#loc1)"} : () -> i32 loc(#loc3)
    } loc(#loc4)
    scf.if %c {
      a.c loc(unknown)
    } else {
      a.d loc(callsite(unknown at "/a/k.py":9:9 to :12))
    } loc(#loc2)
    return
  } loc(#loc)
} loc(#loc)
"""
    )
    assert [line.strip() for line in text.lines][1:4] == [
        "func.func @k(%arg0: i32) {",
        "scf.for %i = %a to %b step %c {",
        '%s = "a.b"() {t = "loc(#loc1)"} : () -> i32',
    ]
    first, seventh = ("/a/k.py", 1, 1), ("/a/k.py", 7, 5)
    inlined = (("/lib/s.py", 3, 2), seventh)
    other = (("/a/k.py", 9, 9),)
    expected = [(first,), (first,), inlined, inlined, inlined, (seventh,), (), (seventh,), other, (seventh,), (), (first,), (first,)]
    assert text.places == expected


def test_names_of_files_are_unescaped() -> None:
    (place,) = read_mlir('a.b loc("/a/\\C3\\A9 \\"x\\\\.py":2:3)').places
    assert place == (('/a/é "x\\.py', 2, 3),)
    debug = read_llvm('!1 = !DIFile(filename: "\\C3\\A9 \\22x\\5C.py", directory: "/a")\n!2 = !DILocation(line: 2, column: 3, scope: !3)\n'
                      '!3 = distinct !DISubprogram(name: "k", file: !1)\n')[1]  # fmt: skip
    assert list(debug.places()) == [place]


def test_places_of_llvm() -> None:
    text, debug = read_llvm(
        """define void @k(ptr %0) !dbg !3 {
  %2 = load i32, ptr %0, align 4, !dbg !6, !noalias !9
  ret void, !dbg !8
}

!1 = !DIFile(filename: "k.py", directory: "/a")
!3 = distinct !DISubprogram(name: "k", scope: !1, file: !1, line: 4, type: !4)
!5 = distinct !DILexicalBlockFile(scope: !3, file: !7, discriminator: 0)
!6 = !DILocation(line: 3, column: 2, scope: !5, inlinedAt: !8)
!7 = !DIFile(filename: "s.py", directory: "/lib")
!8 = distinct !DILocation(line: 9, column: 1, scope: !3)
"""
    )
    assert text.lines == ["define void @k(ptr %0) {", "  %2 = load i32, ptr %0, align 4, !noalias !9", "  ret void", "}"]
    call = ("/a/k.py", 9, 1)
    assert text.places == [(), (("/lib/s.py", 3, 2), call), (call,), ()]
    assert set(debug.places()) == {(("/lib/s.py", 3, 2), call), (call,)}


ASSEMBLY = """
	.text
k:                                      # @k
.Lfunc_begin0:
# %bb.0:
	vsetivli	zero, 8, e32, m2, ta, ma
	sd	s0, 8(sp)                       # 8-byte Folded Spill
	beqz	a0, .LBB0_4
.LBB0_1:                                # =>This Loop Header: Depth=1
                                        #     Child Loop BB0_2 Depth 2
	vle16.v	v8, (a1)
.LBB0_2:                                #   Parent Loop BB0_1 Depth=1
                                        # =>  This Inner Loop Header: Depth=2
	vfwmacc.vf	v12, fa0, v8
	vl1re8.v	v20, (sp)                       # vscale x 8-byte Folded Reload
	bnez	a2, .LBB0_2
# %bb.3:                                #   in Loop: Header=BB0_1 Depth=1
	vsetvli	zero, a1, e32, m1, ta, ma
	vfredusum.vs	v1, v2, v3, v0.t
	flw	fa1, 0(a0)
	j	.LBB0_1
.LBB0_4:
	fadd.s	fa0, fa1, fa1
	ret
	.section	.debug_line,"",@progbits
	.byte	1
"""


def test_loops_and_registers_of_assembly() -> None:
    chip = get_chip("x60")
    text, (function,) = read_assembly(ASSEMBLY, read_llvm("")[1], chip)
    assert text.lines[:2] == ["k:", "    vsetivli     zero, 8, e32, m2, ta, ma"]
    assert [line for line in text.lines if "byte" in line] == [
        "    sd           s0, 8(sp)    # 8-byte Folded Spill",
        "    vl1re8.v     v20, (sp)    # vscale x 8-byte Folded Reload",
    ]
    assert [(loop.header, loop.depth, loop.parent) for loop in function.loops.values()] == [(".LBB0_1", 1, ""), (".LBB0_2", 2, ".LBB0_1")]
    inner, outer, whole = (mix(function.instructions(loop), chip) for loop in (".LBB0_2", ".LBB0_1", None))
    # m2 twice for widening; one whole register; a branch.
    assert (inner.instructions, inner.weighted) == (3, 4 + 1 + 1)
    assert inner.by_kind == {"vector float": 4.0, "vector memory": 1.0, "branch": 1.0}
    assert inner.vector_registers == 2 + 4 + 1  # v8 and v9, v12 to v15, v20
    assert (inner.spills, inner.reloads, whole.spills) == (0, 1, 1)
    # Half of m2 for 16-bit elements where e32 is set: v8; and at m1 the mask and three registers.
    assert (outer.instructions, outer.vector_registers) == (8, inner.vector_registers + 4)
    assert (whole.instructions, whole.by_kind["scalar memory"], whole.by_kind["scalar float"]) == (13, 2.0, 1.0)
    assert [loop.header for loop in function.nest()] == [".LBB0_1", ".LBB0_2"]
    assert not function.is_innermost(".LBB0_1")
    assert function.is_innermost(".LBB0_2")


@pytest.mark.parametrize(
    ("chip", "code", "expected"),
    [
        ("x60", "vsuxei64.v v8, (a0), v16", "vector memory"),
        ("x60", "vlseg2e32.v v8, (a0)", "vector memory"),
        ("x60", "vsll.vi v8, v8, 1", "vector integer"),
        ("x60", "vmflt.vf v0, v8, fa0", "vector float"),
        ("x60", "bset a0, a0, a1", "scalar integer"),
        ("x60", "amoadd.w a0, a1, (a2)", "scalar memory"),
        ("x60", "jalr a0", "branch"),
        ("x60", "fence rw, rw", "scalar integer"),
        ("host", "vmovups (%rdi), %zmm0", "vector memory"),
        ("host", "vfmadd231ps (%rdi), %zmm1, %zmm0", "vector float"),
        ("host", "vaddss %xmm0, %xmm1, %xmm2", "scalar float"),
        ("host", "vmovss (%rdi), %xmm0", "scalar memory"),
        ("host", "vbroadcastss (%rdi), %zmm0", "vector memory"),
        ("host", "vpaddd %ymm0, %ymm1, %ymm2", "vector integer"),
        ("host", "leaq 8(%rdi), %rax", "scalar integer"),
        ("host", "movq 8(%rdi), %rax", "scalar memory"),
        ("host", "jne .LBB0_2", "branch"),
    ],
)
def test_kinds_of_instructions(chip: str, code: str, expected: str) -> None:
    target = get_chip(chip)
    _, (function,) = read_assembly(f"\t.text\nk:\n# %bb.0:\n\t{code}\n", read_llvm("")[1], target)
    (instruction,) = function.instructions()
    assert kind(instruction, target) == expected


def test_comments_change_no_code(inspected: tuple[Kernel, Stages]) -> None:
    """What is shown are the very instructions of the object's assembly, none missing and none more."""
    kernel, stages = inspected
    chip, text = get_chip(kernel.chip), kernel.llir
    plain = codegen.assembly(text, chip)
    code = plain[plain.index(f"\n{kernel.name}:") : plain.index("\n.Lfunc_end0:")]
    expected = [line.split() for line in code.splitlines() if re.match(r"\t[a-z]", line)]
    shown = [line.partition("    #")[0].split() for line in stages.panes[-1].text.lines if re.match(r" +[a-z]", line)]
    assert [words for words in shown if words in expected] == expected
    (function,) = stages.functions
    assert len(function.instructions()) == len(expected)
    assert mix(function.instructions(), chip).instructions == len(expected)


def test_every_stage_leads_back_to_the_source(inspected: tuple[Kernel, Stages], program: Path) -> None:
    kernel, stages = inspected
    assert stages.notes == []
    assert {"xsmt", "loops", "llvm", "opt", "asm"} < {pane.name for pane in stages.panes}
    wanted = {line_of(program, text) for text in ("tl.load(", "tl.exp(", "tl.store(")} | {line_of(program, "return x * 2")}
    for pane in stages.panes:
        lines = {line for place in pane.text.places for file, line, _ in place if file == str(program)}
        assert wanted <= lines, pane.name
        # Outermost is always the kernel's own line; the call of the helper is around the helper's line.
        outer = {place[-1] for place in pane.text.places if place}
        assert {file for file, _, _ in outer} == {str(program)}
        helper = [place for place in pane.text.places if place and place[0][:2] == (str(program), line_of(program, "return x * 2"))]
        assert {place[1][1] for place in helper} == {line_of(program, "e = scaled(e)")}, pane.name
    asm = stages.panes[-1].text
    instructions = [i for i, line in enumerate(asm.lines) if re.match(r" +[a-z]", line)]
    assert sum(bool(asm.places[i]) for i in instructions) > 0.8 * len(instructions)
    loads = [i for i in instructions if re.search(r"vle32.v +v\d+, \(|vmovups.*\(.*, %|vbroadcast", asm.lines[i])]
    assert line_of(program, "tl.load(") in {asm.places[i][0][1] for i in loads if asm.places[i]}


def test_the_tiles_of_a_product_lead_to_its_line(program: Path) -> None:
    kernel = find_kernel(f"{program}:product", "*fp32:16, *fp32:16, *fp32:16, i32", ["BLOCK=32"], "x60")
    assert kernel.constants == {"BLOCK": 32}
    stages = collect(kernel)
    (tile,) = stages.tiles
    assert tile.startswith("product of 32 x 32 and 32 x 32: llvm.riscv.vfmacc of f32, ")
    assert describe(kernel, stages, None)["launch"]["Tiles"] == tile
    text = stages.panes[-1].text
    products = {place[-1][:2] for line, place in zip(text.lines, text.places, strict=True) if "vfmacc.vf" in line}
    assert products == {(str(program), line_of(program, "tl.dot("))}


def test_figures(inspected: tuple[Kernel, Stages]) -> None:
    kernel, stages = inspected
    data = describe(kernel, stages, None)
    function, *loops = data["functions"]
    assert function["name"] == "softmax"
    assert len(loops) >= 3  # the maximum, the sum, the store
    assert all(row["depth"] == 1 and row["innermost"] and row["first"] <= row["last"] for row in loops)
    assert sum(row["instructions"] for row in loops) < function["instructions"]
    assert function["weighted"] == pytest.approx(sum(function["by_kind"].values()))
    assert function["vector_registers"] <= get_chip(kernel.chip).vector_registers
    assert sum("llvm-mca" in note for note in data["notes"]) == 1
    assert data["launch"]["Arguments"].splitlines()[2] == "n: i32"
    assert data["launch"]["Constants"] == "BLOCK = 1024"
    assert all(ms > 0 for ms in data["times"].values())
    assert {"frontend", "ttir", "structure", "loops", "object"} < set(data["times"])
    assert json.loads(json.dumps(data))["source"][0][1:] == [0, str(data["files"][data["source"][0][0]])]


def test_an_older_kernel_is_said_to_be_one(inspected: tuple[Kernel, Stages]) -> None:
    kernel, _ = inspected
    changed = Kernel(**{**vars(kernel), "llir": kernel.llir.replace("align 4", "align 2")})
    assert "is not what today's compiler makes" in collect(changed).notes[0]


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["triton-spacemit", "inspect", *arguments])
    code = cli.main()
    return code, capsys.readouterr().err


def test_kernels_in_the_cache(
    inspected: tuple[Kernel, Stages], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, _ = inspected
    metadata = kernel.folder / f"{kernel.name}.json"
    for name in ("softmax", kernel.metadata["hash"][:12], kernel.folder.name[:10], str(kernel.folder), str(metadata)):
        found = find_kernel(name, None, (), kernel.chip)
        assert (found.folder, found.chip, found.xsmt) == (kernel.folder, kernel.chip, kernel.xsmt)
    output = tmp_path / "page.html"
    assert run(capsys, monkeypatch, str(kernel.folder), "-o", str(output))[0] == 0
    page = output.read_text()
    assert f"<title>softmax · {kernel.chip}</title>" in page
    # Nothing is loaded from elsewhere.
    shell = re.sub(r'<script id="data".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import|fetch\(", shell)


_LAUNCHES = """
from pathlib import Path

import torch

from triton_spacemit.backend.tools.kernel_files import load

softmax = load(Path(__file__).with_name("program.py")).softmax  # there are other modules of that name
x, y = torch.randn(4, 1024), torch.empty(4, 1024)


def run():
    softmax[(4,)](x, y, 1024, BLOCK=1024)


def idle():
    pass
"""


@pytest.fixture
def launches(program: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(program.parent))
    path = program.parent / "launches_to_inspect.py"
    path.write_text(_LAUNCHES)
    with settings.scope():
        yield path


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_estimates_of_launches(
    chip: str, launches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "page.html"
    assert run(capsys, monkeypatch, "softmax", "--run", f"{launches}:run", "--chip", chip, "-o", str(output))[0] == 0
    (data,) = re.findall(r'<script id="data"[^>]*>(.*?)</script>', output.read_text(), re.DOTALL)
    page = json.loads(data)
    assert page["chip"] == chip
    cold, warm = page["launch"]["Estimated cycles"].splitlines()
    with settings.scope():
        set_device("qemu", chip)
        expected = estimate(load_function(f"{launches}:run"))
    assert cold.startswith(f"with empty caches: {expected.cycles:,.0f} of one core (")
    assert cold.endswith(f", {expected.instructions:,} instructions")
    assert f", {expected.memory_bytes:,} to and from memory)" in cold
    assert expected.memory_bytes >= 4 * 4096  # of each element that is read
    assert warm.startswith("once more: ")
    cycles = [float(line.split(": ")[1].split()[0].replace(",", "")) for line in (cold, warm)]
    assert cycles[1] < cycles[0]


@pytest.mark.parametrize(
    ("place", "chip", "message"),
    [
        ("{file}:none", "x60", "launches_to_inspect.py has no function 'none'"),
        ("none.py:run", "x60", "'none.py:run' must be FILE:FUNCTION with the path of a Python file"),
        ("{file}:idle", "x60", "launches_to_inspect.py:idle launches no kernel"),
        ("{file}:run", "x100", "nothing is known of the time of instructions on x100"),
    ],
)
def test_refused_launches(
    place: str, chip: str, message: str, launches: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run(capsys, monkeypatch, "softmax", "--run", place.format(file=launches), "--chip", chip)
    assert code == 2
    assert message in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_kernel"], "no kernel with the name or hash 'no_such_kernel' in Triton's cache"),
        (["{folder}"], "is no entry of Triton's cache with a kernel of this backend"),
        (["{file}"], "say which kernel of the file"),
        (["{folder}/none.py:k"], "none.py: no such file"),
        (["{file}:sofmax"], "has no @triton.jit function 'sofmax'; it has scaled, softmax, product, broken"),
        (["{file}:softmax"], "the signature has 0 part(s), but softmax needs 4: x_ptr, out_ptr, n, BLOCK"),
        (["{file}:softmax", "--signature", "*fp32, *fp32"], "the signature has 2 part(s), but softmax needs 4"),
        (["{file}:softmax", "--signature", "*fp32, *fp32, int, 64"], "'int' is no type (*TYPE, i1"),
        (["{file}:softmax", "--signature", "*fp32:8, *fp32, i32, 64"], "'*fp32:8' for x_ptr: a hint is 16 (divisible by it) or 1"),
        (["{file}:softmax", "--signature", "*fp32, *fp32, i32, i32"], "BLOCK is a constexpr: give a value, not a type"),
        (["{file}:softmax", "--signature", "*fp32, *fp32, i32", "--constexpr", "BLOK=64"], "BLOK=64: give NAME=VALUE with one of"),
        (["softmax", "--signature", "*fp32"], "--signature and --constexpr are for FILE.py:KERNEL"),
        (["softmax", "--mca", "{folder}/no-mca"], "no-mca is no llvm-mca; LLVM 22 is the first that models the X60"),
        (["softmax", "--mca", "{old}"], "old-mca is of LLVM 14; LLVM 22 is the first that models the X60"),
        (["{bad}:k"], "bad.py cannot be imported: ZeroDivisionError: division by zero"),
        (["{file}:softmax", "--signature", "*fp32, *fp32, i32, 64", "-o", "{folder}/none/page.html"], "No such file or directory"),
    ],
)
def test_what_is_refused(
    arguments: list[str], message: str, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    old = tmp_path / "old-mca"
    old.write_text("#!/bin/sh\necho 'Debian LLVM version 14.0.6'\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    names = {"file": program, "folder": tmp_path, "old": old, "bad": tmp_path / "bad.py"}
    monkeypatch.chdir(tmp_path)
    code, said = run(capsys, monkeypatch, *(argument.format(**names) for argument in arguments))
    assert code == 2
    assert said.startswith("triton-spacemit inspect: ")
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.html"))


def test_a_kernel_that_does_not_compile(program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(capsys, monkeypatch, f"{program}:broken", "--signature", "*fp32", "--constexpr", "BLOCK=64")
    assert code == 1
    assert "does not compile" in said
    assert "missing" in said


def test_cycles_of_loops(inspected: tuple[Kernel, Stages]) -> None:
    """With LLVM's own llvm-mca where there is one; else the page says that there is none."""
    kernel, stages = inspected
    data = describe(kernel, stages, mca.find())
    loops = [row for row in data["functions"] if row.get("innermost")]
    if mca.find() is None:
        assert "no llvm-mca" in " ".join(data["notes"])
    elif kernel.chip == "a100":
        assert "No cycle estimates: LLVM has no model of the a100's pipeline." in data["notes"]
    else:
        assert [note for note in data["notes"] if "cycle" in note] == []
        # Each instruction takes a slot of a core that begins two, or six, a cycle; and none takes a hundred.
        assert all(row["instructions"] / 6 <= row["cycles"] < 100 * row["instructions"] for row in loops)


def test_cycles_of_a_command(tmp_path: Path) -> None:
    """The regions are matched to the loops that were asked for, and a failure is told."""
    command = tmp_path / "llvm-mca"
    answer = "[0] Code Region - 1\n\nIterations: 200\nTotal Cycles:      600\n\n[1] Code Region - 0\n\nTotal Cycles:      200\n"
    (tmp_path / "answer").write_text(answer)
    command.write_text(f"#!/bin/sh\ngrep -q -e bad -e smt && {{ echo 'error: bad' >&2; exit 1; }}\ncat {tmp_path}/answer\n")
    command.chmod(0o755)
    assert mca.cycles([["vadd.vv v1, v2, v3"], ["nop"]], mca=[str(command)]) == [1.0, 3.0]
    assert mca.cycles([["smt.vmadotsu v2, v4, v6"], ["nop"]], mca=[str(command)]) == [1.0, 3.0]  # of which it knows no time
    with pytest.raises(Exception, match="llvm-mca failed: error: bad"):
        mca.cycles([["bad"]], mca=[str(command)])
    assert mca.hints(16, 0.5) == ["# LLVM-MCA-RISCV-LMUL MF2", "# LLVM-MCA-RISCV-SEW E16"]
    assert [chip for chip in CHIPS.values() if chip.scheduling_model] == [CHIPS["x60"], CHIPS["a60"]]


def test_loops_are_listed_with_those_in_them() -> None:
    """Whatever their order in the code."""
    inner = "#   Parent Loop BB0_9 Depth=1\n\t\t# =>  This Inner Loop Header: Depth=2"
    blocks = [("2", inner), ("5", "# =>This Inner Loop Header: Depth=1"), ("9", "# =>This Loop Header: Depth=1"), ("7", inner)]
    text = "".join(f".LBB0_{number}: {comment}\n\tnop\n" for number, comment in blocks)
    _, (function,) = read_assembly(f"\t.text\nk:\n# %bb.0:\n{text}\tret\n", read_llvm("")[1], get_chip("x60"))
    assert [(loop.header[-1], loop.depth) for loop in function.nest()] == [("5", 1), ("9", 1), ("2", 2), ("7", 2)]


def test_words_of_matrix_instructions_have_their_names() -> None:
    words = ".word 0xe251382b", ".insn 4, 0xE704BE2B  # a comment", ".insn 0xc22fb02b", ".4byte 0x9e62412b"
    body = "".join(f"\t{word}\n" for word in words)
    assembly = f"\t.text\nk:\n# %bb.0:\n\tvsetvli\tt0, zero, e8, m1, ta, ma\n{body}"
    text, (function,) = read_assembly(assembly, read_llvm("")[1], get_chip("a100"))
    assert text.lines[2:] == [
        "    smt.vmadot   v16, v2, v5    # 0xe251382b",
        "    smt.vmadot3  v28, v8, v16    # 0xe704be2b",
        "    smt.vmadot   v0, v31, v2, i4    # 0xc22fb02b",
        "    .word        0x9e62412b",
    ]
    found = mix(function.instructions(), get_chip("a100"))
    assert found.by_kind == {"vector setup": 1.0, "vector integer": 3.0, "scalar integer": 1.0}
    assert found.vector_registers == len({0, 1, 2, 5, 8, 9, 16, 17, 28, 29, 31})


def test_functions_of_a_program_with_threads() -> None:
    _, functions = read_assembly("\t.text\na:\n# %bb.0:\n\tret\nb:\n# %bb.0:\n\tret\n", read_llvm("")[1], get_chip("x60"))
    assert [(type(f), f.name, len(f.instructions())) for f in functions] == [(Function, "a", 1), (Function, "b", 1)]
