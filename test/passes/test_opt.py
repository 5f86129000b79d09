"""What the tool promises beyond its output: what it imports, and that no input makes it crash."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
tt.func public @kernel(%x: !tt.ptr<f32>, %n: i32, %c: i1) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %step = arith.constant dense<16> : tensor<16xi32>
  %i = tt.make_range {end = 16 : i32, start = 0 : i32} : tensor<16xi32>
  %s = tt.splat %n : i32 -> tensor<16xi32>
  %mask = arith.cmpi slt, %i, %s : tensor<16xi32>
  %b = tt.splat %x : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
  %p = tt.addptr %b, %i : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
  %r = scf.for %k = %c0 to %n step %c1 iter_args(%q = %p) -> (tensor<16x!tt.ptr<f32>>) : i32 {
    %v = tt.load %q, %mask : tensor<16x!tt.ptr<f32>>
    tt.store %q, %v : tensor<16x!tt.ptr<f32>>
    %t = tt.addptr %q, %step : tensor<16x!tt.ptr<f32>>, tensor<16xi32>
    scf.yield %t : tensor<16x!tt.ptr<f32>>
  }
  %w = tt.load %x, %c : !tt.ptr<f32>
  tt.store %x, %w : !tt.ptr<f32>
  tt.return
}
"""


def opt(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triton_spacemit.passes.opt", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


HEAVY = {"torch_mlir", "numpy", "triton", "torch", "llvmlite"}  # as a rule half of the time that the tool takes, or more


def imported(*arguments: str) -> set[str]:
    """The modules that a run of the tool has imported at its end."""
    code = f"""
import sys
from triton_spacemit.passes import isolation, opt
isolation.each = lambda function, items: (function(item, lambda at: None) for item in items)  # in this process, to see what it imports
try:
    opt.main({list(arguments)!r})
except SystemExit:
    pass
print("\\n" + " ".join(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], input=MLIR, capture_output=True, text=True, check=True)
    return set(run.stdout.rpartition("\n\n")[2].split())


MLIR = """
func.func @f(%x: !llvm.ptr, %y: f32) {
  llvm.store %y, %x : f32, !llvm.ptr
  return
}
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--list-passes"], ["--help-pass", "loops"], ["--until=nowhere"]])
def test_help_needs_no_compiler(arguments: list[str]) -> None:
    modules = imported(*arguments)
    assert not HEAVY & modules
    assert len([name for name in modules if name.startswith("triton_spacemit.")]) < 14


def test_a_run_imports_its_own_passes_alone() -> None:
    modules = imported("--structure")
    assert {"torch_mlir", "triton_spacemit.passes.structure"} <= modules
    assert not {"triton", "torch", "llvmlite", "triton_spacemit.passes.loops", "triton_spacemit.passes.expand_math"} & modules


def test_without_code_generation_llvm_is_not_imported() -> None:
    assert not {"triton", "torch", "llvmlite"} & imported("--chip=x60", "--until=elementwise")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_input_is_refused_in_words(seed: int) -> None:
    generic = opt(KERNEL, "--mlir-print-op-generic")
    assert generic.returncode == 0, generic.stderr
    source = random.Random(seed)
    parts = []
    for _ in range(40):
        words = generic.stdout.split(" ")
        for _ in range(source.randint(1, 3)):
            i, j = source.randrange(len(words)), source.randrange(len(words))
            word = words[i]
            words[i] = source.choice([words[j], "", word.replace("16", "8"), word.replace("f32", "i1"), word.replace("tt.", "t.")])
        parts.append(" ".join(words))
    result = opt("\n// -----\n".join(parts), "--split-input-file", "--until=structure")
    assert result.returncode in (0, 1), result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    assert result.returncode == 0 or ": error: " in result.stderr


FUNCTION = "func.func @f(%x: i32) -> i32 {\n  return %x : i32\n}\n"


@pytest.mark.parametrize(
    ("attribute", "what"),
    [
        ("xsmt.chip = 5 : i32", "xsmt.chip must be a string"),
        ("xsmt.slots = 3 : i32", "xsmt.slots must be a list of strings"),
        ('xsmt.slots = [vector<4xf32>, "i32"]', "xsmt.slots must be a list of strings"),
        ("xsmt.sanitize, xsmt.slots = [1]", "xsmt.slots must be a list of strings"),
        ('xsmt.fp_fusion = "yes"', "xsmt.fp_fusion must be true or false"),
        ("xsmt.allow_ime = 7 : i8", "xsmt.allow_ime must be true or false"),
    ],
)
def test_what_a_module_says_of_itself_is_checked(attribute: str, what: str) -> None:
    refused = opt(f"module attributes {{{attribute}}} {{ func.func @f(%x: i32) {{ return }} }}", "--until=llvm")
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"error: the module's attribute {what}\n")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target, link = tmp_path / "out.mlir", tmp_path / "link.mlir"
    link.symlink_to(target)
    assert opt(FUNCTION, "-o", str(link)).returncode == 0
    whole = target.read_text()
    assert "func.func @f" in whole
    target.chmod(0o640)
    assert opt(FUNCTION, "-o", str(target)).returncode == 0
    assert target.stat().st_mode & 0o777 == 0o640
    for refused in ("func.func @f(", FUNCTION + "// -----\nfunc.func @g("):
        assert opt(refused, "--split-input-file", "-o", str(target)).returncode == 1
        assert target.read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.mlir", "out.mlir"]
    assert opt(FUNCTION, "-o", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()


def test_a_file_that_cannot_be_written_is_a_diagnostic(tmp_path: Path) -> None:
    result = opt(FUNCTION, "-o", str(tmp_path / "no" / "out.mlir"))
    assert (result.returncode, result.stderr) == (1, f"{tmp_path}/no/out.mlir: error: No such file or directory\n")


@pytest.mark.parametrize("arguments", ["--list-passes", "--help-pass loops", "--canonicalize"])
def test_a_reader_that_stops_is_no_error(tmp_path: Path, arguments: str) -> None:
    (tmp_path / "many.mlir").write_text("".join(FUNCTION.replace("@f", f"@f{i}") for i in range(5000)))
    command = f"{sys.executable} -m triton_spacemit.passes.opt {arguments} {tmp_path}/many.mlir | true"
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stderr == ""
