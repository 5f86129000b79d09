"""Input that is nested deeper than upstream's parser, printer or verifier can go is refused before it."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from triton_spacemit.passes.nesting import DEEPEST, too_deep

SHAPES: dict[str, Callable[[int], str]] = {
    "regions": lambda n: "func.func @f(%c: i1) {\n" + "scf.if %c {\n" * n + "}\n" * n + "return\n}\n",
    "Triton's syntax": lambda n: "tt.func public @f(%c: i1) {\n" + "scf.if %c {\n" * n + "}\n" * n + "tt.return\n}\n",
    "modules": lambda n: "module {\n" * n + "}\n" * n,
    "types": lambda n: "func.func private @f(" + "tuple<" * n + "i32" + ">" * n + ")\n",
    "aliases": lambda n: "!t0 = i32\n" + "".join(f"!t{i + 1} = tuple<!t{i}>\n" for i in range(n)) + f"func.func private @f(!t{n})\n",
    "attributes": lambda n: "module attributes {x.a = " + "[" * n + "]" * n + "} {}\n",
    "locations": lambda n: "module {} loc(" + "callsite(" * n + "unknown" + " at unknown)" * n + ")\n",
    "signs": lambda n: "module attributes {x.a = affine_map<(d0) -> (" + "-" * n + "d0)>} {}\n",
    "parentheses": lambda n: "module attributes {x.a = affine_map<(d0) -> (" + "(" * n + "d0" + ")" * n + ")>} {}\n",
    "mistakes": lambda n: "func.func private @f(" + "tuple<" * n + "\n",
}


def run(text: str, *options: str) -> tuple[int, str, float]:
    """Exit code, errors and seconds of the tool."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "triton_spacemit.passes.opt", *options], input=text, capture_output=True, text=True)
    return done.returncode, done.stderr, time.perf_counter() - start


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_levels(shape: str) -> None:
    code, errors, seconds = run(SHAPES[shape](10_000))
    assert code == 1, errors
    assert f"error: nested deeper than {DEEPEST} levels" in errors
    assert len(errors.splitlines()) == 1
    assert seconds < 5  # it takes a tenth of a second where the machine is not busy: MLIR is not even loaded


@pytest.mark.parametrize("shape", SHAPES)
def test_as_deep_as_it_may_be(shape: str) -> None:
    """What is let through does not end the process, though passes may refuse it."""
    text = SHAPES[shape](DEEPEST - 10)
    assert too_deep(text) is None
    code, errors, _ = run(text, "--until=llvm")
    assert code in (0, 1), errors
    assert "Traceback" not in errors


def test_where_it_is() -> None:
    assert too_deep("\n\n ab " + "[" * (DEEPEST + 1)) == (3, 5 + DEEPEST)


def test_what_is_no_nesting() -> None:
    """Brackets in strings and comments, arrows, comparisons, and many levels beside each other."""
    for text in ('"[[\\"[" ' * 1000, "// ((((\n" * 1000, "() -> () " * 1000, "a >= b <= c " * 1000, "[]" * 1000, "d0 - d1 " * 1000):
        assert too_deep(text) is None
    assert too_deep("!a = tuple<i32>\n" * 1000 + "!a " * 1000) is None
    assert too_deep("#set = affine_set<(d0) : (d0 > 0, d0 < 5)>\n" * 1000) is None


def test_long_text_takes_little_time() -> None:
    text = "module {\n" + '  %0 = "x.y"(%a) : (tensor<4x!t.p<f32>>) -> i32 loc("f.py":1:2)\n' * 30_000 + "}\n"
    start = time.perf_counter()
    assert too_deep(text) is None
    assert time.perf_counter() - start < 5  # 0.2 s
