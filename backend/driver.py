"""The driver that Triton asks for devices, targets, timers and launchers."""

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from triton.backends import driver as _base
from triton.backends.compiler import GPUTarget

from triton_spacemit.backend import patches
from triton_spacemit.backend.knobs import active_index, active_target, is_selected, knobs, select_backend, target_count

if TYPE_CHECKING:
    import torch

    from triton_spacemit.backend.devices.remote import RemoteDevice

#: Triton wants the size of a warp; no kernel's meaning depends on it here.
WARP_SIZE = 32

#: What programs take as the sign of float8 types, without the matrix units and copies of NVIDIA's next generation. No kernel depends on it.
COMPUTE_CAPABILITY = (8, 9)

_CPP_TYPES = {
    "i1": "int8_t",
    "i8": "int8_t",
    "i16": "int16_t",
    "i32": "int32_t",
    "i64": "int64_t",
    "u1": "uint8_t",
    "u8": "uint8_t",
    "u16": "uint16_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "fp16": "double",
    "bf16": "double",
    "fp32": "double",
    "f32": "double",
    "fp64": "double",
}

select_backend()


def _second_cache_bytes() -> int:
    """The size of a core's second cache as Linux gives it; 0 where it does not."""
    path = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    text = path.read_text().strip() if path.exists() else "0"
    return int(text.removesuffix("K")) << 10 if text.endswith("K") else int(text)


class DeviceProperties(dict[str, Any]):
    """What a device is: as items, which Triton reads, and as attributes, which users of PyTorch's device modules read.

    max_shared_mem, multiprocessor_count, max_num_regs, max_threads_per_block, warpSize: Triton's. name, multi_processor_count, warp_size,
    total_memory, L2_cache_size (bytes; 0 where the system does not say), major, minor: PyTorch's. vector_bits: of one register.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the cpu backend knows no device property {name!r}; it knows {', '.join(sorted(self))}") from None


def device_index(device: "int | str | torch.device | None") -> int:
    """Triton's number of a device: None, "cpu" and PyTorch's CPU are the active one. Raises ValueError for what is none of ours."""
    if device is None or str(device).partition(":")[0] == "cpu":
        return active_index()
    active_index()  # resolves the active one, which may be the first
    if type(device) is int and 0 <= device < target_count():
        return device
    raise ValueError(f"device {device!r} is none of the cpu backend's: None, 'cpu', torch.device('cpu') and numbers below {target_count()}")


class Utils:
    """Loads objects onto the active device and describes it."""

    def load_binary(self, name: str, binary: bytes, shared: int, device: int) -> tuple[Any, Any, int, int, int]:
        """Module, function, registers, spills and the largest number of threads, as Triton wants them."""
        from triton_spacemit.backend.devices import check_artifact, get_device
        from triton_spacemit.backend.elf import ElfObject
        from triton_spacemit.backend.launcher import Loading

        patches.apply_to_inductor()
        function = None
        try:
            target = get_device(*active_target(device))
            artifact = ElfObject(binary, name).artifact()
            check_artifact(target, artifact)
            function = target.load(artifact)
        finally:
            Loading.end(function)
        return (target, function), function, target.chip.vector_registers, 0, 1 << 30

    def unload_module(self, module: tuple[Any, Any]) -> None:
        device, function = module
        device.unload(function)

    def get_device_properties(self, device: "int | str | torch.device | None" = None) -> DeviceProperties:
        """Raises ValueError for a device of another backend."""
        from triton_spacemit.dialect.chips import get_chip

        name, chip = active_target(device_index(device))
        threads = knobs.num_threads
        return DeviceProperties(
            max_shared_mem=1 << 30,
            multiprocessor_count=threads,
            max_num_regs=1 << 16,
            max_threads_per_block=1 << 30,
            warpSize=WARP_SIZE,
            vector_bits=get_chip(chip).vlen,
            name=f"{chip} ({name})",
            multi_processor_count=threads,
            warp_size=WARP_SIZE,
            total_memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            L2_cache_size=_second_cache_bytes(),
            major=COMPUTE_CAPABILITY[0],
            minor=COMPUTE_CAPABILITY[1],
        )


def _clock() -> float:
    """Seconds: of this process's clock, or those that launches have taken on a board, whose link is none of a kernel's affair."""
    from triton_spacemit.backend.devices import Clock, device_class, get_device

    name, chip = active_target()
    if device_class(name).clock is not Clock.BOARD:
        return time.perf_counter()
    return cast("RemoteDevice", get_device(name, chip)).seconds


class Event:
    """A point in time; launches are synchronous, so that of `record` is exact."""

    def __init__(self, enable_timing: bool = True, **_: Any) -> None:
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        self.time = _clock()

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds from this event to `end`."""
        return (end.time - self.time) * 1e3

    def synchronize(self) -> None:
        pass

    def query(self) -> bool:
        return True


