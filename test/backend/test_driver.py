"""The driver's surface, the choice of device and chip, and how the package is found."""

import copy
import pickle
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import triton
from triton.backends import backends
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from triton_spacemit.backend import set_device
from triton_spacemit.backend.driver import CPUDriver
from triton_spacemit.backend.knobs import active_target, knobs


def python(code: str, **environment: str) -> str:
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_is_the_active_driver_without_a_gpu():
    assert isinstance(driver.active, CPUDriver)
    assert backends["cpu"].driver is CPUDriver


def test_import_of_triton_stays_light():
    code = "import sys, triton; print([name for name in ('torch', 'torch_mlir', 'llvmlite') if name in sys.modules])"
    assert python(code) == "[]"


@pytest.mark.parametrize(
    "first",
    [
        "triton.backends.spine_triton.driver",
        "triton.backends.spine_triton.compiler",
        "triton_spacemit.backend.driver",
        "triton_spacemit.backend.knobs",
    ],
)
def test_alias_package_is_the_same_module_whichever_is_imported_first(first):
    names = "import triton.backends.spine_triton.driver as a, triton_spacemit.backend.driver as b"
    code = f"import {first}; {names}; print(a is b, a.CPUDriver().utils is None)"
    assert python(code) == "True False"


def test_steps_aside_for_a_gpu_unless_selected(monkeypatch):
    monkeypatch.delenv("TRITON_DEFAULT_BACKEND", raising=False)
    monkeypatch.setitem(backends, "gpu", SimpleNamespace(driver=SimpleNamespace(is_active=lambda: True)))
    assert not CPUDriver.is_active()
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "cpu")
    assert CPUDriver.is_active()


def test_a_chosen_device_chooses_the_backend():
    code = "import os, triton; print(os.environ.get('TRITON_DEFAULT_BACKEND'))"
    assert python(code) == "None"
    assert python(code, TRITON_SPACEMIT_DEVICE="null") == "cpu"


def test_device_and_chip_from_the_environment(monkeypatch):
    assert active_target() == ("host", "host")
    monkeypatch.setenv("TRITON_SPACEMIT_DEVICE", "qemu")
    assert active_target() == ("qemu", "x60")
    monkeypatch.setenv("TRITON_SPACEMIT_CHIP", "a100")
    assert active_target() == ("qemu", "a100")
    assert driver.active.get_current_target() == GPUTarget("cpu", "a100", 32)
    assert driver.active.current_arch_id == "0xA064"


def test_set_device_changes_target_and_device_number():
    numbers = set()
    for name, chip in (("null", "x60"), ("null", "a100"), ("qemu", "x60"), ("host", "host")):
        set_device(name, chip)
        assert active_target() == (name, chip)
        numbers.add(driver.active.get_current_device())
    assert len(numbers) == 4


@pytest.mark.parametrize(
    ("device", "chip", "message"),
    [
        ("gpu", None, "unknown device 'gpu'; known: host, qemu, remote, null"),
        ("null", "k9", "unknown chip 'k9'"),
        ("host", "x60", "device 'host' cannot run code for chip 'x60'"),
        ("qemu", "host", "device 'qemu' cannot run code for chip 'host'"),
    ],
)
def test_impossible_targets_are_refused(device, chip, message):
    with pytest.raises(ValueError, match=message):
        set_device(device, chip)
    assert active_target() == ("host", "host")


@pytest.mark.parametrize("value", ["soon", "nan", "inf", "-5", ""])
def test_a_timeout_is_a_number_of_seconds(monkeypatch, value):
    assert knobs.timeout == 300.0
    monkeypatch.setenv("TRITON_SPACEMIT_TIMEOUT", "1.5")
    assert knobs.timeout == 1.5
    monkeypatch.setenv("TRITON_SPACEMIT_TIMEOUT", value)
    with pytest.raises(RuntimeError, match=rf"TRITON_SPACEMIT_TIMEOUT={value}: expected a number of seconds, 0 or more"):
        _ = knobs.timeout
    with knobs.scope():
        knobs.timeout = float("nan")
        with pytest.raises(RuntimeError, match="TRITON_SPACEMIT_TIMEOUT=nan"):
            _ = knobs.timeout


