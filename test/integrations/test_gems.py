"""The parts of the FlagGems integration, without FlagGems: the table of replacements, the generator, the names, the tables of blocks."""

import ast
import inspect
import os
import subprocess
import sys

import pytest
import torch

from triton_spacemit.integrations.gems import cuda_names, device, generator, heuristics, operators, replacements, tuning
from triton_spacemit.ops.registry import by_name


@pytest.fixture
def applied():
    before = {owner: dict(vars(owner)) for owner in (torch.cpu, torch.cuda)}
    replacements.apply()
    yield
    replacements.revert()
    assert {owner: dict(vars(owner)) for owner in before} == before


@pytest.mark.usefixtures("applied")
def test_every_row_of_pytorch_is_applied():
    assert [str(row) for row in replacements.ROWS if row.module.startswith("torch") and row not in replacements.applied()] == []
    assert torch.cpu.current_device() == 0
    assert torch.cpu.get_device_properties(torch.device("cpu")).multi_processor_count >= 1
    with torch.cpu.device(0), torch.cpu._DeviceGuard(0):
        torch.cpu.synchronize("cpu")


@pytest.mark.usefixtures("applied")
def test_applying_twice_keeps_the_originals():
    replacements.apply()
    assert len(replacements.applied()) == len(set(replacements.applied()))


def test_reverting_what_is_not_applied_does_nothing():
    before = dict(vars(torch.cpu))
    replacements.revert()
    assert dict(vars(torch.cpu)) == before


@pytest.mark.parametrize("row", replacements.ROWS, ids=lambda row: f"{row.module}.{row.name}")
def test_rows_name_what_there_is_and_why(row):
    assert row.why.endswith(".")
    replacement = replacements._resolve(row.replacement.removesuffix("()"))
    if row.replacement.endswith("()"):
        inspect.signature(replacement).bind(object())  # the original


class TestDevice:
    @pytest.mark.parametrize("name", [None, 0, "cpu", "cpu:0", torch.device("cpu")])
    def test_names_of_the_cpu(self, name):
        assert device.get_device_capability(name) == tuple(device.get_device_properties(name)[key] for key in ("major", "minor"))
        assert device.get_device_name(name)
        free, total = device.mem_get_info(name)
        assert 0 < free <= total

    @pytest.mark.parametrize("name", ["cuda", torch.device("meta"), 99, -1, True])
    def test_other_devices(self, name):
        with pytest.raises(ValueError, match="none of the cpu backend's"):
            device.get_device_properties(name)


class TestGenerator:
    def test_the_state_is_seed_and_offset(self):
        own = generator.PhiloxGenerator(5)
        state = own.get_state()
        state.view(torch.int64)[1] += 12
        assert own.get_state().view(torch.int64).tolist() == [5, 0], "get_state returns a copy"
        own.set_state(state)
        assert own.get_state().view(torch.int64).tolist() == [5, 12]
        state.zero_()
        assert own.get_state().view(torch.int64).tolist() == [5, 12], "set_state takes a copy"
        assert own.manual_seed(5).get_state().view(torch.int64).tolist() == [5, 0]

    @pytest.mark.parametrize("seed", [0, -1, (1 << 64) - 1, 1 << 63, (1 << 63) - 1])
    def test_seeds_have_64_bits(self, seed):
        assert generator.PhiloxGenerator(seed).initial_seed() == seed % (1 << 64)

    def test_wrong_states(self):
        own = generator.PhiloxGenerator(0)
        with pytest.raises(TypeError, match="int64"):
            own.set_state(torch.zeros(2, dtype=torch.int64))
        with pytest.raises(TypeError, match="list"):
            own.set_state([0, 0])
        with pytest.raises(ValueError, match="16 bytes"):
            own.set_state(torch.zeros(8, dtype=torch.uint8))

    @pytest.mark.usefixtures("applied")
    def test_manual_seed_of_pytorch_seeds_it(self):
        only = torch.cpu.default_generators[0]
        assert torch.cpu.default_generators["cpu"] is only
        state = torch.get_rng_state()
        torch.manual_seed(1234)
        assert only.initial_seed() == 1234
        torch.set_rng_state(state)
        assert only.initial_seed() == 1234

    def test_as_many_numbers_are_reserved_as_elements(self):
        asked = []
        reserve = generator.enough_numbers(lambda increment, given: asked.append((increment, given)) or (1, 2))
        assert reserve(3) == (1, 2)
        assert asked == [(12, None)]

    def test_generators_of_pytorch(self):
        reserve = generator.enough_numbers(lambda *_: pytest.fail("has a state of its own"))
        one, other = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
        first, second = reserve(8, one), reserve(8, one)
        assert first != second
        assert (first, second) == (reserve(8, other), reserve(8, other))
        assert all(-(1 << 63) <= seed < 1 << 63 and not offset for seed, offset in (first, second))


