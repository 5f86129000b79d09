"""What `triton-spacemit aot` is asked for: what it refuses, and lists recorded from a program."""

import subprocess
import sys
from pathlib import Path

import pytest
from targets import emulated_board
from triton import knobs

from triton_spacemit.backend.tools import cli
from triton_spacemit.backend.tools.aot import requests
from triton_spacemit.backend.tools.aot.grid import parse
from triton_spacemit.backend.tools.aot.variants import functions_of
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError

PROGRAM = Path(__file__).with_name("program.py")
ADD = (f"{PROGRAM}:add", "--signature", "*fp32, *fp32, *fp32, i32, 256", "--grid", "cdiv(n, 256)")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path):
    with knobs.cache.scope():
        knobs.cache.dir = str(tmp_path / "cache")
        yield


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["triton-spacemit", "aot", *arguments])
    return cli.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a kernel as FILE.py:KERNEL"),
        ((f"{PROGRAM}:add",), "needs --signature and --grid"),
        ((f"{PROGRAM}", *ADD[1:]), "name a kernel as FILE.py:KERNEL"),
        ((f"{PROGRAM}:sub", *ADD[1:]), "no @triton.jit function 'sub'; it has add, "),
        ((ADD[0], "--signature", "*fp32, i32", *ADD[3:]), "the signature has 2 part"),
        ((ADD[0], "--signature", "*fp32:1, *fp32, *fp32, i32, 256", *ADD[3:]), ":1 is for an integer, x is *fp32"),
        ((*ADD[:4], "cdiv(count, 256)"), "names 'count'; the kernel's integers are BLOCK, n"),
        ((*ADD[:4], "n ** 2"), "'n ** 2' is not supported"),
        ((*ADD[:4], "__import__('os')"), "is not supported"),
        ((*ADD[:4], "n, n, n, n"), "has 4 extents"),
        ((*ADD[:4], "n +"), "cannot be read"),
        ((*ADD, "--name", "int"), "'int' is no name for a C function"),
        ((*ADD, "--name", "a b"), "'a b' is no name for a C function"),
        (("missing.toml",), "missing.toml"),
        (("missing.toml", "--grid", "1"), "a list has them"),
        ((*ADD, "--record", "x.py"), "--record takes a program"),
        ((f"{PROGRAM}:tuned", "--signature", "*fp32, *fp32, i32, fp32", "--grid", "1"), "autotune chooses BLOCK: record a run"),
        ((*ADD, "--device", "host"), "--device and --board are for --record"),
        (("--chip", "x60", "--chip", "a100", "--record", "x.py"), "--record runs on one chip"),
        (("--device", "gpu", "--record", "x.py"), "gpu"),
    ],
)
def test_refused(monkeypatch, capsys, tmp_path: Path, arguments: tuple[str, ...], message: str):
    output = tmp_path / "bundle"
    record = arguments.index("--record") if "--record" in arguments else len(arguments)
    assert run(monkeypatch, *arguments[:record], "-o", str(output), *arguments[record:]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_with_something_else_is_left_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    assert run(monkeypatch, *ADD, "--chip", "host", "-o", str(tmp_path)) == 2
    assert "holds something else than a bundle" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_kernel_that_does_not_compile_leaves_the_bundle_as_it_was(monkeypatch, capsys, tmp_path: Path):
    (tmp_path / "broken.py").write_text("import triton\n\n\n@triton.jit\ndef broken(x):\n    missing(x)\n")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("old")
    assert run(monkeypatch, f"{tmp_path}/broken.py:broken", "--signature", "*fp32", "--grid", "1", "-o", str(bundle)) == 1
    assert "does not compile" in capsys.readouterr().err
    assert [path.name for path in bundle.iterdir()] == ["manifest.json"]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("__")) == ["broken.py", "bundle", "cache"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"it must consist of tables \[\[kernel\]\]"),
        ("kernel = 3", r"it must consist of tables \[\[kernel\]\]"),
        ("[[kernel]]\nkernel = 'a.py:a'", "lacks signature, grid"),
        ("[[kernel]]\nkernel = 'a.py:a'\nsignature = 3\ngrid = '1'", "signature = 3 is not known"),
        ("[[kernel]]\nkernle = 'a.py:a'", "kernle = 'a.py:a' is not known"),
        ("[[kernel", "Expected"),
        ("[[kernel]]\nkernel = 'a.py:a'\nsignature = ''\ngrid = '1'\noptions = {num_warps = 8}", "the option num_warps = 8 is not known"),
    ],
)
def test_damaged_lists(tmp_path: Path, text: str, message: str):
    path = tmp_path / "kernels.toml"
    path.write_text(text)
    with pytest.raises(UnknownKernelError, match=message):
        requests.read(path)


