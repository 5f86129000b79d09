"""Turn the compiler's errors into Triton's CompilationError, which shows the line of the user's source."""

import ast
import linecache
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import triton
from torch_mlir import ir
from triton.compiler.errors import CompilationError

from triton_spacemit.dialect.errors import LoweringError, from_mlir

_TRITON = str(Path(triton.__file__).parent)


@contextmanager
def compilation_errors(kernel: str) -> Iterator[None]:
    """Raise LoweringError and MLIR's own errors from inside as CompilationError; `kernel` is what is being compiled."""
    try:
        yield
    except LoweringError as error:
        raise _compilation_error(error.message, error.location, kernel) from error
    except ir.MLIRError as error:
        said = from_mlir(error, None)
        raise _compilation_error(said.message, said.location, kernel) from error


def _compilation_error(message: str, location: ir.Location | None, kernel: str) -> CompilationError:
    message = f"{message} (kernel {kernel!r})"
    place = user_place(location)
    if place is None:
        return CompilationError(None, ast.Pass(), message)
    file, line, column = place
    source = "".join(linecache.getlines(file)) or None
    node = ast.Pass(lineno=line, col_offset=max(column - 1, 0))
    return CompilationError(source, node, f"{message}\nin {file}:{line}")


def user_place(location: ir.Location | None) -> tuple[str, int, int] | None:
    """File, line and column of the innermost frame of `location` outside Triton's own library, else of the innermost one."""
    places = list(_places(location)) if location is not None else []
    return next((place for place in places if not place[0].startswith(_TRITON)), places[0] if places else None)


def _places(location: ir.Location) -> Iterator[tuple[str, int, int]]:
    if isinstance(location, ir.FileLineColLoc):
        yield location.filename, location.start_line, location.start_col
    elif isinstance(location, ir.NameLoc):
        yield from _places(location.child_loc)
    elif isinstance(location, ir.CallSiteLoc):
        yield from _places(location.callee)
        yield from _places(location.caller)
    elif isinstance(location, ir.FusedLoc):
        for part in location.locations:
            yield from _places(part)
