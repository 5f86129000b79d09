"""Phase barriers between the threads of one program, or between the programs of one launch."""

from typing import Any

from triton.language import core
from triton.language.extra.smt.calls import call, integer, scalar

GLOBAL_BARRIERS = 64  # of a launch, as in runtime/team.c


class BarriersType(core.base_type):
    """Several barriers behind one handle."""

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BarriersType) and self.copies == other.copies

    def __hash__(self) -> int:
        return hash((BarriersType, self.copies))

    def __str__(self) -> str:
        return f"barriers<{self.copies}>"

    def mangle(self) -> str:
        return f"barriers{self.copies}"

    def _flatten_ir_types(self, builder: Any, out: list[Any]) -> None:
        core.int64._flatten_ir_types(builder, out)

    def _unflatten_ir(self, handles: list[Any], cursor: int) -> tuple["Barriers", int]:
        handle, cursor = core.int64._unflatten_ir(handles, cursor)
        return Barriers(handle, self.copies), cursor


class Barriers(core.base_value):
    """What `mbarrier_copies` returns: `barriers[i]` is one barrier, `i` a compile-time or runtime integer."""

    def __init__(self, handle: core.tensor, copies: int) -> None:
        self.handle = handle
        self.type = BarriersType(copies)

    def _set_name(self, builder: Any, name: str) -> None:
        self.handle._set_name(builder, name)

    def _flatten_ir(self, handles: list[Any]) -> None:
        self.handle._flatten_ir(handles)

    @core.builtin
    def __getitem__(self, index: Any, _semantic: Any = None, _generator: Any = None) -> core.tensor:
        known = core._unwrap_if_constexpr(index)
        if isinstance(known, int) and not 0 <= known < self.type.copies:
            raise IndexError(f"there are {self.type.copies} barriers; {known} is none of them")
        return call(_generator, "barrier_at", [self.handle, scalar(_semantic, index, "the index")], [core.int64], {})


def _make(
    generator: Any, semantic: Any, flag: Any, arrive_count: Any, transaction_count: Any, expect_count: Any, copies: int
) -> core.tensor:
    named = {"flag": flag, "arrive_count": arrive_count, "transaction_count": transaction_count, "expect_count": expect_count}
    operands = [scalar(semantic, value, name) for name, value in named.items()]
    return call(generator, "mbarrier", operands, [core.int64], {"copies": copies})


def _check(bar: Any) -> core.tensor:
    if not isinstance(bar, core.tensor) or bar.type != core.int64:
        raise TypeError(f"expected a barrier, got {getattr(bar, 'type', type(bar).__name__)}")
    return bar


@core.builtin
def mbarrier(flag=0, arrive_count=0, transaction_count=0, expect_count=1, _semantic=None, _generator=None):
    """A barrier whose phase starts at `flag` and flips after `expect_count` arrivals. Every argument may be a runtime value."""
    return _make(_generator, _semantic, flag, arrive_count, transaction_count, expect_count, 1)


@core.builtin
def mbarrier_copies(flag=0, arrive_count=0, transaction_count=0, expect_count=1, copies=1, _semantic=None, _generator=None):
    """`copies` barriers, `bars[0]`, `bars[1]`, ..."""
    copies = integer(copies, "copies")
    if copies < 1:
        raise ValueError(f"copies must be at least 1, got {copies}")
    return Barriers(_make(_generator, _semantic, flag, arrive_count, transaction_count, expect_count, copies), copies)


@core.builtin
def global_mbarrier(id, _semantic=None, _generator=None):
    """The barrier number `id`, 0 to 63, between the programs of one launch."""
    known = core._unwrap_if_constexpr(id)
    if isinstance(known, int) and not 0 <= known < GLOBAL_BARRIERS:
        raise ValueError(f"barriers between programs are numbered 0 to {GLOBAL_BARRIERS - 1}; {known} is none of them")
    return call(_generator, "global_mbarrier", [scalar(_semantic, id, "id")], [core.int64], {})


@core.builtin
def barrier_arrive(bar, _semantic=None, _generator=None):
    """Arrive, without waiting."""
    call(_generator, "barrier_arrive", [_check(bar)], [], {})


@core.builtin
def barrier_wait(bar, flag=0, arrive_count=0, _semantic=None, _generator=None):
    """Block until the phase of `bar` is `flag`."""
    operands = [_check(bar), scalar(_semantic, flag, "flag"), scalar(_semantic, arrive_count, "arrive_count")]
    call(_generator, "barrier_wait", operands, [], {})


@core.builtin
def barrier_set_expect(bar, expect_count=1, _semantic=None, _generator=None):
    """Let `bar` flip after `expect_count` arrivals from now on."""
    call(_generator, "barrier_set_expect", [_check(bar), scalar(_semantic, expect_count, "expect_count")], [], {})
