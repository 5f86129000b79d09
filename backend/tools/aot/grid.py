"""Grids of kernels compiled ahead of time: arithmetic on a kernel's integers, checked, then written as C.

`cdiv(m, BLOCK) * cdiv(n, BLOCK), batch` has one extent for each dimension. Every step is checked in C for overflow and division by zero, so
that a grid is right or refused.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from triton_spacemit.backend.tools.aot.names import spelled
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
}
_FUNCTIONS = {"cdiv": "ceiling_divide", "min": "minimum", "max": "maximum"}
_LONGEST = 1 << 63

_EVALUATED: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "floor_divide": lambda a, b: a // b,
    "remainder": lambda a, b: a % b,
    "ceiling_divide": lambda a, b: -(-a // b),
    "minimum": min,
    "maximum": max,
}


@dataclass(frozen=True)
class Grid:
    """text: as it was given. extents: one to three trees of (operation, left, right), names and numbers."""

    text: str
    extents: tuple["Extent", ...]

    def evaluate(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """The extents where the names have these values. Raises ZeroDivisionError."""
        return tuple(_evaluate(extent, values) for extent in self.extents)

    def c(self) -> tuple[str, str, str]:
        """A C expression for each of three extents, in `int64_t`; `ts_bad` is the name of an int that a wrong step sets."""
        x, y, z = (*map(_c, self.extents), "1", "1")[:3]
        return x, y, z


Extent = int | str | tuple[str, "Extent", "Extent"]


def parse(text: str, integers: frozenset[str], constants: Mapping[str, object]) -> Grid:
    """The grid `text`, of the names `integers` (arguments at run time) and of integer `constants`. Raises UnknownKernelError."""
    try:
        tree = ast.parse(f"({text},)", mode="eval").body
    except SyntaxError as error:
        raise UnknownKernelError(f"the grid {text!r} cannot be read: {error.msg}") from None
    assert isinstance(tree, ast.Tuple)
    if not 1 <= len(tree.elts) <= 3:
        raise UnknownKernelError(f"the grid {text!r} has {len(tree.elts)} extents; one to three are possible")

    def read(node: ast.expr) -> Extent:
        match node:
            case ast.Constant(value=int(value)) if not isinstance(node.value, bool) and abs(value) < _LONGEST:
                return value
            case ast.Name(id=name) if name in integers:
                return name
            case ast.Name(id=name) if isinstance(constant := constants.get(name), int):
                return int(constant)
            case ast.Name(id=name):
                known = ", ".join(sorted(integers | {key for key, value in constants.items() if isinstance(value, int)}))
                raise UnknownKernelError(f"the grid {text!r} names {name!r}; the kernel's integers are {known or 'none'}")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return "subtract", 0, read(operand)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                return _OPERATORS[type(operator)], read(left), read(right)
            case ast.Call(func=ast.Name(id=name), args=[left, right], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name], read(left), read(right)
        raise UnknownKernelError(
            f"the grid {text!r}: {ast.unparse(node)!r} is not supported; integers, + - * // %, cdiv(a, b), min(a, b) and max(a, b) are"
        )

    return Grid(text, tuple(map(read, tree.elts)))


def _evaluate(extent: Extent, values: Mapping[str, int]) -> int:
    if isinstance(extent, int):
        return extent
    if isinstance(extent, str):
        return values[extent]
    operation, left, right = extent
    return _EVALUATED[operation](_evaluate(left, values), _evaluate(right, values))


def _c(extent: Extent) -> str:
    if isinstance(extent, int):
        return f"INT64_C({extent})"
    if isinstance(extent, str):
        return f"(int64_t){spelled(extent)}"
    operation, left, right = extent
    return f"ts_{operation}({_c(left)}, {_c(right)}, &ts_bad)"
