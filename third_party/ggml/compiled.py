"""The SpacemiT kernels of a ggml (or llama.cpp) checkout as an object that the qemu device loads.

zig's clang, which is older than SpacemiT's second matrix unit, does not know the names of its instructions. In copies of the files they
are written as words of our own table (`dialect/ime.py`): the same words that SpacemiT's assembler makes.
"""

import re
import tempfile
from pathlib import Path

from triton_spacemit.backend.native import zig
from triton_spacemit.dialect import ime

FOLDER = Path("src", "ggml-cpu", "spacemit")
FILES = ("repack.cpp", "ime1_kernels.cpp")
# What the loader takes: no linker relaxation, no calls into a runtime of the compiler's.
_FLAGS = (
    "-target riscv64-linux-musl -mcpu=spacemit_x60 -std=c++20 -O3 -DNDEBUG -DRISCV64_SPACEMIT_IME1 -fPIC -mno-relax -fno-sanitize=all "
    "-fno-stack-protector -fno-exceptions -fno-rtti -fno-threadsafe-statics -w"
).split()
_MATRIX = re.compile(r"\bvmadot(u|us|su|) +v(\d+) *, *v(\d+) *, *v(\d+)(?: *, *i([48])\b)?")


class CheckoutError(Exception):
    """The path is no checkout with SpacemiT's kernels, or they are not as this adapter knows them."""


def root_of(checkout: Path) -> Path:
    """The folder of ggml in a checkout of it or of llama.cpp. Raises CheckoutError where there is none."""
    for root in (checkout, checkout / "ggml"):
        if all((root / FOLDER / file).is_file() for file in FILES):
            return root
    raise CheckoutError(f"{checkout} has no {FOLDER / FILES[1]}: give a checkout of ggml or llama.cpp of 2026 or later")


def rewritten(text: str) -> str:
    """A file's text with words for the names of matrix instructions."""

    def word(match: re.Match[str]) -> str:
        suffix, vd, vs1, vs2, bits = match.groups()
        return f".word {ime.encode(f'smt.vmadot{suffix}', int(vd), int(vs1), int(vs2), int(bits or 8)):#x}"

    text = _MATRIX.sub(word, text)
    if left := re.search(r'"[^"\n]*\b(vmadot[^"\n]*)', text):
        raise CheckoutError(f"this adapter does not know the instruction {' '.join(left[1].split())!r}")
    return text


def object_of(checkout: Path) -> bytes:
    """The kernels of kernels.cpp, compiled with the checkout's files. Raises CheckoutError, or DeviceError with what the compiler says."""
    root = root_of(checkout)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for file in FILES:
            (folder / file).write_text(rewritten((root / FOLDER / file).read_text()))
        includes = (folder, root / FOLDER, root / "include", root / "src", root / "src" / "ggml-cpu")
        source, output = Path(__file__).with_name("kernels.cpp"), folder / "kernels.o"
        zig("c++", *_FLAGS, *(f"-I{path}" for path in includes), "-c", str(source), "-o", str(output), work=folder)
        return output.read_bytes()
