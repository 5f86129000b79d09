"""Products of one set of data by GGML's kernels and by ours: results, errors against float64, exact instructions of both."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from data import ACTIVATIONS, WEIGHTS
from peer import ROW_BYTES, Peer

from triton_spacemit.backend.devices.counting import Counts, count
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised import decode, products
from triton_spacemit.ops.quantised.activations import BLOCK, Activations
from triton_spacemit.ops.quantised.activations import quantise as quantise_activations
from triton_spacemit.ops.quantised.linear import tile_rows
from triton_spacemit.ops.quantised.panels import panels_of

#: GGML's packings of these formats.
PARITY = {"Q4_0": "q4_0x16", "Q4_1": "q4_1x16", "Q4_K": "q4_1x16"}


@dataclass(frozen=True)
class Row:
    """One format and number of rows of activations.

    ggml, own: instructions of the product alone for each `smt.vmadot` of 4 x 4 x 8, exact; ours with exact minima. ggml_activations,
    own_activations: of all that is done to activations before, for each element. ggml_error, own_error: the root mean square of the
    difference to the float64 product of activations and dequantised weights, by that of the product.
    same_packing, same_activations, same_bits: whether packed weights, activations and the product with GGML's packing (the option for
    parity) are GGML's, byte for byte.
    """

    format: str
    rows: int
    ggml: float
    own: float
    ggml_activations: float
    own_activations: float
    ggml_error: float
    own_error: float
    same_packing: bool
    same_activations: bool
    same_bits: bool

    @property
    def as_promised(self) -> bool:
        """GGML's bits where its packing is used, and with the exact one an error that is not larger."""
        return self.same_packing and self.same_activations and self.same_bits and self.own_error <= self.ggml_error * 1.001


def by_rows(quantised_rows: torch.Tensor, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes [M, K] and scales [M, K / 32] of rows as GGML has them: fours interleaved, then single ones."""
    rows, blocks = len(quantised_rows), columns // BLOCK
    whole = rows // 4 * 4
    fours = quantised_rows[:whole].reshape(-1, blocks, 4 * ROW_BYTES)
    ones = quantised_rows[whole:].reshape(-1, blocks, ROW_BYTES)
    values = fours[..., 16:].reshape(-1, blocks * 4, 4, 8).transpose(1, 2).reshape(whole, columns)
    scales = fours[..., :16].contiguous().view(torch.float32).transpose(1, 2).reshape(whole, blocks)
    single = ones[..., :4].contiguous().view(torch.float32).reshape(rows - whole, blocks)
    return torch.cat([values, ones[..., 4:].reshape(rows - whole, columns)]).view(torch.int8), torch.cat([scales, single])


def agrees(theirs: torch.Tensor, own: Activations) -> bool:
    """Whether activations are the same bytes and scales, but for bytes of scales that have no reciprocal."""
    values, scales = by_rows(theirs, own.columns)
    blocks = (own.rows, -1, BLOCK)
    reciprocal = (1 / scales).isfinite()
    return torch.equal(scales, own.scales) and torch.equal(values.reshape(blocks)[reciprocal], own.values.reshape(blocks)[reciprocal])


def multiplications(counts: Counts) -> int:
    return sum(times for name, times in counts.by_mnemonic.items() if name.startswith("smt.vmadot"))


def own_product(x: torch.Tensor, packed: quantised.Packed) -> tuple[torch.Tensor, Counts, Counts]:
    """The result of our kernels, what the product executes, and what is done to activations."""
    out = torch.zeros(x.shape[0], packed.shape[0])
    weights, packing = packed.bytes, packed.packing
    if x.shape[0] == 1:
        rows = quantise_activations(x, sums=False)

        def run() -> None:
            decode.multiply_row(rows, weights, packing, None, out[0])

        run()
        before, spread = counted(lambda: quantise_activations(x, sums=False)), counted(lambda: decode.spread(rows, packing))
        return out, minus(count(run), spread), plus(before, spread)
    tile = tile_rows()
    panels = panels_of(x, packing, tile)
    shares = (panels.shape[0], weights.shape[0])
    before = counted(lambda: panels_of(x, packing, tile))
    return out, counted(lambda: products.multiply(panels, weights, packing, None, out, shares, tile)), before


def counted(launches: Callable[[], object]) -> Counts:
    """What a second call executes: the first one may compile."""
    launches()
    return count(launches)


def minus(whole: Counts, part: Counts) -> Counts:
    return Counts(whole.instructions - part.instructions, whole.weighted - part.weighted, whole.by_mnemonic - part.by_mnemonic)


def plus(one: Counts, other: Counts) -> Counts:
    return Counts(one.instructions + other.instructions, one.weighted + other.weighted, one.by_mnemonic + other.by_mnemonic)


def relative_error(result: torch.Tensor, exact: torch.Tensor) -> float:
    return float((result.double() - exact).norm() / exact.norm())


def compare(peer: Peer, name: str, x: torch.Tensor, raw: torch.Tensor) -> Row:
    """Multiply rows `x` (M, K) with the weights of the raw blocks (N, bytes of K), by GGML's kernels and by ours."""
    shape = (len(raw), x.shape[1])
    packed, exact = quantised.pack(raw, name, shape, packing=PARITY[name]), quantised.pack(raw, name, shape)
    wanted = x.double() @ quantised.dequantise(raw, name, torch.float64).T
    theirs, their_rows = peer.repack(raw, name, shape), peer.quantise(x)
    their_product = peer.product(their_rows, theirs, name, shape)
    their_counts = count(lambda: peer.product(their_rows, theirs, name, shape))
    out, counts, before = own_product(x, exact)
    return Row(
        name,
        len(x),
        their_counts.instructions / multiplications(their_counts),
        counts.instructions / multiplications(counts),
        count(lambda: peer.quantise(x)).instructions / x.numel(),
        before.instructions / x.numel(),
        relative_error(their_product, wanted),
        relative_error(out, wanted),
        torch.equal(theirs, packed.bytes.flatten()),
        agrees(their_rows, quantise_activations(x)),
        torch.equal(quantised.linear(x, packed), their_product),
    )


@dataclass(frozen=True)
class Errors:
    """How far products of a format and a kind of data are from float64, by root mean squares: the largest error of one row and of four.

    rounding: of the float64 product with the quantised activations, whose rounding nobody undoes.
    """

    activations: str
    weights: str
    format: str
    ggml: float
    own: float
    rounding: float

    @property
    def as_promised(self) -> bool:
        """Ours is the rounding of activations and no more, but for that of sums in float32."""
        return self.own <= self.rounding * 1.001 + 2.0**-20


def errors(peer: Peer, name: str, activations: str, weights: str, shape: tuple[int, int]) -> Errors:
    """Multiply one row and four of a kind of `data.ACTIVATIONS` with weights (N, K) of a kind of `data.WEIGHTS`."""
    raw = WEIGHTS[weights](name, shape)
    exact, theirs = quantised.pack(raw, name, shape), peer.repack(raw, name, shape)
    matrix = quantised.dequantise(raw, name, torch.float64).T
    found = []
    for rows in (1, 4):
        x = ACTIVATIONS[activations](rows, shape[1])
        wanted = x.double() @ matrix
        products = (
            peer.product(peer.quantise(x), theirs, name, shape),
            quantised.linear(x, exact),
            quantise_activations(x).dequantise() @ matrix,
        )
        found.append([relative_error(product, wanted) for product in products])
    return Errors(activations, weights, name, *map(max, zip(*found, strict=True)))
