"""Settings: the only file that reads the environment. Each can also be set as an attribute of `knobs`."""

import math
import os
import threading
import warnings
from collections.abc import Iterable
from typing import Any, ClassVar

from triton._C.libtriton import getenv
from triton.knobs import base_knobs, env_base, env_int, env_opt_str, env_str

from triton_spacemit.backend.devices import resolve
from triton_spacemit.dialect.abi import MAX_THREADS
from triton_spacemit.dialect.chips import Chip, get_chip

_PREFIX = "TRITON_SPACEMIT_"


class env_seconds(env_base[float, float]):  # named as Triton's own
    """A duration in the environment; 0 for none."""

    def __init__(self, key: str, default: float) -> None:
        super().__init__(key)
        self.default = default

    def get(self) -> float:
        value = getenv(self.key)
        return self.default if value is None else self.transform(value)

    def transform(self, value: float | str) -> float:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise RuntimeError(f"Unable to use {self.key}={value}: expected a number of seconds, 0 or more")
        return seconds


class env_choice(env_base[str, str]):  # named as Triton's own
    """One of some words in the environment."""

    def __init__(self, key: str, default: str, choices: tuple[str, ...]) -> None:
        super().__init__(key)
        self.default, self.choices = default, choices

    def get(self) -> str:
        value = getenv(self.key)
        return self.default if value is None else self.transform(value)

    def transform(self, value: str) -> str:
        if value not in self.choices:
            raise RuntimeError(f"Unable to use {self.key}={value}: expected {' or '.join(self.choices)}")
        return value


class env_switch(env_base[bool | None, bool | None]):
    """On or off in the environment. Triton's own switches take any other word for off, which is not safe to do here."""

    _WORDS: ClassVar[dict[str, bool]] = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}

    def __init__(self, key: str, default: bool | None) -> None:
        super().__init__(key)
        self.default = default

    def get(self) -> bool | None:
        value = getenv(self.key)
        return self.transform(value) if value else self.default

    def transform(self, value: bool | str | None) -> bool | None:
        if value is None or isinstance(value, bool):
            return value
        if str(value).lower() not in self._WORDS:
            raise RuntimeError(f"Unable to use {self.key}={value}: expected 0 or 1")
        return self._WORDS[str(value).lower()]


class _Asked(threading.local):
    """times: how often a thread has asked for the number of threads."""

    times = 0


asked = _Asked()


class spacemit_knobs(base_knobs):
    """device: where kernels run. chip: what they are compiled for (None: the device's default). threads: size of the pool a grid is
    spread over (0: every core that this process may use, shared with the other processes here). local_processes: how many torchrun started
    on this machine. qemu: path of qemu-riscv64 (None: found). timeout: seconds after which
    a launch is stopped (0: never). emulate: how matrix instructions run under QEMU, which has none: `trap` runs the kernel's own
    code and its illegal instructions, `call` puts calls in their place, which takes less than half the time. sanitize: kernels that
    are compiled check each access against the storages of their arguments. allow_ime: kernels may use the matrix unit of a chip that has
    one, and operators are chosen for it. sandbox: the guest under QEMU can open no files, sockets or processes (None: where the system
    has what that takes). board: where the device `remote` finds a board: `ssh://HOST`, `unix:PATH` or `exec:COMMAND`.
    """

    device: env_str = env_str("TRITON_SPACEMIT_DEVICE", "host")
    chip: env_opt_str = env_opt_str("TRITON_SPACEMIT_CHIP")
    threads: env_int = env_int("TRITON_SPACEMIT_THREADS", 0)
    local_processes: env_int = env_int("LOCAL_WORLD_SIZE", 1)
    qemu: env_opt_str = env_opt_str("TRITON_SPACEMIT_QEMU")
    timeout: env_seconds = env_seconds("TRITON_SPACEMIT_TIMEOUT", 300.0)
    emulate: env_choice = env_choice("TRITON_SPACEMIT_EMULATE", "trap", ("trap", "call"))
    sanitize: env_switch = env_switch("TRITON_SPACEMIT_SANITIZE", False)
    allow_ime: env_switch = env_switch("TRITON_SPACEMIT_ALLOW_IME", True)
    sandbox: env_switch = env_switch("TRITON_SPACEMIT_SANDBOX", None)
    board: env_opt_str = env_opt_str("TRITON_SPACEMIT_BOARD")

    @property
    def num_threads(self) -> int:
        """`threads`, resolved. Raises RuntimeError where there cannot be so many."""
        asked.times += 1
        threads = self.threads
        if not 0 <= threads <= MAX_THREADS:
            raise RuntimeError(f"Unable to use TRITON_SPACEMIT_THREADS={threads}: expected 0 to {MAX_THREADS}")
        return threads or min(max(len(os.sched_getaffinity(0)) // max(self.local_processes, 1), 1), MAX_THREADS)


knobs = spacemit_knobs()


def warn_of_unknown(names: Iterable[str]) -> None:
    """Warn of variables of the environment that are named as settings are, and are none."""
    known = [knob.key for knob in knobs.knob_descriptors.values()]
    for name in names:
        if name.startswith(_PREFIX) and name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1, 0)[0]
            warnings.warn(f"{name} is no setting; did you mean {near}? There are {', '.join(known)}", RuntimeWarning, stacklevel=2)


warn_of_unknown(os.environ)

_targets: list[tuple[str, str, bool]] = []  # device, chip, and whether its matrix unit is used, if it has one
_indices: dict[tuple[Any, ...], int] = {}


def active_index() -> int:
    """The number of the active (device, chip) in this process, with or without a matrix unit: Triton keeps its compiled kernels per
    such number.

    Every launch asks, so knobs are read here by hand and what they say is resolved once. Raises ValueError where the pair cannot be.
    """
    own = knobs.__dict__
    device = own["device"] if "device" in own else getenv("TRITON_SPACEMIT_DEVICE")
    chip = own["chip"] if "chip" in own else getenv("TRITON_SPACEMIT_CHIP")
    key: tuple[Any, ...] = device, chip, own["allow_ime"] if "allow_ime" in own else getenv("TRITON_SPACEMIT_ALLOW_IME")
    if device == "remote" and not chip:
        key = (*key, knobs.board)  # which says what its chip is
    index = _indices.get(key)
    if index is None:
        device, chip = resolve(device or "host", chip or None)
        target = device, chip, bool(knobs.allow_ime) or not get_chip(chip).ime
        if target not in _targets:
            _targets.append(target)
        index = _indices[key] = _targets.index(target)
    return index


def active_target(index: int | None = None) -> tuple[str, str]:
    """The (device, chip) with the number `index`, or the active one."""
    return _targets[active_index() if index is None else index][:2]


def active_chip() -> Chip:
    """The chip that operators are chosen for: the active one, without its matrix unit where that is not allowed."""
    _, name, allow_ime = _targets[active_index()]
    return get_chip(name) if allow_ime else get_chip(name).without_ime()


def target_count() -> int:
    """How many numbers there are."""
    return len(_targets)


def select_backend() -> None:
    """Let a chosen device choose our backend too, where Triton would find a GPU's beside it and refuse both."""
    if getenv("TRITON_SPACEMIT_DEVICE"):
        os.environ.setdefault("TRITON_DEFAULT_BACKEND", "cpu")


def is_selected() -> bool:
    """Whether Triton was told to use our backend."""
    return getenv("TRITON_DEFAULT_BACKEND") == "cpu"