class TestCudaNames:
    @pytest.mark.parametrize(
        ("source", "wanted"),
        [
            ("x.is_cuda", "x.device.type == 'cpu'"),
            ("not f(x).is_cuda", "not f(x).device.type == 'cpu'"),
            ("torch.empty(1, device='cuda')", "torch.empty(1, device='cpu')"),
            ("torch.device('cuda:0')", "torch.device('cpu:0')"),
            ("f'cuda:{n}'", "f'cpu:{n}'"),
            ("torch.cuda.is_available()", "torch.cpu.is_available()"),
            ("torch.version.cuda", "torch.version.cuda"),
            ("x.cuda().pin_memory()", "x"),
            ("x.cuda(1).pin_memory()", "x.cuda(1)"),
            ("f('a cuda tensor')", "f('a cuda tensor')"),
            ("x.is_cuda = 1", "x.is_cuda = 1"),
        ],
    )
    def test_names(self, source, wanted):
        assert cuda_names.concerns(source.encode())
        assert ast.unparse(cuda_names.translate(source, "file.py")) == wanted

    def test_lines_stay(self):
        code = compile(cuda_names.translate("\n\nassert torch.cuda == x.is_cuda\n", "file.py"), "file.py", "exec")
        with pytest.raises(NameError) as error:
            exec(code, {})
        assert error.traceback[-1].lineno == 2  # counted from 0

    def test_what_names_no_device_is_left_alone(self):
        assert not cuda_names.concerns(b"x.device.type")


class TestBlocks:
    @pytest.mark.parametrize("key", tuning.TABLE)
    def test_configurations(self, key):
        choices = tuning.tables()[key]
        assert choices
        for choice in choices:
            assert choice.keys() == {"META", "num_warps", "num_stages"}
            sizes = [value for value in choice["META"].values() if not isinstance(value, bool) and value]
            assert all(isinstance(size, int) and size & (size - 1) == 0 for size in sizes)
        assert len({tuple(sorted(choice["META"].items())) for choice in choices}) == len(choices)
        assert len({tuple(sorted(choice["META"])) for choice in choices}) == 1, "the same parameters in each"

    @pytest.mark.parametrize("key", tuning.IN_PLACE)
    def test_what_works_in_place_is_not_measured(self, key):
        assert len(tuning.TABLE[key]) == 1

    def test_tables_are_made_anew(self):
        tuning.tables()["mm"][0]["META"].clear()
        assert tuning.tables()["mm"][0]["META"]

    @pytest.mark.parametrize("size", [1, 2, 3, 64, 1000, 4096, 40999, 1 << 20])
    @pytest.mark.parametrize("key", heuristics.HEURISTICS_CONFIGS)
    def test_heuristics(self, key, size):
        arguments = dict.fromkeys(
            "M N K C OL IL OH IH OW IW OD ID BLOCK_NUM batch_dim spatial_dim n_elements TILE_M SPLIT_K".split(), size
        ) | {"TILE_K": 32, "TILE_N": 32, "TILE_M": 32, "BLOCK_K": 32, "SPLIT_K": 1}
        for name, function in heuristics.HEURISTICS_CONFIGS[key].items():
            value = arguments[name] = function(arguments)
            if not isinstance(value, bool):
                assert value >= 1
                assert value & (value - 1) == 0

    @pytest.mark.parametrize("n", [1, 5, 8, 100])
    @pytest.mark.parametrize("k", [1, 2, 7, 512, 4097])
    def test_columns_leave_work_for_every_thread(self, n, k):
        tile = heuristics._columns({"M": n, "K": k})
        threads = device.get_device_properties().multi_processor_count
        assert tile <= max(k, 1)
        assert tile == 1 or n * -(-k // tile) >= threads


def run(program, *, path="", **environment):
    """A program in a process of its own, with `path` in front of what can be imported."""
    code = f"import sys; sys.path.insert(0, {path!r})\n{program}" if path else program
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment)


