"""Links that are slow or end anywhere: one round trip a launch, nothing sent twice, and wherever a link is cut an error and no more."""

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from relay import Relay, Replay
from targets import own_board

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import LinkError
from triton_spacemit.backend.knobs import active_target, knobs

N = 64


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


def command() -> list[str]:
    return shlex.split(own_board().removeprefix("exec:"))


@pytest.fixture
def relayed(tmp_path: Path, cache: None) -> Iterator[Callable[..., Relay]]:
    """Makes a relay to this machine's own agent the board."""
    relays = []

    def make(**limits: float) -> Relay:
        relays.append(Relay(tmp_path / "relay", command(), **limits))
        knobs.board = relays[-1].name
        set_device("remote", "host")
        return relays[-1]

    with knobs.scope():
        yield make
        if relays:
            get_device(*active_target()).close()
    for relay in relays:
        relay.close()


def launch(x: object, y: object, out: object) -> None:
    add[(-(-N // 32),)](x, y, out, N, BLOCK=32)


@pytest.mark.parametrize("milliseconds", [1, 10, 50])
def test_a_launch_is_one_round_trip(relayed, milliseconds: int) -> None:
    relay = relayed(round_trip=milliseconds / 1000)
    x, y, out = torch.randn(3, N).unbind()
    x, y, out = (each.clone() for each in (x, y, out))
    launch(x, y, out)
    assert relay.turns == 2  # who is there, and the launch with all that it needs
    times = []
    for turn in range(3, 8):
        x.fill_(turn)
        start = time.perf_counter()
        launch(x, y, out)
        times.append(time.perf_counter() - start)
        assert torch.equal(out, x + y)
        assert relay.turns == turn
    assert min(times) >= milliseconds / 1000
    # With tensors that stay there nobody waits for what is written.
    turns = relay.turns
    a, b = board.tensor(x), board.empty(N)
    launch(a, a, b)
    assert relay.turns == turns + 1
    assert torch.equal(b.cpu(), x + x)
    assert relay.turns == turns + 2


def test_what_has_not_changed_is_not_sent(relayed) -> None:
    relay = relayed()
    x, y, out = torch.randn(1 << 20), torch.randn(1 << 20), torch.zeros(1 << 20)
    launch(x, y, out)
    before = list(relay.moved)
    launch(x, y, out)
    to_agent = relay.moved[0] - before[0]
    assert to_agent < 1000  # a launch and a request, of 12 MB of arguments
    x[5] = 7.0
    before = list(relay.moved)
    launch(x, y, out)
    assert relay.moved[0] - before[0] < (1 << 16) + 1000
    assert torch.equal(out[:N], x[:N] + y[:N])


def test_a_slow_link_is_not_a_lost_one(relayed) -> None:
    relayed(rate=2e6)
    x, y, out = torch.randn(1 << 18), torch.randn(1 << 18), torch.zeros(1 << 18)
    start = time.perf_counter()
    launch(x, y, out)
    assert time.perf_counter() - start > 1.0  # 3 MB there and 1 MB back at 2 MB/s
    assert torch.equal(out[:N], x[:N] + y[:N])


def recorded(relayed, tensors: tuple[torch.Tensor, ...]) -> Relay:
    """A session with one launch. What is said in it depends on where in a page tensors lie."""
    relay = relayed()
    launch(*tensors)
    get_device(*active_target()).close()
    return relay


def test_a_link_that_ends_anywhere_on_the_way_here(relayed, tmp_path: Path) -> None:
    """The launch is an error, its tensors are as they were, and the next one works."""
    x, y, out = torch.ones(N), torch.ones(N), torch.zeros(N)
    replay = Replay(tmp_path / "replay", recorded(relayed, (x, y, out)).events)
    knobs.board, device = replay.name, get_device(*active_target())
    try:
        for cut in range(replay.size):
            out.zero_()
            replay.cut = cut
            with pytest.raises(LinkError, match="the link to board 'unix:.*' was lost"):
                launch(x, y, out)
            assert not out.any(), cut
            replay.cut = None
            launch(x, y, out)
            assert torch.equal(out, x + y), cut
            device.close()
    finally:
        replay.close()


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_link_that_ends_anywhere_on_the_way_there(relayed, every: bool) -> None:
    """The agent ends, and so do its workers."""
    sent = recorded(relayed, (torch.ones(N), torch.ones(N), torch.zeros(N))).sent
    for cut in [*range(0, len(sent), 1 if every else 41), len(sent)]:
        agent = subprocess.Popen(
            command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        _, said = agent.communicate(sent[:cut], timeout=60)
        assert agent.returncode >= 0, (cut, said)
        deadline = time.monotonic() + 10
        while group_has_processes(agent.pid):
            assert time.monotonic() < deadline, f"a worker is left after {cut} bytes"
            time.sleep(0.01)


def group_has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
