"""The generator of random numbers of a device without one: a seed and an offset, as kernels that use Philox want them."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import torch


class PhiloxGenerator:
    """Has the methods of `torch.Generator` that FlagGems uses, and the state of CUDA's generators.

    State: a uint8 tensor of 16 bytes, the seed and the offset as two int64 of the machine's order. Who takes numbers reads the state and
    writes it back with the offset advanced by as many as it took. `torch.manual_seed` seeds it; as on a GPU, `torch.set_rng_state` has
    no effect on it.
    """

    def __init__(self, seed: int) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> "PhiloxGenerator":
        """Start at offset 0 of the seed `seed`, of which 64 bits count."""
        seed &= (1 << 64) - 1
        self._state = torch.tensor([seed - (1 << 64) if seed >> 63 else seed, 0], dtype=torch.int64).view(torch.uint8)
        return self

    def initial_seed(self) -> int:
        return int(self._state.view(torch.int64)[0]) & (1 << 64) - 1

    def get_state(self) -> torch.Tensor:
        """A copy: 16 bytes."""
        return self._state.clone()

    def set_state(self, state: torch.Tensor) -> None:
        """Raises TypeError or ValueError for what `get_state` does not return."""
        if not isinstance(state, torch.Tensor) or state.dtype != torch.uint8:
            raise TypeError(f"the state of a generator is a uint8 tensor, not {getattr(state, 'dtype', type(state).__name__)}")
        if state.shape != self._state.shape:
            raise ValueError(f"the state of a generator has {self._state.numel()} bytes, not the shape {tuple(state.shape)}")
        self._state = state.clone()


class Generators:
    """`default_generators` of a device's module: the same one for every name of the one device."""

    def __init__(self) -> None:
        self._only = PhiloxGenerator(torch.default_generator.initial_seed())

    def __getitem__(self, device: Any) -> PhiloxGenerator:
        return self._only

    def __len__(self) -> int:
        return 1


generators = Generators()


def manual_seed(seed: int) -> None:
    """Seed the generator of kernels; PyTorch's own for the CPU keeps its state."""
    generators[0].manual_seed(int(seed))


def enough_numbers(original: Callable[..., tuple[int, int]]) -> Callable[..., tuple[int, int]]:
    """FlagGems' `philox_backend_seed_offset`, which reserves numbers: seed and offset at which a kernel may begin.

    A kernel takes four random numbers for each counter; its caller asks for a quarter of the elements' number. Its last program, though,
    may use only the first of the four, with as many counters as there are elements left: one for each element is always enough.
    """

    def philox_backend_seed_offset(increment: int, generator: Any = None) -> tuple[int, int]:
        if not isinstance(generator, torch.Generator):
            return original(4 * increment, generator)
        # A generator of the CPU: its state gives the seed, and the state that it goes on from. Its own draws may be operators of FlagGems.
        digest = blake2b(generator.get_state().numpy().tobytes(), digest_size=16).digest()
        generator.manual_seed(int.from_bytes(digest[8:]))
        return int.from_bytes(digest[:8], signed=True), 0

    return philox_backend_seed_offset