def test_requests_with_one_name_differ_in_hints_only(tmp_path: Path):
    path = tmp_path / "kernels.toml"
    table = f"[[kernel]]\nkernel = '{PROGRAM}:add'\nsignature = '*fp32, *fp32, *fp32, i32, BLOCK'\ngrid = 'cdiv(n, 64)'\n"
    path.write_text(table.replace("BLOCK", "64") + table.replace("BLOCK", "128"))
    with pytest.raises(UnknownKernelError, match="two requests for the function 'add' differ in more than hints"):
        functions_of(requests.read(path))


def test_recorded_launches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "kernels.toml"
    assert run(monkeypatch, "-o", str(path), "--record", str(PROGRAM), "100", "320") == 0
    found = requests.read(path)
    assert {(r.place.rpartition(":")[2], r.name, r.signature, r.grid, r.constants) for r in found} == {
        ("add", None, "*fp32:16, *fp32:16, *fp32:16, i32:16", "cdiv(n, BLOCK)", ("BLOCK=64",)),
        ("add", None, "*fp32:16, *fp32:16, *fp32:16, i32", "cdiv(n, BLOCK)", ("BLOCK=64",)),
        ("add", "add_2", "*fp32, *fp32:16, *fp32:16, i32:16", "cdiv(n, BLOCK)", ("BLOCK=32",)),
        ("add", "add_2", "*fp32, *fp32:16, *fp32:16, i32", "cdiv(n, BLOCK)", ("BLOCK=32",)),
        ("product", None, "*fp32:16, *fp32:16, *fp32:16, i32:16, i32, i32:16, i32:1, i32:1, i32:1", "cdiv(m, M)", ("M=16", "N=16", "K=16")),
        ("product", None, "*fp32:16, *fp32:16, *fp32:16, i32, i32, i32:16, i32:1, i32:1, i32:1", "cdiv(m, M)", ("M=16", "N=16", "K=16")),
    }
    functions = functions_of(found)
    assert {function.name: len(function.specialisations) for function in functions} == {"add": 3, "add_2": 3, "product": 3}


def test_of_what_autotune_tries_only_the_chosen_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "kernels.toml"
    assert run(monkeypatch, "-o", str(path), "--device", "host", "--record", str(PROGRAM), "tuned") == 0
    found = requests.read(path)
    assert {(r.name, r.signature, r.grid, r.constants, r.options) for r in found} == {
        (None, "*fp32:16, *fp32:16, i32, fp32", "cdiv(n, BLOCK)", ("BLOCK=64",), ()),
        ("tuned_2", "*fp32:16, *fp32:16, i32, fp32", "cdiv(n, BLOCK)", ("BLOCK=128",), ()),
        ("tuned_3", "*fp32:16, *fp32:16, i32, fp32", "cdiv(n, BLOCK)", ("BLOCK=64",), (("enable_fp_fusion", False),)),
    }
    assert [(function.name, function.options) for function in functions_of(found)] == [
        ("tuned", {}),
        ("tuned_2", {}),
        ("tuned_3", {"enable_fp_fusion": False}),
    ]


@pytest.mark.qemu
def test_recording_on_a_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "kernels.toml"
    assert run(monkeypatch, "-o", str(path), "--board", emulated_board("x60"), "--record", str(PROGRAM), "100") == 0
    assert {(r.place.rpartition(":")[2], r.grid) for r in requests.read(path)} >= {("add", "cdiv(n, BLOCK)"), ("product", "cdiv(m, M)")}
    assert run(monkeypatch, "-o", str(path), "--board", "tcp:k1", "--record", str(PROGRAM), "100") == 2


def test_a_program_that_launches_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert run(monkeypatch, "-o", str(tmp_path / "kernels.toml"), "--record", str(PROGRAM)) == 2
    assert "launches no kernel" in capsys.readouterr().err
    assert run(monkeypatch, "-o", str(tmp_path / "kernels.toml"), "--record", str(PROGRAM), "fails") == 2
    assert "program.py ended with 3" in capsys.readouterr().err
    assert not (tmp_path / "kernels.toml").exists()


@pytest.mark.parametrize(
    ("text", "values", "extents"),
    [
        ("cdiv(n, 64)", {"n": 65}, (2,)),
        ("cdiv(-n, 64), -7 // 2, -7 % 3", {"n": 65}, (-1, -4, 2)),
        ("max(min(n, 3), 1) * BLOCK", {"n": 0}, (16,)),
    ],
)
def test_grids(text: str, values: dict[str, int], extents: tuple[int, ...]):
    assert parse(text, frozenset(values), {"BLOCK": 16, "KIND": "x"}).evaluate(values) == extents


def test_tritons_own_tool_names_this_one():
    signature = ("--signature", "*fp32, *fp32, *fp32, i32, 256", "--grid", "1,1,1", "--kernel-name", "add")
    for target in ((), ("--target", "cpu:x60:32")):
        command = [sys.executable, "-m", "triton.tools.compile", str(PROGRAM), *signature, *target]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1].endswith("for this backend there is `triton-spacemit aot`")
