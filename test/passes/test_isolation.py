"""Work in a child process: results, what is said meanwhile, and ends of the process."""

import os
import signal
import sys
from collections.abc import Callable

import pytest

from triton_spacemit.passes.isolation import Ended, each

PARENT = os.getpid()


def work(item: str, begin: Callable[[str], None]) -> tuple[str, bool]:
    begin(f"work on {item!r}")
    if item == "fault":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "exit":
        os._exit(3)
    if item == "mistake":
        raise BaseException("nobody's")
    if item == "say":
        sys.stderr.write("half a line")
    return item, os.getpid() != PARENT


def test_results_come_from_a_child() -> None:
    assert list(each(work, ["a", "b"])) == [("a", True), ("b", True)]
    assert list(each(work, [])) == []


def test_what_is_behind_an_end_is_done_all_the_same() -> None:
    found = list(each(work, ["a", "fault", "b", "exit", "fault", "c"]))
    fault = Ended("SIGKILL", "work on 'fault'")
    assert found == [("a", True), fault, ("b", True), Ended("exit status 3", "work on 'exit'"), fault, ("c", True)]


def test_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    (_, mistake) = each(work, ["say", "mistake"])
    assert mistake == Ended("exit status 1", "work on 'mistake'")
    said = capsys.readouterr().err
    assert said.startswith("half a lineTraceback")
    assert said.endswith("BaseException: nobody's\n")


def test_nobody_is_left_who_is_not_waited_for() -> None:
    processes = each(lambda item, begin: os.getpid(), [0, 1])
    child = next(processes)
    assert isinstance(child, int)
    processes.close()  # type: ignore[attr-defined]
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
