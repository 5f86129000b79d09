"""GGML's SpacemiT kernels on an emulated X60, as functions of tensors."""

import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from compiled import object_of

from triton_spacemit.backend.devices import Signature, get_device
from triton_spacemit.dialect.artifact import Artifact

#: The formats of its kernels for the first matrix unit: their number in kernels.cpp, and the bytes of 16 columns by 32 steps.
FORMATS = {"Q4_0": (0, 288), "Q4_1": (1, 304), "Q4_K": (2, 304)}
ROW_BYTES = 36  # of 32 quantised numbers of a row


class Peer:
    """The kernels of a checkout of ggml or llama.cpp."""

    def __init__(self, checkout: Path, chip: str = "x60") -> None:
        self.device = get_device("qemu", chip)
        binary = object_of(checkout)
        names = ("ggml_repack", "ggml_quantise", "ggml_product")
        self.kernels = {name: self.device.load(Artifact(name, chip, binary=binary)) for name in names}

    def _launch(self, name: str, tensors: Sequence[torch.Tensor], *sizes: int) -> None:
        slots = struct.pack(f"<{len(tensors) + len(sizes)}Q", *(tensor.data_ptr() for tensor in tensors), *sizes)
        signature = Signature(("*i8",) * len(tensors) + ("i64",) * len(sizes), tuple(range(len(tensors))))
        self.device.launch(self.kernels[name], (1, 1, 1), slots, tensors, signature)

    def repack(self, raw: torch.Tensor, name: str, shape: tuple[int, int]) -> torch.Tensor:
        """Weights (N, K) as its products take them: uint8, N / 16 times K / 32 packed blocks. Raises ValueError where it refuses them."""
        number, size = FORMATS[name]
        packed = torch.zeros(shape[0] // 16 * (shape[1] // 32) * size, dtype=torch.uint8)
        status = torch.zeros(1, dtype=torch.int32)
        self._launch("ggml_repack", (raw.contiguous(), packed, status), *shape, raw.numel(), number)
        if status.item():
            raise ValueError(f"GGML does not pack {name} weights of the shape {shape}")
        return packed

    def quantise(self, x: torch.Tensor) -> torch.Tensor:
        """Rows (M, K) of float32 as its products take them: uint8 [M, K / 32 * 36]."""
        out = torch.zeros(x.shape[0], x.shape[1] // 32 * ROW_BYTES, dtype=torch.uint8)
        self._launch("ggml_quantise", (x.contiguous(), out), *x.shape)
        return out

    def product(self, quantised: torch.Tensor, packed: torch.Tensor, name: str, shape: tuple[int, int]) -> torch.Tensor:
        """The product of quantised rows and the transposed packed weights (N, K): float32 (M, N)."""
        out = torch.zeros(len(quantised), shape[0])
        self._launch("ggml_product", (quantised, packed, out), len(quantised), *shape, int(name != "Q4_0"))
        return out
