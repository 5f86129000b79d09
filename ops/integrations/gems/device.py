"""What FlagGems asks of a device's module and `torch.cpu` lacks: the functions of `torch.cuda` for the one device there is."""

import os
from typing import Any

from triton.runtime import driver


class DeviceGuard:
    """Both `torch.cuda.device` and `torch.cuda._DeviceGuard`, where there is nothing to switch."""

    def __init__(self, device: Any = None) -> None:
        self.idx = 0

    def __enter__(self) -> "DeviceGuard":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def get_device_properties(device: Any = None) -> Any:
    """See `triton_spacemit.backend.driver.DeviceProperties`; 0 is PyTorch's number of the one CPU. Raises ValueError for other devices."""
    return driver.active.utils.get_device_properties("cpu" if _is_cpu(device) else device)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    properties = get_device_properties(device)
    return properties.major, properties.minor


def get_device_name(device: Any = None) -> str:
    return str(get_device_properties(device).name)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Bytes of memory that are free, and all. Raises ValueError for another device than the CPU."""
    total = get_device_properties(device).total_memory
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), total


def current_device() -> int:
    """The number by which FlagGems keeps compiled kernels."""
    return 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    return True


def synchronize(device: Any = None) -> None:
    """Launches have ended when they return."""


def _is_cpu(device: Any) -> bool:
    return device is None or (type(device) is int and device == 0) or str(device).partition(":")[0] == "cpu"
