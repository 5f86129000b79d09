"""Linear layers whose weights are packed, as operators of PyTorch.

`linear(x, packed, bias)` is `torch.nn.functional.linear`: activations are quantised by rows and blocks of 32, all of them before any
product; then the product's tiles are split over the threads of the pool as GGML splits them: each program has so many rows from a first one
on (`m_start`, `m_count`), and so many columns (`n_start`, `n_count`), a multiple of 16. One row has kernels of its own (`decode.py`), and
so have cores with larger tiles (`pairs.py`, `wide.py`), vectors without a matrix unit (`widening.py`) and those that multiply bytes
(`vectors.py`).
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch.library import Library, register_fake

from triton_spacemit.backend.knobs import active_chip, knobs
from triton_spacemit.dialect import ime
from triton_spacemit.ops.quantised import gradients, pairs, wide, widening
from triton_spacemit.ops.quantised.activations import DTYPES, Activations, Order, quantise
from triton_spacemit.ops.quantised.decode import multiply_row, takes
from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.packings import COLUMNS, Packing, get_packing
from triton_spacemit.ops.quantised.panels import make_panels, panels_of
from triton_spacemit.ops.quantised.products import multiply
from triton_spacemit.ops.quantised.vectors import has_vectors, multiply_rows

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_CACHED = 1 << 17  # bytes of activations that stay in a core's caches while columns of weights pass by


def tile_rows() -> int:
    """The rows of a tile on the active chip."""
    chip = active_chip()
    tile = ime.TILES.get((chip.vlen, 8)) if chip.ime else None
    return tile.m if tile is not None else 4


def split(panels: int, columns: int, panel_bytes: int, threads: int) -> tuple[int, int]:
    """How many panels of rows, and how many groups of columns, a program takes of so many.

    Columns are shared first, since each program unpacks those it has; rows where there are more threads, or more rows than caches hold.
    """
    n_count = -(-columns // min(threads, columns))
    shares = max(1, threads // -(-columns // n_count))
    m_count = -(-panels // min(shares, panels))
    return max(1, min(m_count, _CACHED // panel_bytes)), n_count


_Multiply = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], None]


def _by(x: torch.Tensor, packing: Packing) -> _Multiply:
    """What multiplies rows (M, K) by packed weights, called with them, a bias and where the product goes, float32 (M, N).

    The rows are quantised here, once for all matrices; with zero points, which are for comparisons, row by row and each time.
    """
    if has_vectors() and packing.minima != "zero point":
        return _plain(multiply_rows, quantise(x), packing)
    if widening.takes(packing):
        return _plain(widening.multiply, quantise(x), packing)
    if (x.shape[0] == 1 or packing.minima == "zero point") and takes(packing, x.shape[1]):
        rows = [quantise(row, sums=False) for row in x.split(1)]

        def row_by_row(weights: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
            for row, result in zip(rows, out, strict=True):
                multiply_row(row, weights, packing, None if bias is None else bias.float().contiguous(), result)

        return row_by_row
    height = tile_rows()
    if height == wide.ROWS and x.shape[0] > wide.ROWS:
        wide_panels = make_panels(quantise(x, Order.TILES), packing, height)

        def on_wide_tiles(weights: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
            parts = -(-weights.shape[0] * COLUMNS // wide.COLUMNS)
            counts = split(wide_panels.shape[0], parts, wide_panels[0].numel(), knobs.num_threads)
            wide.multiply(wide_panels, weights, packing, bias, out, counts)

        return on_wide_tiles
    if height == wide.ROWS and pairs.takes(packing, *x.shape):
        turns = pairs.panels_of(quantise(x), packing)

        def in_pairs(weights: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
            pairs.multiply(turns, x.shape[0], weights, packing, None if bias is None else bias.float().contiguous(), out)

        return in_pairs
    panels = panels_of(x, packing, height)

    def on_tiles(weights: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
        counts = split(panels.shape[0], weights.shape[0], panels.shape[1] * panels.shape[2], knobs.num_threads)
        multiply(panels, weights, packing, bias, out, counts, height)

    return on_tiles


def _plain(multiply: Callable[..., None], activations: Activations, packing: Packing) -> _Multiply:
    def by_vectors(weights: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
        multiply(activations, weights, packing, None if bias is None else bias.float().contiguous(), out)

    return by_vectors


def _check_memory(x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None, packing: Packing, n: int) -> None:
    """That kernels find what they read: an operator is told what its bytes are, by a program that was exported too."""
    if x.dtype not in DTYPES:
        raise TypeError(f"activations are float32, float16 or bfloat16, not {x.dtype}")
    fits = tuple(weights.shape[-3:]) == packing.shape(n, x.shape[-1]) and weights.dtype is torch.uint8 and weights.is_contiguous()
    if not fits or (bias is not None and tuple(bias.shape) != (n,)):
        what = f"x {tuple(x.shape)}, weights {tuple(weights.shape)} of {weights.dtype}, bias {None if bias is None else tuple(bias.shape)}"
        raise ValueError(f"{what} and {n} columns of {packing.name} do not fit each other")


def _linear(x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None, format_name: str, packing: str, n: int) -> torch.Tensor:
    layout, rows = get_packing(format_name, packing), x.reshape(-1, x.shape[-1])
    _check_memory(x, weights, bias, layout, n)
    out = torch.empty(rows.shape[0], n, dtype=torch.float32)
    if out.numel():
        _by(rows, layout)(weights, bias, out)
    return out.to(x.dtype).view(*x.shape[:-1], n)


def _linear_fake(x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None, format_name: str, packing: str, n: int) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], n)


def _linear_experts(
    x: torch.Tensor, weights: Sequence[torch.Tensor], ids: torch.Tensor, format_name: str, packing: str, n: Sequence[int]
) -> torch.Tensor:
    (tokens, used), layout = ids.shape, get_packing(format_name, packing)
    for matrices, width in zip(weights, n, strict=True):
        _check_memory(x, matrices, None, layout, width)
    rows = x.expand(tokens, used, x.shape[-1]).reshape(-1, x.shape[-1])
    out = torch.zeros(tokens * used, sum(n), dtype=torch.float32)
    ends = [sum(n[: number + 1]) for number in range(len(n))]
    chosen = ids.reshape(-1).tolist()
    if tokens == 1 and x.shape[1] == 1 and used:
        by = _by(rows[:1], layout)
        for result, number in zip(out.split(1), chosen, strict=True):
            for matrices, width, end in zip(weights, n, ends, strict=True):
                if number >= 0:
                    by(matrices[number], None, result[:, end - width : end])
        return out.to(x.dtype).view(tokens, used, sum(n))
    for number in sorted({number for number in chosen if number >= 0}):
        places = [place for place, other in enumerate(chosen) if other == number]
        by = _by(rows[places], layout)
        for matrices, width, end in zip(weights, n, ends, strict=True):
            part = torch.empty(len(places), width, dtype=torch.float32)
            by(matrices[number], None, part)
            out[places, end - width : end] = part
    return out.to(x.dtype).view(tokens, used, sum(n))


def _linear_experts_fake(
    x: torch.Tensor, weights: Sequence[torch.Tensor], ids: torch.Tensor, format_name: str, packing: str, n: Sequence[int]
) -> torch.Tensor:
    return x.new_empty(*ids.shape, sum(n))


_library = Library("triton_spacemit", "FRAGMENT")
_library.define("quantised_linear(Tensor x, Tensor weights, Tensor? bias, str format, str packing, SymInt n) -> Tensor")
_library.define("quantised_linear_experts(Tensor x, Tensor[] weights, Tensor ids, str format, str packing, SymInt[] n) -> Tensor")
_library.impl("quantised_linear", _linear, "CPU")
_library.impl("quantised_linear_experts", _linear_experts, "CPU")
register_fake("triton_spacemit::quantised_linear", _linear_fake, lib=_library)
register_fake("triton_spacemit::quantised_linear_experts", _linear_experts_fake, lib=_library)
gradients.register(_library)


def linear(x: torch.Tensor, packed: Packed, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`x @ weights.T + bias`, of packed weights (N, K): [.., N] in the dtype of `x`; of weights (E, N, K), each by its own matrix.

    x: float32, float16 or bfloat16 on the CPU, [.., K], of any strides; [E, M, K] for weights (E, N, K). bias: floats, (N).
    Sums are float32, each block's exact; a result is as far from the exact one as the rounding of activations to 8 bits takes it. The
    gradients of `x` and `bias` are those of the dequantised weights, which have none.
    Raises TypeError for other dtypes, ValueError for shapes that do not fit.
    """
    _check(x, packed)
    if bias is not None:
        _check_tensor("a bias is", bias)
        if not bias.is_floating_point() or tuple(bias.shape) != (packed.shape[-2],):
            raise ValueError(f"a bias of {packed.shape[-2]} floats is wanted, not {tuple(bias.shape)} of {bias.dtype}")
    n, names = packed.shape[-2], (packed.format, packed.packing.name)
    call = torch.ops.triton_spacemit.quantised_linear
    if packed.dim() == 2:
        return call(x, packed.bytes, bias, *names, n)
    if x.dim() != 3 or x.shape[0] != packed.shape[0]:
        raise ValueError(f"for weights {tuple(packed.shape)} x is ({packed.shape[0]}, M, {packed.shape[2]}), not {tuple(x.shape)}")
    return torch.stack([call(rows, matrix, bias, *names, n) for rows, matrix in zip(x, packed.bytes, strict=True)])


