"""Small kernels execute no more instructions than the bar says: what they do is exact, so 1 % is for changes that are worth it."""

import pytest
from perf.bar import BAR, ROWS, measure

from triton_spacemit.backend.knobs import knobs

_MORE, _LESS = 1.01, 0.95


@pytest.mark.qemu
@pytest.mark.parametrize("row", ROWS)
def test_executes_no_more(row: str) -> None:
    with knobs.scope():
        measured = measure(row)
    assert measured.error <= 1
    for what, now, bar in zip(("instructions", "weighted"), (measured.instructions, measured.weighted), BAR[row], strict=True):
        assert now <= bar * _MORE, f"{row} executes more: {now:.0f} {what}, {now / bar - 1:+.1%}"
        assert now >= bar * _LESS, f"{row} executes less: {now:.0f} {what}, {now / bar - 1:+.1%}; write the bar anew (perf/bar.py)"


def test_every_row_has_a_bar() -> None:
    assert list(BAR) == list(ROWS)
