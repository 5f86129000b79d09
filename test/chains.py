"""Random chains of views and other operations on blocks, as the text of a kernel and as what NumPy makes of them.

All values are small integers, so that every order of summation gives the same floats.
"""

import random
from collections.abc import Sequence

import numpy as np

Block = np.ndarray
ELEMENTWISE = {
    "v * 2": lambda v: v * 2,
    "tl.abs(v)": np.abs,
    "tl.where(v > 1, v, -v)": lambda v: np.where(v > 1, v, -v),
    "tl.clamp(v, -5.0, 3.0)": lambda v: np.clip(v, -5, 3),
    "v.to(tl.float16).to(tl.float32)": lambda v: v.astype(np.float16).astype(np.float32),
}
PERMUTATIONS = ((1, 0, 3, 2), (0, 1, 3, 2), (1, 0, 2, 3), (2, 3, 0, 1), (3, 2, 1, 0), (0, 2, 1, 3))
PARTS = (4, 8, 16, 32)
TILES = (1, 2, 4, 8, 16)


def packed(matrix: Block, offsets: Sequence[int], shape: Sequence[int], tile: Sequence[int]) -> Block:
    """The definition of a view."""
    (row, column), (p, q) = offsets, tile
    rows, columns = -(-shape[0] // p), -(-shape[1] // q)
    whole = np.zeros((1024, 1024), np.float32)
    whole[256 : 256 + matrix.shape[0], 256 : 256 + matrix.shape[1]] = matrix
    part = whole[256 + row : 256 + row + rows * p, 256 + column : 256 + column + columns * q]
    return part.reshape(rows, p, columns, q).transpose(0, 2, 1, 3)


def plain(block: Block) -> Block:
    return block.transpose(0, 2, 1, 3).reshape(block.shape[0] * block.shape[2], -1) if block.ndim == 4 else block


class Chain:
    """`text` is a kernel of (x_ptr, out_ptr, M, N, o0, o1, o2), `x` and `offsets` its arguments, `block` its result."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.offsets = [self.random.randint(-2, 6) for _ in range(3)]
        rows, columns = (self.random.choice((8, 16, 32)) for _ in range(2))
        shape = self.random.randint(1, rows + 4), self.random.randint(1, columns + 4)
        self.x = np.random.RandomState(seed).randint(-3, 4, shape).astype(np.float32)
        self.block = packed(self.x, (0, 0), (rows, columns), (1, 1))[:, :, 0, 0].copy()
        self.lines = [
            f"p = tl.make_block_ptr(x_ptr, (M, N), (N, 1), (0, 0), ({rows}, {columns}), (1, 0))",
            "v = smt.descriptor_load(p, (0, 0))",
        ]
        self.block[shape[0] :], self.block[:, shape[1] :] = 0, 0
        for _ in range(self.random.randint(2, 7)):
            steps = [self.view, self.elementwise] if self.block.ndim == 2 else self.packed_steps()
            self.random.choice(steps)()
            if np.abs(self.block).max() > 100:
                self.lines.append("v = tl.clamp(v, -100.0, 100.0)")
                self.block = np.clip(self.block, -100, 100)
        self.store()

    def packed_steps(self) -> list:
        views = [self.view, self.view, self.subview, self.permute, self.buffer]
        return [*views, self.elementwise, self.reduce, self.reduce_rows, self.product]

    @property
    def text(self) -> str:
        body = "".join(f"    {line}\n" for line in self.lines)
        imports = "import triton\nimport triton.language as tl\nimport triton.language.extra.smt as smt\n\n\n"
        return f"{imports}@triton.jit\ndef kernel(x_ptr, out_ptr, M, N, o0, o1, o2):\n{body}"

    def offset(self, extent: int, multiple: int = 1) -> tuple[str, int]:
        if self.random.random() < 0.4:
            number = self.random.randrange(3)
            return f"o{number} * {multiple}", self.offsets[number] * multiple
        value = self.random.randint(0, extent // multiple) * multiple
        return str(value), value

    def view(self) -> None:
        matrix = plain(self.block)
        shape = (self.random.choice(PARTS), self.random.choice(PARTS))
        tile = tuple(self.random.choice([n for n in TILES if n <= extent]) for extent in shape)
        (row, r), (column, c) = (self.offset(extent) for extent in matrix.shape)
        if self.random.random() < 0.3:
            row, r, column, c, shape = "0", 0, "0", 0, matrix.shape
        if self.block.ndim == 4 and tile == self.block.shape[2:] != (1, 1):  # keeps the tile: offsets are multiples of it
            row, r, column, c = "0", 0, "0", 0
        self.lines.append(f"v = smt.view(v, ({row}, {column}), {shape}, {tile})")
        self.block = packed(matrix, (r, c), shape, tile)
        if tile == (1, 1):
            self.block = plain(self.block)

    def subview(self) -> None:
        tile = self.block.shape[2:]
        shape = tuple(size * self.random.choice((1, 2)) for size in tile)
        (row, r), (column, c) = (self.offset(extent, max(size, 2)) for extent, size in zip(plain(self.block).shape, tile, strict=True))
        self.lines.append(f"v = smt.view(v, ({row}, {column}), {shape})")
        self.block = packed(plain(self.block), (r, c), shape, tile)

    def elementwise(self) -> None:
        text = self.random.choice(list(ELEMENTWISE))
        self.lines.append(f"v = {text}")
        self.block = ELEMENTWISE[text](self.block)

    def permute(self) -> None:
        order = self.random.choice(PERMUTATIONS)
        self.lines.append(f"v = tl.permute(v, {order})")
        self.block = self.block.transpose(order)

    def reduce(self) -> None:
        axis, name = self.random.randrange(4), self.random.choice(("max", "sum"))
        self.lines.append(f"v = v - tl.{name}(v, axis={axis}, keep_dims=True)")
        self.block = self.block - getattr(np, name)(self.block, axis=axis, keepdims=True)

    def reduce_rows(self) -> None:
        """Of the matrix: along the tiles' rows or columns, then along the tiles."""
        first, second = (self.random.choice(("max", "sum")) for _ in range(2))
        i, j, p, q = self.block.shape
        axes, shape = self.random.choice((((3, 1), (i, 1, p, 1)), ((2, 0), (1, j, 1, q))))
        self.lines.append(f"v = v + tl.reshape(tl.{second}(tl.{first}(v, axis={axes[0]}), axis={axes[1]}), {shape})")
        self.block = self.block + getattr(np, second)(getattr(np, first)(self.block, axis=axes[0]), axis=axes[1]).reshape(shape)

    def product(self) -> None:
        size, tile = self.block.shape[0] * self.block.shape[2], self.block.shape[2]
        self.lines += ["w = tl.clamp(v, -4.0, 4.0)", "v = smt.dot(w, tl.permute(w, (1, 0, 3, 2)))"]
        matrix = np.clip(plain(self.block), -4, 4)
        self.block = packed(matrix @ matrix.T, (0, 0), (size, size), (tile, tile))

    def buffer(self) -> None:
        if self.block.shape[2:] == (1, 1):  # of which a pointer's view is the plain form
            return
        matrix, tile = plain(self.block), self.block.shape[2:]
        shape = self.random.choice(PARTS[:3]), self.random.choice(PARTS[:3])
        offsets = self.random.randint(-1, 4), self.random.randint(-1, 4)
        new = self.random.choice((1, 2, 4)), self.random.choice((2, 4))
        self.lines.append(f"b = smt.view(smt.alloc({matrix.shape}), (0, 0), {matrix.shape}, {tile})")
        self.lines += ["tl.store(b, v)", f"v = tl.load(smt.view(b, {offsets}, {shape}, {new}))"]
        self.block = packed(matrix, offsets, shape, new)

    def store(self) -> None:
        shape, terms = self.block.shape, []
        for d, extent in enumerate(shape):
            along = tuple(extent if d == e else 1 for e in range(len(shape)))
            terms.append(f"tl.arange(0, {extent}).reshape({along}) * {int(np.prod(shape[d + 1 :]))}")
        self.lines.append(f"tl.store(out_ptr + ({' + '.join(terms)}), v)")
