"""Lists of kernels to compile ahead of time, in TOML.

```toml
[[kernel]]
kernel = "add.py:add"            # beside the file, or absolute
signature = "*fp32:16, *fp32:16, *fp32:16, i32, 256"
grid = "cdiv(n, 256)"
name = "add_f32"                 # of the C function; the kernel's own where it is left out
constants = ["ROUNDS=10"]        # may be left out
options = { enable_fp_fusion = false }    # may be left out; so may allow_ime
```
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tomli_w

from triton_spacemit.backend.tools.aot.variants import CODE_OPTIONS, Request
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError

_KEYS = {"kernel": str, "signature": str, "grid": str, "name": str, "constants": list, "options": dict}


def read(path: Path) -> list[Request]:
    """The requests of a file. Raises UnknownKernelError, which names what is wrong in it."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnknownKernelError(f"{path}: {error}") from None
    tables = content.pop("kernel", None)
    if content or not isinstance(tables, list) or not tables:
        raise UnknownKernelError(f"{path}: it must consist of tables [[kernel]]" + (f", and has {', '.join(content)}" if content else ""))
    return [_request(path, table) for table in tables]


def _request(path: Path, table: dict[str, Any]) -> Request:
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise UnknownKernelError(f"{path}: {key} = {value!r} is not known; a kernel has {', '.join(_KEYS)}")
    missing = [key for key in ("kernel", "signature", "grid") if key not in table]
    if missing:
        raise UnknownKernelError(f"{path}: a kernel lacks {', '.join(missing)}: {table}")
    place = str(path.parent / table["kernel"])  # absolute ones stay as they are
    constants = tuple(map(str, table.get("constants", ())))
    options = table.get("options", {})
    for name, value in options.items():
        if name not in CODE_OPTIONS or not isinstance(value, bool):
            raise UnknownKernelError(f"{path}: the option {name} = {value!r} is not known; {' and '.join(CODE_OPTIONS)} are true or false")
    return Request(place, table["signature"], table["grid"], constants, table.get("name"), tuple(sorted(options.items())))


def write(path: Path, requests: Iterable[Request]) -> None:
    """Write a file that `read` understands."""
    tables = []
    for request in requests:
        table: dict[str, Any] = {"kernel": request.place, "signature": request.signature, "grid": request.grid}
        if request.name is not None:
            table["name"] = request.name
        if request.constants:
            table["constants"] = list(request.constants)
        if request.options:
            table["options"] = dict(request.options)
        tables.append(table)
    path.write_text(tomli_w.dumps({"kernel": tables}))