def linear_experts(x: torch.Tensor, packed: Packed | Sequence[Packed], ids: torch.Tensor) -> torch.Tensor:
    """Each token by the matrices of its experts, GGML's `mul_mat_id`: [tokens, used, N] in the dtype of `x`.

    x: as in `linear`, also its gradient, [tokens, used, K], or [tokens, 1, K] for the same row to all experts of a token. packed:
    (E, N, K), or several such of one format, for which rows are quantised once: their results lie side by side. ids: integers,
    [tokens, used], each the number of an expert, or negative for none, which gives zeros.
    Raises TypeError for other dtypes, ValueError for shapes and numbers that do not fit.
    """
    stacks = list(packed) if isinstance(packed, Iterable) and not isinstance(packed, torch.Tensor) else [packed]
    if not stacks:
        raise ValueError("there are no weights")
    _check_tensor("ids are", ids)
    if ids.dtype not in _INTEGERS or ids.dim() != 2:
        raise TypeError(f"ids are integers (tokens, used), not {tuple(ids.shape)} of {ids.dtype}")
    for each in stacks:
        _check(x, each)
        if each.dim() != 3 or x.dim() != 3 or x.shape[0] != ids.shape[0] or x.shape[1] not in (1, ids.shape[1]):
            wanted = f"weights (E, N, K), x ({ids.shape[0]}, 1 or {ids.shape[1]}, K)"
            raise ValueError(f"for ids {tuple(ids.shape)} there are {wanted}, not {tuple(each.shape)} and {tuple(x.shape)}")
        if ids.numel() and int(ids.max()) >= each.shape[0]:
            raise ValueError(f"there are {each.shape[0]} experts, and no number {int(ids.max())}")
    names = {(each.format, each.packing.name) for each in stacks}
    if len(names) > 1:
        raise ValueError(f"weights of one format and packing are multiplied at once, not {', '.join(map(str, sorted(names)))}")
    bytes_, sizes = [each.bytes for each in stacks], [each.shape[1] for each in stacks]
    return torch.ops.triton_spacemit.quantised_linear_experts(x, bytes_, ids, *names.pop(), sizes)


def _check_tensor(what: str, tensor: torch.Tensor) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{what} a tensor, not a {type(tensor).__name__}")
    if not tensor.is_cpu or tensor.layout is not torch.strided or tensor.is_nested:
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise TypeError(f"{what} a strided tensor on the CPU, not a {layout} one on {tensor.device}")


def _check(x: torch.Tensor, packed: Packed) -> None:
    if not isinstance(packed, Packed):
        raise TypeError(f"weights are packed ones (`quantised.pack`), not {type(packed).__name__}")
    _check_tensor("activations are", x)
    if x.dtype not in DTYPES:
        raise TypeError(f"activations are float32, float16 or bfloat16, not {x.dtype}")
    if x.dim() < 1 or x.shape[-1] != packed.shape[-1]:
        raise ValueError(f"rows of {packed.shape[-1]} numbers are wanted for weights {tuple(packed.shape)}, not x {tuple(x.shape)}")
    if packed.packing.minima == "zero point" and not takes(packed.packing, packed.shape[-1]):
        where = "on cores of SpacemiT's first matrix unit, for rows of 128 numbers and more"
        raise ValueError(f"the packing {packed.packing.name} is there to compare with GGML, {where}")
