"""Runs one program both ways and compares all of its memory."""

import linecache
import time
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import torch
import triton
from random_kernels import reference, watch
from random_kernels.memory import Memory
from random_kernels.program import Program

#: Of processor time; a machine that is busy with other things does not count.
SLOWEST_COMPILE = 10.0
#: Results of exp, log and what is computed from them. These are sums of up to 4,096 positive terms, and each function is within some ulp.
RELATIVE, ABSOLUTE = 1e-4, 1e-6

#: What a run of a program can come to; those in FAILURES are defects.
FAILURES = ("mismatch", "refusal", "slow", "crash", "hang")


@dataclass
class Result:
    """`kind` is "ok", "undefined" (the program has no meaning), "unknown" (the interpreter cannot run it) or one of FAILURES."""

    seed: int
    kind: str
    detail: str = ""
    seconds: float = 0.0  # of compiling

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def expected(program: Program) -> Memory | Result:
    """The memory as the interpreter leaves it."""
    memory = Memory(program)
    try:
        with reference.interpreting():
            reference.run(program, reference.load_kernel(program), memory)
    except watch.Undefined as why:
        return Result(program.seed, "undefined", str(why))
    except Exception:
        return Result(program.seed, "unknown", traceback.format_exc(limit=-3))
    return memory


def check(program: Program) -> Result:
    want = expected(program)
    if isinstance(want, Result):
        return want
    got, kernel = Memory(program), reference.load_kernel(program)
    begin = time.process_time()
    try:
        kernel[program.grid](*got.arguments(), **program.atoms, sanitize_overflow=False)
    except Exception as error:
        message = str(getattr(error, "error_message", None) or error).strip()
        return Result(program.seed, "refusal", f"{type(error).__name__}: {message}"[:2000])
    finally:
        linecache.cache.pop(kernel.fn.__code__.co_filename, None)
    seconds = time.process_time() - begin
    difference = compare(program, want, got)
    if difference:
        return Result(program.seed, "mismatch", difference, seconds)
    return Result(program.seed, "slow" if seconds > SLOWEST_COMPILE else "ok", "", seconds)


def compare(program: Program, want: Memory, got: Memory) -> str:
    """What differs, or an empty string. Equal numbers are the same, and so are any two NaN."""
    found = []
    for number, storage in enumerate(program.storages):
        a, b = want.contents(number), got.contents(number)
        if storage.approximate:
            same = torch.isclose(b.double(), a.double(), rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
        else:
            same = (a == b) | (a != a) & (b != b)
        if not same.all():
            places = (~same).nonzero().flatten()
            some = places[:6].tolist()
            at = ", ".join(str(place - want.slack[number] // a.element_size()) for place in some)
            found.append(
                f"storage {number} ({storage.dtype}): {len(places)} differ, at {at}: got {b[some].tolist()}, want {a[some].tolist()}"
            )
    return "; ".join(found)


def versions() -> str:
    return f"torch {torch.__version__}, triton {triton.__version__}"
