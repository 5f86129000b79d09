"""The generator of random kernels, its reference, and what finds and reduces failures."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from random_kernels import accumulating, patterns
from random_kernels.check import Result, check, compare, expected
from random_kernels.draft import Draft
from random_kernels.generate import choose_shapes, generate, store_results
from random_kernels.memory import Memory
from random_kernels.pool import Worker
from random_kernels.program import Line, Pointer, Program, Region, Scalar, Storage, walk
from random_kernels.script import script
from random_kernels.shrink import shrink

from triton_spacemit.backend import set_device
from triton_spacemit.passes.loops import accesses, aliasing, control, elementwise
from triton_spacemit.passes.loops.active_vectors import ActiveVectors
from triton_spacemit.passes.loops.direct_stores import DirectStore

# The generator


def test_a_seed_is_a_program() -> None:
    for seed in range(40):
        program = generate(seed)
        assert program.to_json() == generate(seed).to_json()
        assert program.to_json() == program.copy().to_json()
        assert program.source() == program.copy().source()


CONSTRUCTS = """
tl.load tl.store mask= other=-float('inf') other=float('nan') volatile=True bitcast=True tl.atomic_ tl.program_id
tl.gather tl.reshape tl.trans tl.permute tl.broadcast_to tl.expand_dims tl.join tl.split tl.cat
tl.sum tl.max tl.argmax tl.argmin tl.xor_sum tl.reduce( tl.associative_scan tl.cumsum tl.sort tl.histogram
tl.dot tl.where tl.exp( tl.log( tl.uint32 tl.bfloat16 tl.float64 + 2147483647 * 4294967297
tl.static_range while if else: for
tl.make_tensor_descriptor .store([ tl.float8e5 tl.float8e4nv bitcast=True).to(tl.float32) tl.fma(
other=True tl.atomic_cas( tl.atomic_xchg( ".cs"
"""


def test_what_programs_consist_of() -> None:
    text = "\n".join(generate(seed).source() for seed in range(600))
    assert [part for part in CONSTRUCTS.split() if part not in text] == []
    regions = [sum(isinstance(body[place], Region) for body, place in walk(generate(seed).body)) for seed in range(100)]
    assert max(regions) >= 4
    aliased = [made for made in map(generate, range(100)) if len({pointer.storage for pointer in made.pointers}) < len(made.pointers)]
    assert len(aliased) > 20


def _programs_of(pattern: Callable[[Draft], object]) -> Iterator[Program]:
    """Programs that consist of one pattern each."""
    for seed in range(40):
        draft = Draft(seed)
        choose_shapes(draft)
        pattern(draft)
        store_results(draft)
        draft.place()
        yield draft.program


#: What each pattern is there for: a function of the compiler that takes part only if the optimisation is made, or asked about at run time.
MADE = [
    (patterns.late_loads, aliasing, "redirect"),
    (patterns.stores_behind_each_other, accesses, "stores_together"),
    (patterns.taps, accesses, "store_windows"),
    (patterns.one_place, elementwise, "select_at"),
    (accumulating.product, DirectStore, "meets"),
    (accumulating.product, ActiveVectors, "scaled"),
    (accumulating.rows_of_memory, control, "lower_resident"),
    (accumulating.scaled, control, "lower_scaled_sums"),
]


@pytest.mark.qemu
@pytest.mark.parametrize(("pattern", "owner", "name"), MADE, ids=[name for _, _, name in MADE])
def test_patterns_are_found(pattern: Callable[[Draft], object], owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_device("qemu", chip="x60")
    made, original = [], getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        made.append(result not in (None, []) or name in ("redirect", "store_windows"))
        return result

    monkeypatch.setattr(owner, name, watched)
    for program in _programs_of(pattern):
        assert check(program).kind in ("ok", "undefined")
        if any(made):
            return
    pytest.fail(f"no program of {pattern.__name__} gets to {name}")


def test_choices_can_be_left_out() -> None:
    assert all("tl.gather" not in generate(seed, ["gather"]).source() for seed in range(100))


# The reference


def program(*lines: str, elements: int = 64, **extents: int) -> Program:
    made = Program(0, extents or {"A": 16}, [Storage("int32", elements, "small", 7), Storage("float32", elements, "small", 8)])
    made.pointers = [Pointer("x", 0, 0, "int32"), Pointer("y", 1, 0, "float32")]
    made.scalars = [Scalar("n", 5)]
    made.body = [Line("i = tl.arange(0, A)"), *map(Line, lines)]
    return made


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["tl.store(x + i // 2, i)"], "different values to one address"),
        (["tl.store(x + i - 100, i)"], "outside of the memory"),
        (["tl.store(x + i, tl.load(x + i * 100))"], "outside of the memory"),
        (["tl.store(x + i, tl.gather(i, i - 1, 0))"], "not in the block"),
        (["tl.store(x + i, 7 // (i - n))"], "division by zero"),
        (["v = i.to(tl.float32) * 1e9", "tl.store(x + i, v.to(tl.int32))"], "does not hold"),
        (["tl.store(y, tl.sum(i.to(tl.float32) - 5.3, 0))"], "not exact"),
        (["tl.store(x + i, tl.histogram(i * 2, A))"], "in no bin"),
    ],
)
def test_programs_without_meaning(lines: list[str], why: str) -> None:
    result = check(program(*lines))
    assert result.kind == "undefined"
    assert why in result.detail


@pytest.mark.parametrize(
    "line", ["tl.store(x + i // 2, 3)", "tl.store(x + i - 100, i, mask=i > 99)", "tl.store(x + i, tl.gather(i, A - 1 - i, 0))"]
)
def test_the_nearest_programs_that_have_one(line: str) -> None:
    assert check(program(line)).kind == "ok"


def test_the_interpreter_of_another_process_agrees(tmp_path: Path) -> None:
    """Scripts interpret the kernel as Triton does by itself, without our corrections."""
    (tmp_path / "script.py").write_text(script(generate(2), Result(2, "mismatch"), "host"))
    run = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "0 differ\n"), run.stdout + run.stderr


def test_reductions_by_halves() -> None:
    made = program("t = tl.reduce(i, 0, both)", "tl.store(x, t)", "tl.store(x + 1 + i, tl.associative_scan(i, 0, both))")
    made.helpers = ["@triton.jit\ndef both(a, b):\n    return a + b + a * b"]
    memory = expected(made)
    assert isinstance(memory, Memory)
    total, scanned = 0, []
    for number in range(16):
        total = (total + number + total * number + 2**31) % 2**32 - 2**31
        scanned.append(total)
    assert memory.contents(0)[64 : 64 + 17].tolist() == [total, *scanned]


# The comparison, the workers and the shrinker


def test_one_changed_byte_is_found() -> None:
    made = program("tl.store(x + i, i)")
    want, got = Memory(made), Memory(made)
    assert compare(made, want, got) == ""
    got.contents(0)[3] += 1  # in the slack before the memory
    assert "at -61" in compare(made, want, got)


def test_numbers_that_are_the_same() -> None:
    made = program("tl.store(x + i, i)")
    want, got = Memory(made), Memory(made)
    want.contents(1)[:2] = torch.tensor([float("nan"), 0.0])
    got.contents(1)[:2] = torch.tensor([-float("nan"), -0.0])
    assert compare(made, want, got) == ""
    got.contents(1)[1] = 1e-7
    assert compare(made, want, got) != ""


def test_crashes_and_refusals_are_results() -> None:
    worker = Worker("host")
    assert worker.check(program("tl.store(x + i, 1)")).kind == "ok"
    assert worker.process is not None
    worker.process.kill()
    result = worker.check(program("tl.store(x + i, 1)"))
    assert result.kind == "crash"
    assert "SIGKILL" in result.detail
    assert worker.check(program("tl.store(x + i, tl.dot(i, i))")).kind == "unknown"
    assert worker.check(program("tl.store(x + i, tl.inline_asm_elementwise('', '=r', [i], tl.int32, True, 1))")).kind == "unknown"
    worker.close()


def test_shrinking() -> None:
    """What is left is the gather, what it reads and one store of what comes of it."""

    def fails(candidate: Program) -> Result:
        stored = [s.text for s in map(lambda at: at[0][at[1]], walk(candidate.body)) if isinstance(s, Line) and "tl.store" in s.text]
        gathered = [s.defines for s in map(lambda at: at[0][at[1]], walk(candidate.body)) if isinstance(s, Line) and "tl.gather" in s.text]
        meaning = not isinstance(expected(candidate), Result)
        return Result(0, "mismatch" if meaning and any(f", {name}" in text for name in gathered for text in stored) else "ok")

    source = next(p for p in map(generate, range(1000)) if fails(p).kind == "mismatch")
    small, result = shrink(source, Result(source.seed, "mismatch"), fails)
    assert result.kind == "mismatch"
    assert "tl.gather" in small.source()
    assert len(list(walk(small.body))) <= 6 < len(list(walk(source.body)))
    assert len(small.pointers) <= 2
    assert small.grid == (1, 1, 1)
