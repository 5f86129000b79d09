"""Boards behind a real OpenSSH server: who is let in, what is run, what is copied, and what is said where it is not so."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssh_server
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import board, set_device
from triton_spacemit.backend.devices import get_device, ssh
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.backend.tools import cli

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(ssh_server.find_sshd() is None, reason="no OpenSSH server; `make sshd` fetches Debian's"),
]


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: None) -> Iterator[ssh_server.Server]:
    """The board `ssh://k1`, which nothing has been copied to."""
    server = ssh_server.make(tmp_path)
    monkeypatch.setenv("PATH", server.path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # too long for sockets: each connection is one of its own
    monkeypatch.setattr(ssh, "agent_program", lambda machine: server.agent)
    with knobs.scope():
        knobs.board = "ssh://k1"
        set_device("remote", "x60")
        yield server
        get_device(*active_target()).close()


def check() -> None:
    """A launch, and its result."""
    x, y, out = torch.randn(3, 1000)
    add[(4,)](x, y, out, 1000, BLOCK=256)
    assert torch.equal(out, x + y)


def again() -> None:
    """End the session: the next launch connects anew."""
    get_device(*active_target()).close()


def test_the_agent_is_copied_once(server: ssh_server.Server) -> None:
    assert not server.installed
    check()
    (agent,) = server.installed
    assert agent.name == f"agent-{ssh.digest_of(server.agent)}"
    assert agent.read_bytes() == server.agent.read_bytes()
    assert agent.stat().st_mode & 0o777 == 0o700
    before = agent.stat().st_mtime_ns, agent.stat().st_ino
    assert board.tensor(torch.ones(3), keep=True).cpu().tolist() == [1.0, 1.0, 1.0]
    again()
    check()
    with get_device(*active_target()).session() as session:
        sent = session.link.sent_bytes
        assert board.tensor(torch.full((1 << 16,), 2.0), keep=True).cpu().sum() == 1 << 17
        assert session.link.sent_bytes - sent > 4 << 16
    again()
    with get_device(*active_target()).session() as session:
        assert board.tensor(torch.full((1 << 16,), 2.0), keep=True).cpu().sum() == 1 << 17
        assert session.link.sent_bytes < 4096
    assert server.installed == [agent]
    assert (agent.stat().st_mtime_ns, agent.stat().st_ino) == before


def test_a_wrong_key(server: ssh_server.Server) -> None:
    server.use("wrong")
    with pytest.raises(LinkError, match=r"the link to board 'ssh://k1' was lost: .*Permission denied \(publickey\)"):
        check()
    assert not server.installed
    server.use("right")
    check()


def test_another_host_key(server: ssh_server.Server) -> None:
    """Whoever answers is not the board: nothing is sent, and nothing is asked on a terminal."""
    server.use("right", host="other_host")
    with pytest.raises(LinkError, match=r"the link to board 'ssh://k1' was lost: .*Host key verification failed"):
        check()
    (server.folder / "known_hosts").write_text("")
    with pytest.raises(LinkError, match=r"Host key verification failed"):
        check()
    assert not server.installed
    server.use("right")
    check()


def test_a_key_that_may_run_the_agent_only(
    server: ssh_server.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the line that `triton-spacemit agent key-line` writes."""
    ssh.install("k1")
    monkeypatch.setattr(sys, "argv", ["triton-spacemit", "agent", "key-line", str(server.key("restricted.pub"))])
    assert cli.main() == 0
    server.allow(capsys.readouterr().out.strip())
    server.use("restricted")
    check()
    again()
    # Whatever such a client asks for, it gets the agent, which takes this for a broken frame.
    result = subprocess.run(["ssh", "k1", "echo", "let me in"], input=b"x" * 100, capture_output=True, check=False, timeout=60)
    assert b"let me in" not in result.stdout
    with pytest.raises(LinkError, match="cannot be copied"):
        ssh.install("k1")
    assert len(server.installed) == 1
    check()


def test_a_restricted_key_without_the_agent(server: ssh_server.Server) -> None:
    server.allow(f'restrict,command="{server.folder}/nowhere --stdio" {server.public("restricted")}')
    server.use("restricted")
    with pytest.raises(LinkError, match="ssh://k1"):
        check()
    assert not server.installed


def test_ssh_that_is_ended_in_a_session(server: ssh_server.Server) -> None:
    check()
    device = get_device(*active_target())
    with device.session() as session:
        session.link.process.kill()
        session.link.process.wait()
    check()


@triton.jit
def wait_for(flag, out):
    value = tl.load(flag)
    while value == 0:
        value = tl.load(flag, volatile=True)
    tl.store(out, value)


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have, parents first."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [process]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_process_on_the_way_is_killed_in_a_launch(server: ssh_server.Server) -> None:
    """The launch is an error, nothing is left running, and the next launch works."""
    check()
    number = 0
    while True:
        with get_device(*active_target()).session() as session:
            client = session.link.process.pid
        processes = [client, *descendants(client)]
        raised: list[Exception] = []

        def launch(raised: list[Exception] = raised) -> None:
            try:
                wait_for[(1,)](torch.zeros(1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32))
            except DeviceError as error:
                raised.append(error)

        thread = threading.Thread(target=launch)
        thread.start()
        time.sleep(0.5)
        processes += [each for each in descendants(client) if each not in processes]  # the worker
        os.kill(processes[number], signal.SIGKILL)
        thread.join(60)
        assert not thread.is_alive(), number
        assert len(raised) == 1, number
        again()
        deadline = time.monotonic() + 20
        while left := [each for each in processes if is_running(each)]:
            assert time.monotonic() < deadline, (number, left)
            time.sleep(0.05)
        check()
        number += 1
        if number == len(processes):
            break
    assert number >= 4  # the client, the server, the agent and its worker
