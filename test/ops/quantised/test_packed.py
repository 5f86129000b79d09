"""Packed weights as tensors: copied, kept by modules and files, cut and joined; and of no use as anything else."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from gguf_files import raw_blocks
from triton.errors import TritonError

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError, MisreadError
from triton_spacemit.ops.quantised.formats import FORMATS
from triton_spacemit.ops.quantised.packed import Packed, pack


def made(name: str = "Q4_0", shape: tuple[int, int] = (20, 64), packing: str | None = None, seed: int = 4) -> Packed:
    return pack(torch.from_numpy(raw_blocks(name, *shape, seed=seed, plain=True)), name, shape, packing)


@triton.jit
def first_byte(x, out):
    tl.store(out, tl.load(x))


MISUSES = {
    "add": lambda x: x + 1,
    "add in place": lambda x: x.add_(1),
    "from the left": lambda x: torch.ones(20, 64) * x,
    "product": lambda x: torch.ones(3, 64) @ x.T,
    "linear": lambda x: torch.nn.functional.linear(torch.ones(3, 64), x),
    "element": lambda x: x[0, 0],
    "mask": lambda x: x[torch.ones(20, 64, dtype=torch.bool)],
    "assignment": lambda x: x.__setitem__(0, 1),
    "iteration": lambda x: list(x),
    "view": lambda x: x.view(-1),
    "other dtype": lambda x: x.float(),
    "bytes as others": lambda x: x.view(torch.int8),
    "sum": lambda x: x.sum(),
    "truth": lambda x: bool(x),
    "cat": lambda x: torch.cat([x, x]),
    "ordinary tensor into it": lambda x: x.copy_(torch.zeros(20, 64, dtype=torch.uint8)),
    "into an ordinary tensor": lambda x: torch.zeros(20, 64, dtype=torch.uint8).copy_(x),
    "stays as it is": lambda x: x.zero_(),
    "contiguous": lambda x: x.T.contiguous(),
    "empty like it": lambda x: torch.empty_like(x),
    "numpy": lambda x: x.numpy(),
    "array": lambda x: np.asarray(x),
    "list": lambda x: x.tolist(),
    "dlpack": lambda x: torch.utils.dlpack.to_dlpack(x),
    "python's dlpack": lambda x: np.from_dlpack(x),
    "address": lambda x: x.data_ptr(),
    "storage": lambda x: bytes(x.untyped_storage()),
    "kernel": lambda x: first_byte[(1,)](x, torch.zeros(1, dtype=torch.uint8)),
    "other device": lambda x: x.to("meta"),
    "other weights into it": lambda x: x.copy_(made("Q8_0")),
    "equality with others": lambda x: torch.equal(x, made("Q8_0")),
    "other packing": lambda x: x.bytes_as("q8_0x16"),
    "other memory": lambda x: setattr(x, "bytes", torch.zeros(3, dtype=torch.uint8)),
    "the memory of others": lambda x: setattr(x, "data", made(seed=6)),
    "ordinary memory": lambda x: setattr(x, "data", torch.zeros(20, 64)),
    "other format": lambda x: setattr(x, "format", "Q8_0"),
    "laid out otherwise": lambda x: setattr(x, "packing", made("Q8_0").packing),
    "whole numbers": lambda x: x.dequantise(torch.uint8),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_it_is_no_ordinary_tensor(misuse, host):
    packed = made()
    before = packed.bytes.clone()
    with pytest.raises((TritonError, TypeError, RuntimeError, BufferError)) as raised:
        MISUSES[misuse](packed)
    assert "packed as q4_0x16" in str(raised.value) or not isinstance(raised.value, MisreadError)
    assert torch.equal(packed.bytes, before)
    assert repr(packed) == "<weights (20, 64) of Q4_0, packed as q4_0x16>"


def test_what_it_says_of_itself():
    packed = made()
    assert (packed.format, packed.packing.name, tuple(packed.shape), packed.nbytes) == ("Q4_0", "q4_0x16", (20, 64), 2 * 2 * 288)
    assert repr(packed) == "<weights (20, 64) of Q4_0, packed as q4_0x16>"
    with pytest.raises(MisreadError, match=r"aten.add.Tensor of weights \(20, 64\) of Q4_0, packed as q4_0x16"):
        packed + 1
    with pytest.raises(MisreadError, match=r"aten.cat.default of weights \(20, 64\) of Q4_0"):
        torch.cat([torch.zeros(20, 64, dtype=torch.uint8), packed])
    with pytest.raises(MisreadError, match="cannot become torch.bits8 on meta: packed weights are bytes on the CPU"):
        packed.to("meta")
    with pytest.raises(MisreadError, match="cannot become torch.float16 on cpu"):
        packed.half()
    with pytest.raises(MisreadError, match="their data cannot be replaced"):
        packed.data = made(seed=6)


REFUSED = {
    "other bytes": (100, "Q4_0", (20, 64), r"weights \(20, 64\) of Q4_0 are 720 bytes on the CPU, not 100 of torch.uint8"),
    "a row that is no whole blocks": (720, "Q4_0", (20, 65), "Q4_0 has blocks of 32 weights: a row of 65"),
    "one dimension": (720, "Q4_0", (1280,), r"packed weights are \(N, K\) or \(experts, N, K\)"),
    "nothing": (0, "Q4_0", (0, 64), "nothing empty"),
    "more than there is memory": (720, "Q4_0", (1 << 40, 1 << 20), "are 648518346341351424 bytes on the CPU, not 720"),
    "no format": (720, "Q9_0", (20, 64), "no such format of weights: 'Q9_0'; there are Q4_0, Q4_1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_packed(case):
    size, name, shape, message = REFUSED[case]
    with pytest.raises(FormatError, match=message):
        pack(torch.zeros(size, dtype=torch.uint8), name, shape)


@pytest.mark.parametrize("shape", [1280, None, (20.0, 64), ("20", 64), [], (-20, 64), (1, 1, 20, 64)])
def test_what_is_no_shape(shape):
    with pytest.raises(FormatError, match=r"packed weights are \(N, K\) or \(experts, N, K\), with nothing empty; not "):
        pack(torch.zeros(720, dtype=torch.uint8), "Q4_0", shape)


def test_shapes_of_numpy():
    packed = pack(torch.zeros(720, dtype=torch.uint8), "Q4_0", tuple(np.array([20, 64])))
    assert torch.equal(packed.dequantise(), torch.zeros(20, 64))


def test_other_refusals():
    for raw in ([0] * 720, np.zeros(720, np.uint8), bytes(720)):
        with pytest.raises(FormatError, match="raw blocks are a tensor of bytes, not a (list|ndarray|bytes)"):
            pack(raw, "Q4_0", (20, 64))
    with pytest.raises(FormatError, match=r"no such format of weights: \['Q4_0'\]"):
        pack(torch.zeros(720, dtype=torch.uint8), ["Q4_0"], (20, 64))
    with pytest.raises(FormatError, match="weights become floating-point numbers, not torch.int32"):
        quantised.dequantise(torch.zeros(18, dtype=torch.uint8), "Q4_0", torch.int32)
    with pytest.raises(FormatError, match="of torch.int8"):
        pack(torch.zeros(720, dtype=torch.int8), "Q4_0", (20, 64))
    with pytest.raises(FormatError, match="Q4_0 has no packing 'q4_1x16'; it has q4_0x16"):
        made(packing="q4_1x16")
    with pytest.raises(FormatError, match=r"Q4_0: rows of blocks of 18 bytes are wanted, not \(19,\)"):
        quantised.dequantise(torch.zeros(19, dtype=torch.uint8), "Q4_0")


def test_experts_and_rows_share_memory():
    raw = torch.from_numpy(raw_blocks("Q4_K", 3 * 40, 512, seed=5, plain=True))
    packed = pack(raw, "Q4_K", (3, 40, 512))
    expert = packed.expert(1)
    assert torch.equal(expert.unpack(), raw[40:80])
    part = expert.rows(16, 40)
    assert torch.equal(part.unpack(), raw[56:80])
    assert part.bytes.untyped_storage().data_ptr() == packed.bytes.untyped_storage().data_ptr()
    for start, stop in ((8, 16), (0, 30), (0, 48), (32, 16)):
        with pytest.raises(FormatError, match=rf"rows {start} to {stop} are not whole groups of 16"):
            expert.rows(start, stop)
    with pytest.raises(IndexError, match="there is no expert 3"):
        packed.expert(3)


def test_matrices_are_joined():
    raw = torch.from_numpy(raw_blocks("Q4_1", 100, 64, seed=8, plain=True))
    whole = pack(raw, "Q4_1", (100, 64))
    parts = [whole.rows(16, 48), whole.rows(48, 64), whole.rows(64, 100)]
    for given, shared in ((parts, True), (parts[:1], True), ([parts[0], parts[2]], False), ([parts[1], parts[0]], False)):
        joined = Packed.joined(given)
        assert torch.equal(joined.unpack(), torch.cat([part.unpack() for part in given]))
        assert (joined.bytes.data_ptr() == given[0].bytes.data_ptr()) == shared
    elsewhere = copy.deepcopy(parts[1])
    assert torch.equal(Packed.joined([parts[0], elsewhere]).unpack(), raw[16:64])
    rounded = made("Q4_1", (16, 64), "q4_1x16")
    for others in ([parts[2], parts[0]], [parts[0], made("Q4_0", (16, 64))], [parts[0], made("Q4_1", (16, 128))], [parts[0], rounded]):
        with pytest.raises(FormatError, match=r"not one matrix: weights \("):
            Packed.joined(others)


def test_raw_blocks_may_lie_anywhere():
    for name in FORMATS:
        raw = torch.from_numpy(raw_blocks(name, 3, 512, seed=9))
        odd = torch.cat([raw.new_zeros(1), raw.flatten()])[1:]  # as a file without alignment has them
        assert torch.equal(pack(odd, name, (3, 512)), pack(raw, name, (3, 512)))
        apart = torch.stack([raw, raw], -1)[..., 0]
        assert torch.equal(pack(apart, name, (3, 512)), pack(raw, name, (3, 512)))


def through_pickle(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


def through_torch(value: object) -> object:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file)  # weights_only, as is usual


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, through_pickle, through_torch, torch.clone, torch.detach])
def test_copies_are_packed_weights(copied):
    packed = made("Q4_1", packing="q4_1x16")
    again = copied(packed)
    assert type(again) is Packed
    assert repr(again) == repr(packed)
    assert torch.equal(again, packed)
    shares = copied in (copy.copy, torch.detach)
    assert (again.bytes.data_ptr() == packed.bytes.data_ptr()) == shares


def test_a_file_whose_parts_do_not_fit_is_refused():
    packed = made()
    function, (memory, name, packing, shape) = packed.__reduce_ex__(4)
    for parts in ((memory, name, packing, (36, 64)), (memory, "Q8_0", "q8_0x16", shape), (memory[:1], name, packing, shape),
                  (memory.view(torch.int8), name, packing, shape), (memory, name, "q8_0x16", shape)):  # fmt: skip
        with pytest.raises(FormatError):
            function(*parts)


class Holder(torch.nn.Module):
    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.register_buffer("weight", packed)


def test_modules_keep_it():
    module, packed = Holder(made()), made()
    for moved in (module.half(), module.to(torch.bfloat16), module.to("cpu"), module.double(), copy.deepcopy(module)):
        assert type(moved.weight) is Packed
        assert torch.equal(moved.weight, packed)
    state = through_torch(module.state_dict())
    other = Holder(made(seed=6))
    assert not torch.equal(other.weight, packed)
    other.load_state_dict(state)
    assert torch.equal(other.weight, packed)
    other = Holder(made(seed=6))
    other.load_state_dict(state, assign=True)
    assert torch.equal(other.weight, packed)
    for wrong in (made("Q8_0"), made(shape=(36, 64)), torch.zeros(20, 64, dtype=torch.uint8)):
        kept = other.weight.bytes.clone()
        with pytest.raises(RuntimeError, match="weight"):
            other.load_state_dict({"weight": wrong})
        assert torch.equal(other.weight.bytes, kept)
    assert torch.equal(torch.nn.Parameter(made(), requires_grad=False).data, packed)


def test_processes_share_it():
    module = Holder(made()).share_memory()
    assert module.weight.is_shared()
    assert torch.equal(module.weight, made())


def test_digests_tell_bytes_apart():
    assert made().digest() == made().digest() != made(seed=7).digest()
