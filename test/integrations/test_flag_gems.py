"""FlagGems itself on this backend, where it is installed. Each program has a process of its own, as each process has one vendor."""

import importlib.util
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("flag_gems") is None,
    reason="flag_gems is not installed: pip install --no-deps flag_gems==5.0.2 PyYAML SQLAlchemy packaging",
)

PRELUDE = """
import torch
import triton_spacemit.integrations.flag_gems
import flag_gems
torch.manual_seed(0)
count = 0
import triton
def launched(*_):
    global count
    count += 1
triton.knobs.runtime.launch_enter_hook.add(launched)
"""


def run(program, tmp_path, prelude=PRELUDE, **environment):
    own = {"FLAGGEMS_CACHE_DIR": str(tmp_path), "TRITON_SPACEMIT_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", prelude + program], capture_output=True, text=True, env=os.environ | own | environment
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_vendor_is_ours(tmp_path):
    program = """
from flag_gems.runtime import device
from triton_spacemit.integrations.gems import replacements
assert flag_gems.vendor_name == "triton_spacemit" and flag_gems.device == "cpu"
assert device.support_fp64 and device.support_bf16 and device.support_int64
import sys
missing = [row for row in replacements.ROWS if row not in replacements.applied() and row.module in sys.modules]
assert not missing, missing
names = [row.name for row in replacements.applied()]
assert any(name.endswith("_get_vendor_from_env") for name in names) and any(name.endswith("register_impl") for name in names)
"""
    run(program, tmp_path)
    run(program, tmp_path, GEMS_VENDOR="nvidia")


def test_operators_agree_with_pytorch(tmp_path):
    """Bounds: sums of 130 terms rounded to the type, on values of about 1. FlagGems' layer_norm computes float64 in float32."""
    program = """
functions = {
    "mm": lambda x, y: torch.mm(x, y),
    "softmax": lambda x, y: torch.softmax(x, 1),
    "sum": lambda x, y: x.sum(1),
    "gelu": lambda x, y: torch.nn.functional.gelu(x),
    "where": lambda x, y: torch.where(x > 0, x, -x),
    "layer_norm": lambda x, y: torch.nn.functional.layer_norm(x, (130,)),
}
for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)):
    x, y = torch.randn(37, 130).to(dtype), torch.randn(130, 51).to(dtype)
    for name, function in functions.items():
        bound = 1e-5 if (name, dtype) == ("layer_norm", torch.float64) else bound
        wanted = function(x, y)
        before = count
        with flag_gems.use_gems():
            found = function(x, y)
        assert count > before, name
        assert (found.double() - wanted.double()).abs().max() < bound, (name, dtype)
"""
    run(program, tmp_path)


def test_integers_of_64_bits(tmp_path):
    program = """
x, y = torch.randint(-(1 << 62), 1 << 62, (1000,)), torch.randint(1, 1 << 40, (1000,))
wanted = x + y, x * y, x.sum(), torch.sort(x).values
with flag_gems.use_gems():
    found = x + y, x * y, x.sum(), torch.sort(x).values
assert count >= 4
assert all(map(torch.equal, found, wanted))
"""
    run(program, tmp_path)


def test_draws_do_not_overlap_and_follow_the_seed(tmp_path):
    """float32 draws of 24 bits: 5,000 of them have about one repetition by chance; overlapping ones would have hundreds."""
    program = """
with flag_gems.use_gems():
    draws = [torch.rand(n) for n in (5, 1, 4999, 5000, 17)]
    torch.manual_seed(0)
    again = [torch.rand(n) for n in (5, 1, 4999, 5000, 17)]
    state = torch.cpu.default_generators[0].get_state()
    normal = torch.randn(100_000)
assert count >= 11
assert all(map(torch.equal, draws, again))
joined = torch.cat(draws)
assert len(joined.unique()) > len(joined) - 20
assert abs(joined.mean() - 0.5) < 0.02 and abs(normal.std() - 1) < 0.02
assert state.view(torch.int64)[1] >= len(joined)
"""
    run(program, tmp_path)


def test_spacemits_own_vendor_still_works(tmp_path):
    if not _has_vendor("spacemit"):
        pytest.skip("this release of flag_gems has no vendor 'spacemit'; the repository's main branch has")
    program = """
x = torch.randn(64, 1000)
wanted = torch.softmax(x, -1)
with flag_gems.use_gems():
    found = torch.softmax(x, -1)
assert flag_gems.vendor_name == "spacemit"
assert (found - wanted).abs().max() < 1e-6
"""
    run(program, tmp_path, prelude="import torch, flag_gems\n", GEMS_VENDOR="spacemit")


def _has_vendor(name):
    [folder] = importlib.util.find_spec("flag_gems").submodule_search_locations
    return os.path.isdir(os.path.join(folder, "runtime", "backend", f"_{name}"))
