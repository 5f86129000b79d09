"""Tables of tuned blocks: what wins, what is not read, what is corrected; and the command that fills them."""

import json
import warnings
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import torch

from triton_spacemit.backend.tools import cli
from triton_spacemit.dialect.chips import CHIPS, get_chip
from triton_spacemit.ops.products.blocks import choose, heuristic
from triton_spacemit.ops.tuning import command, problems, tables
from triton_spacemit.ops.tuning.legal import LEGAL_CONFIGS, legal_tile, pre_hook
from triton_spacemit.ops.tuning.tables import SHIPPED, TunedConfigLoader, loader, shape_class, size_class

CONFIG = {"PATH": "SPLIT_K", "BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 16, "PART_M": 1, "PART_N": 1}


@pytest.fixture
def files(tmp_path):
    """Makes a loader of two files."""

    def make(shipped: object = None, own: object = None) -> TunedConfigLoader:
        for name, content in (("shipped.json", shipped), ("own.json", own)):
            if content is not None:
                (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
                (tmp_path / name).chmod(0o600)
        return TunedConfigLoader("host", tmp_path / "shipped.json", tmp_path / "own.json")

    return make


def test_this_users_table_comes_first(files):
    made = files({"mm": {"a": {"BLOCK_M": 1}, "b": {"BLOCK_M": 2}}}, {"mm": {"a": {"BLOCK_M": 3}}})
    assert [made.find("mm", name) for name in "abc"] == [{"BLOCK_M": 3}, {"BLOCK_M": 2}, None]
    assert made.find("bmm", "a") is None


def test_what_is_added_counts_and_is_kept(files, tmp_path):
    made = files({"mm": {"a": {"BLOCK_M": 1}}}, {"bmm": {"a": {"BLOCK_M": 5}}})
    made.add("mm", "a", {"BLOCK_M": 9})
    assert made.find("mm", "a") == {"BLOCK_M": 9}
    assert made.save() == tmp_path / "own.json"
    assert json.loads((tmp_path / "own.json").read_text()) == {"bmm": {"a": {"BLOCK_M": 5}}, "mm": {"a": {"BLOCK_M": 9}}}
    assert files().find("mm", "a") == {"BLOCK_M": 9}
    made.save(tmp_path / "other.json")  # of the package: without what this user's file has
    assert json.loads((tmp_path / "other.json").read_text()) == {"mm": {"a": {"BLOCK_M": 9}}}


def test_a_trial_leaves_nothing(files):
    made = files({"mm": {"a": {"BLOCK_M": 1}}})
    during = []

    def interrupted() -> None:
        with made.trial("mm", "a", {"BLOCK_M": 7}):
            during.append(made.find("mm", "a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert during == [{"BLOCK_M": 7}]
    assert made.find("mm", "a") == {"BLOCK_M": 1}


@pytest.mark.parametrize("content", ["{", "[1]", '{"mm": 3}', '{"mm": {"a": [1]}}'])
def test_files_that_are_no_tables_are_left_alone(files, content):
    with pytest.warns(RuntimeWarning, match="own.json are not used"):
        made = files({"mm": {"a": {"BLOCK_M": 1}}}, content)
    assert made.find("mm", "a") == {"BLOCK_M": 1}


def test_a_file_that_others_may_write_to_is_not_trusted(files, tmp_path):
    files(own={"mm": {"a": {"BLOCK_M": 1}}})
    (tmp_path / "own.json").chmod(0o666)
    with pytest.warns(RuntimeWarning, match="own.json are not used: .* written by other users"):
        made = files()
    assert made.find("mm", "a") is None


def test_classes_of_shapes():
    assert [size_class(size) for size in (0, 1, 2, 3, 64, 65, 5000)] == [1, 1, 2, 4, 64, 128, 4096]
    assert shape_class("float32", {"m": 100, "k": 9}, 2, "nt") == "float32 nt m128 k16, 2 threads"
    assert shape_class("float32", {"m": 1}, 1) == "float32 m1, 1 thread"


def test_illegal_micro_tiles_are_corrected_and_named():
    illegal = {**CONFIG, "MICRO_M": 4, "MICRO_N": 16, "MICRO_K": 8}
    message = r"mm of float16 on x60 \(0x503C\): the micro-tile 4 x 16 x 8 is not legal; 16 x 32 x 8 is used"
    with pytest.warns(RuntimeWarning, match=message):
        corrected = pre_hook(illegal, get_chip("x60"), "mm", "float16")
    assert {**CONFIG, "MICRO_M": 16, "MICRO_N": 32, "MICRO_K": 8} == corrected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pre_hook(corrected, get_chip("x60"), "mm", "float16") == corrected
        assert pre_hook(CONFIG, get_chip("x60"), "mm", "bfloat16")["MICRO_K"] == 32  # as float32
        assert pre_hook(illegal, get_chip("x100"), "mm", "float32")["MICRO_M"] == 0  # has no entry
        assert pre_hook(illegal, get_chip("x60"), "convolution", "float32")["MICRO_M"] == 0


def test_legal_tiles_are_of_chips():
    known = {arch_id for chip in CHIPS.values() for arch_id in chip.arch_ids}
    assert {"0x503C", "0xA03C", "0xA064"} <= known & LEGAL_CONFIGS.keys()
    assert legal_tile(get_chip("a60"), "bmm", "float16") == (8, 16, 16)


@pytest.fixture
def table(monkeypatch, files):
    """The loader of the host's table, empty."""
    made = files()
    for module in ("triton_spacemit.ops.products.blocks", "triton_spacemit.ops.tuning.tables"):
        monkeypatch.setattr(f"{module}.loader", lambda chip: made)
    choose.cache_clear()
    yield made
    choose.cache_clear()


def test_products_take_what_was_tuned_where_it_holds(table, host):
    table.add("mm", shape_class("float32", {"b": 1, "m": 100, "n": 70, "k": 40}, 1, "nn"), CONFIG)
    assert choose("mm", "host", "float32", 1, 100, 70, 40, "nn", 1)[0]["BLOCK_K"] == 16
    assert choose("mm", "host", "float32", 1, 100, 70, 40, "nt", 1)[0]["BLOCK_K"] == 64
    # a configuration that takes 32 steps at once is none for 40
    table.add("mm", shape_class("float32", {"b": 1, "m": 100, "n": 70, "k": 40}, 1, "nn"), {**CONFIG, "PATH": "EVEN_K", "BLOCK_K": 32})
    choose.cache_clear()
    assert choose("mm", "host", "float32", 1, 100, 70, 40, "nn", 1)[0]["BLOCK_K"] == 64


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_tables_that_ship(path):
    made = loader(path.stem)
    assert made.shipped == path
    content = json.loads(path.read_text())
    assert content
    for operator, configs in content.items():
        for shapes, config in configs.items():
            assert operator in ("mm", "bmm", "convolution")
            assert all(size & (size - 1) == 0 for name, size in config.items() if name.startswith("BLOCK"))
            assert made.find(operator, shapes)


def test_there_are_tables_for_three_chips():
    assert {path.stem for path in SHIPPED.glob("*.json")} == {"host", "x60", "a100"}


def one_problem(emulated: bool, quick: bool):
    yield lambda: problems.product(1, 40, 24, 16, "nt", torch.float32, (32,))


@pytest.mark.parametrize("chip", ["host", pytest.param("x60", marks=pytest.mark.qemu)])
def test_the_command_measures_and_writes(chip, host, table, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(problems, "problems", one_problem)
    monkeypatch.setattr(command, "_WORTH", 1e9)  # the best is written even where the heuristic's choice is it
    monkeypatch.setattr("sys.argv", ["triton-spacemit", "tune", "--chip", chip, "--seconds", "0", "--output", str(tmp_path / "t.json")])
    assert cli.main() == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "t.json")
    content = json.loads((tmp_path / "t.json").read_text())
    if chip == "host":
        assert content["mm"]["float32 nt b1 m64 n32 k16, 1 thread"]["BLOCK_M"] in (32, 64)
    assert choose("mm", chip, "float32", 1, 40, 24, 16, "nt", 1)[0]["BLOCK_K"] == 16


def test_the_command_refuses(host, monkeypatch, capsys):
    cases = (["--operators", "nonsense"], "none of these operators is tuned; there are mm"), (["--threads", "-1"], "THREADS=-1")
    for words, message in cases:
        monkeypatch.setattr(problems, "problems", one_problem)
        monkeypatch.setattr("sys.argv", ["triton-spacemit", "tune", *words])
        assert cli.main() == 2
        assert message in capsys.readouterr().err


def test_the_command_is_found_by_its_entry_point():
    (found,) = [entry for entry in entry_points(group="triton_spacemit.commands") if entry.name == "tune"]
    assert found.load() is command.add_parser
    assert "ops" not in Path(cli.__file__).read_text().replace("stops", "")


def test_candidates_have_every_path():
    found = {config["PATH"] for config in problems.product_candidates(512, 512, 512, False, (128, 64))}
    assert found == {"EVEN_K", "SPLIT_K", "SPLIT_M", "SPLIT_N"}
    assert heuristic(1, 64, 64, 64, True, 1)["PATH"] == "EVEN_K"
    assert tables.SHIPPED.is_dir()
