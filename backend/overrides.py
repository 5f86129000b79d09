"""Files that stand for a stage's result (`TRITON_KERNEL_OVERRIDE`, `ir_override`): Triton reads its own stages', this reads ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def parse(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for Triton's reader of such files."""

    def parse(full_name: str, ext: str, context: Any) -> Any:
        if ext == "xsmt":
            return Path(full_name).read_text()
        if ext == "o":
            return Path(full_name).read_bytes()
        return original(full_name, ext, context)

    return parse