def test_without_flaggems_the_import_fails_and_leaves_nothing(tmp_path):
    (tmp_path / "flag_gems.py").write_text("raise ModuleNotFoundError('flag_gems is not here')\n")
    program = """
import torch
before = dict(vars(torch.cpu))
try:
    import triton_spacemit.integrations.flag_gems
except ImportError as error:
    assert "flag_gems is not here" in str(error)
else:
    raise SystemExit("imported")
assert dict(vars(torch.cpu)) == before
from triton_spacemit.integrations.gems import replacements
assert replacements.finder not in sys.meta_path
"""
    result = run(program, path=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_importing_flaggems_first_is_refused(tmp_path):
    (tmp_path / "flag_gems.py").write_text("vendor_name = 'nvidia'\n")
    result = run("import flag_gems, triton_spacemit.integrations.flag_gems", path=str(tmp_path))
    assert "RuntimeError: flag_gems was imported before" in result.stderr
    assert "'nvidia'" in result.stderr


def test_rows_are_applied_as_modules_are_imported(tmp_path):
    """A library of the same shape: what its package imports finds the replacement, and a missing name is warned of."""
    runtime = tmp_path / "flag_gems" / "runtime"
    runtime.mkdir(parents=True)
    (tmp_path / "flag_gems" / "__init__.py").write_text("from flag_gems import use\nfrom flag_gems.runtime import lacking\n")
    (tmp_path / "flag_gems" / "use.py").write_text(
        "from flag_gems.runtime.common import vendors\nnames = vendors.get_all_vendors()\nis_cuda = 'cuda'\n"
    )
    (runtime / "__init__.py").write_text("")
    (runtime / "lacking.py").write_text("import flag_gems.utils.random_utils")
    (runtime / "common.py").write_text(
        "import enum\nclass vendors(enum.Enum):\n    A = 0\n    @classmethod\n    def get_all_vendors(cls): return {'a': cls.A}\n"
    )
    (tmp_path / "flag_gems" / "utils").mkdir()
    (tmp_path / "flag_gems" / "utils" / "random_utils.py").write_text("")
    program = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import triton_spacemit.integrations.flag_gems
import flag_gems, _triton_spacemit
assert flag_gems.use.names["triton_spacemit"] == "triton_spacemit" and "a" in flag_gems.use.names
assert flag_gems.use.is_cuda == "cpu"
assert _triton_spacemit.vendor_info.bf16_enabled
assert any("no flag_gems.utils.random_utils.philox_backend_seed_offset" in str(warning.message) for warning in caught)
from triton_spacemit.integrations.gems import replacements
replacements.revert()
assert "triton_spacemit" not in flag_gems.runtime.common.vendors.get_all_vendors()
assert "_triton_spacemit" not in sys.modules
"""
    result = run(program, path=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_own_operators_answer_before_those_of_flaggems(monkeypatch):
    """And FlagGems' where they return NotImplemented; what is registered keeps the name that FlagGems lists."""

    def theirs(tensor, dim):
        return "theirs"

    taken, calls = {}, []
    register = operators.register_impl(lambda registrar, key, function, keys: taken.update({key: function}))

    def implementation(place):
        return lambda tensor, dim: calls.append(place) or ("own" if dim else NotImplemented)

    monkeypatch.setattr(operators, "implementation_of", implementation)
    for key in ("_softmax", "no_such_overload"):
        register(object(), key, theirs, ())
    assert taken["no_such_overload"] is theirs
    assert taken["_softmax"].__name__ == "theirs"
    assert [taken["_softmax"](1, dim) for dim in (1, 0)] == ["own", "theirs"]
    assert calls == [operators.OWN["_softmax"]] * 2


@pytest.mark.parametrize("name", operators.SLOWER)
def test_what_is_left_to_flaggems_is_an_operator_here(name):
    assert name in by_name()


class _Launches:
    """A kernel that notes the grid it is asked for."""

    def __init__(self, noted):
        self.noted = noted

    def __getitem__(self, grid):
        self.noted["grid"] = grid


@pytest.mark.parametrize(
    ("shape", "blocks"),
    [((2, 7, 9), {"BLOCK_H": 4, "BLOCK_W": 4}), ((1, 5, 6, 7), {"BLOCK_D": 2, "BLOCK_H": 4, "BLOCK_W": 8})],
)
def test_programs_are_counted_by_the_blocks_of_the_kernel(shape, blocks):
    grids = {}
    count, *sizes = shape
    arguments = dict(zip(("D_out", "H_out", "W_out")[-len(sizes) :], sizes, strict=True)) | blocks
    operators.CountedByBlocks(_Launches(grids))[(count, 1)]
    wanted = 1
    for size, block in zip(sizes, blocks.values(), strict=True):
        wanted *= -(-size // block)
    assert grids["grid"](arguments) == (count, wanted)