class DeviceInterface:
    """The part of `torch.cuda` that benchmarks and tests use, for launches that have ended when they return."""

    Event = Event

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def synchronize(device: Any = None) -> None:
        pass

    @staticmethod
    def current_device() -> int:
        return active_index()

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def set_device(device: Any) -> None:
        pass

    @staticmethod
    def current_stream(device: Any = None) -> int:
        return 0

    @staticmethod
    def device(device: Any = None) -> nullcontext[None]:
        return nullcontext()

    @staticmethod
    def stream(stream: Any = None) -> nullcontext[None]:
        return nullcontext()


class CPUDriver(_base.DriverBase):
    """One driver for every device; which one is active may change between launches (`triton_spacemit.backend.set_device`)."""

    def __init__(self) -> None:
        super().__init__()
        from triton_spacemit.backend import launcher

        patches.apply(patches.COMPILE, patches.LAUNCH)
        self.utils = Utils()
        self.launcher_cls = launcher.make_launcher
        # Bound as attributes: every launch asks for them.
        self.get_current_device = active_index

    @staticmethod
    def is_active() -> bool:
        """Whether Triton may pick this driver by itself: when told to, or when no GPU's driver is active."""
        from triton.backends import backends

        return is_selected() or not any(x.driver.is_active() for name, x in backends.items() if name != "cpu")

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        """There is one device at a time, and `triton_spacemit.backend.set_device` chooses it."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cpu", active_target()[1], WARP_SIZE)

    @property
    def current_arch_id(self) -> str:
        """SpacemiT's id of the core, upper-case hex (`0x503C`); empty for the host."""
        from triton_spacemit.dialect.chips import get_chip

        ids = get_chip(active_target()[1]).arch_ids
        return ids[0] if ids else ""

    def get_active_torch_device(self) -> "torch.device":
        import torch

        return torch.device("cpu")

    def get_device_interface(self) -> type[DeviceInterface]:
        return DeviceInterface

    def get_benchmarker(self) -> _base.Benchmarker:
        """What `triton.autotune` measures with: time, or an estimate where time means nothing."""
        from triton.testing import do_bench

        from triton_spacemit.backend import benchmarks

        if benchmarks.is_emulated():
            return benchmarks.benchmark
        return benchmarks.time_on_board if benchmarks.is_on_board() else do_bench

    def get_empty_cache_for_benchmark(self) -> "torch.Tensor":
        """What `clear_cache` writes between timed launches: as large as a core's own caches, since those that cores share are vast."""
        import torch

        return torch.empty(1 << 20, dtype=torch.int32)

    def clear_cache(self, cache: "torch.Tensor") -> None:
        # On this thread: those of PyTorch would go on spinning beside the launch that is timed.
        cache.numpy().fill(0)

    def map_python_to_cpp_type(self, ty: str) -> str:
        return "void*" if ty.startswith("*") else _CPP_TYPES[ty]
