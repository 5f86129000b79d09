"""Random chains of views against NumPy."""

import importlib.util

import numpy as np
import pytest
import torch
from chains import Chain


def check(folder, seed):
    chain = Chain(seed)
    path = folder / f"chain_{seed}.py"
    path.write_text(chain.text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = torch.full((chain.block.size,), 777.0)
    module.kernel[(1,)](torch.from_numpy(chain.x), out, *chain.x.shape, *chain.offsets)
    assert np.array_equal(out.numpy().reshape(chain.block.shape), chain.block), chain.text


@pytest.mark.parametrize("part", range(3))
def test_some_chains(target, tmp_path, part):
    for seed in range(part * 5, part * 5 + 5):
        check(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_chains(target, tmp_path, part):
    for seed in range(1000 + part * 25, 1025 + part * 25):
        check(tmp_path, seed)