def test_emulation_is_one_of_two(monkeypatch):
    assert knobs.emulate == "trap"
    monkeypatch.setenv("TRITON_SPACEMIT_EMULATE", "call")
    assert knobs.emulate == "call"
    monkeypatch.setenv("TRITON_SPACEMIT_EMULATE", "calls")
    with pytest.raises(RuntimeError, match="TRITON_SPACEMIT_EMULATE=calls: expected trap or call"):
        _ = knobs.emulate


@pytest.mark.parametrize("value", [-1, 1025, 10**20])
def test_a_number_of_threads_is_one_that_there_can_be(value):
    with knobs.scope():
        knobs.threads = 1024
        assert knobs.num_threads == 1024
        knobs.threads = value
        with pytest.raises(RuntimeError, match=f"TRITON_SPACEMIT_THREADS={value}: expected 0 to 1024"):
            _ = knobs.num_threads


def test_processes_on_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    with knobs.scope():
        knobs.threads = 0
        for processes, threads in (("1", 8), ("3", 2), ("8", 1), ("20", 1)):
            monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
            assert knobs.num_threads == threads
        knobs.threads = 5
        assert knobs.num_threads == 5


def test_a_misspelt_setting_is_named():
    code = "import warnings; warnings.simplefilter('error', RuntimeWarning); import triton; print('imported')"
    assert python(code, TRITON_SPACEMIT_THREADS="4") == "imported"
    with pytest.raises(subprocess.CalledProcessError) as error:
        python(code, TRITON_SPACEMIT_THREAD="4")
    assert "TRITON_SPACEMIT_THREAD is no setting; did you mean TRITON_SPACEMIT_THREADS?" in error.value.stderr


def test_events_measure_milliseconds():
    interface = driver.active.get_device_interface()
    start, end = interface.Event(enable_timing=True), interface.Event(enable_timing=True)
    start.record()
    sum(range(100_000))
    end.record()
    interface.synchronize()
    assert 0 < start.elapsed_time(end) < 1000


def test_do_bench_runs_on_the_cpu():
    calls = []
    assert triton.testing.do_bench(lambda: calls.append(1), warmup=1, rep=2) > 0
    assert calls


def test_properties_that_kernels_size_grids_by_are_not_zero():
    properties = driver.active.utils.get_device_properties(driver.active.get_active_torch_device().index)
    assert all(value > 0 for name, value in properties.items() if isinstance(value, int) and name != "L2_cache_size")
    assert properties["multiprocessor_count"] == knobs.num_threads


@pytest.mark.parametrize("name", [None, "cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0)])
def test_properties_of_the_active_device_by_any_name(name):
    properties = driver.active.utils.get_device_properties(name)
    assert properties == driver.active.utils.get_device_properties(driver.active.get_current_device())
    assert properties.multi_processor_count == properties["multi_processor_count"] == knobs.num_threads
    assert properties.total_memory == properties["total_memory"] > 1 << 28
    assert properties.name == "{1} ({0})".format(*active_target())


def test_properties_of_a_chip_by_its_number():
    set_device("null", "a100")
    number = driver.active.get_current_device()
    set_device("host")
    assert driver.active.utils.get_device_properties(number).vector_bits == 1024
    assert driver.active.utils.get_device_properties(number).name == "a100 (null)"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", torch.device("meta"), -1, 1000, 1.0])
def test_properties_of_other_devices(name):
    with pytest.raises(ValueError, match="none of the cpu backend's"):
        driver.active.utils.get_device_properties(name)


def test_a_property_that_is_not_known_is_an_error():
    properties = driver.active.utils.get_device_properties()
    with pytest.raises(AttributeError, match=r"no device property 'clock_rate'.*total_memory"):
        _ = properties.clock_rate
    assert copy.copy(properties) == pickle.loads(pickle.dumps(properties)) == properties


def test_cpp_types():
    assert driver.active.map_python_to_cpp_type("*fp32") == "void*"
    assert driver.active.map_python_to_cpp_type("i32") == "int32_t"
