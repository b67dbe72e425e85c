"""Read NVIDIA GPUs through NVML, their driver's library: name, memory and clocks, now or while a child process runs.

`nvidia-ml-py` (module pynvml, extra [gpu]) calls the library. A value that the driver does not report is null, never an
error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType, TracebackType
from typing import Any, TypedDict, cast

from fmnist_edge.aliases import JsonObject

__all__ = ["THROTTLED", "Gpu", "GpuDuring", "GpuMonitor", "gpus"]

PERIOD_S = 1.0
TIMEOUT_S = 20  # without persistence mode NVML must wake the driver first, and a driver can hang
# NVML's bits of "clocks throttle reasons": hardware slowdown, software and hardware thermal, power brake. The power cap
# is left out, because large GPUs reach it in ordinary work.
THROTTLED = 0x08 | 0x20 | 0x40 | 0x80


class Gpu(TypedDict):
    """One GPU at one moment; null where its driver reports no value. throttle_reasons: NVML's bits."""

    index: int | None
    name: str | None
    driver: str | None
    memory_mib: float | None
    sm_mhz: float | None
    memory_mhz: float | None
    temperature_c: float | None
    power_w: float | None
    persistence_mode: str | None
    throttle_reasons: int | None


class GpuDuring(TypedDict):
    """The first GPU while a child ran: one value per second, and all bits of `throttle_reasons` that were seen."""

    sm_mhz: list[float]
    temperature_c: list[float]
    power_w: list[float]
    throttle_reasons: int | None


def temperature(nvml: ModuleType, gpu: object) -> float:
    names = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
    return float(call_first_available(nvml, names, gpu, nvml.NVML_TEMPERATURE_GPU))


def throttle_reasons(nvml: ModuleType, gpu: object) -> int:
    names = ("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCurrentClocksEventReasons")
    return call_first_available(nvml, names, gpu)


def call_first_available(nvml: ModuleType, names: Iterable[str], *arguments: object) -> Any:
    """Call the first of `names` that exists. NVML renames functions: a driver, or a version of pynvml, may have only
    the old name or only the new one."""
    for name in names:
        function = getattr(nvml, name, None)
        if function is not None:
            with suppress(nvml.NVMLError_FunctionNotFound):
                return function(*arguments)
    raise nvml.NVMLError(nvml.NVML_ERROR_FUNCTION_NOT_FOUND)


# Our field -> how to read it from NVML, converted to our unit. NVML returns bytes and milliwatts.
QUERIES: dict[str, Callable[[ModuleType, object], object]] = {
    "name": lambda nvml, gpu: nvml.nvmlDeviceGetName(gpu),
    "memory_mib": lambda nvml, gpu: float(nvml.nvmlDeviceGetMemoryInfo(gpu).total // 2**20),
    "sm_mhz": lambda nvml, gpu: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
    "memory_mhz": lambda nvml, gpu: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM)),
    "temperature_c": temperature,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "persistence_mode": lambda nvml, gpu: "Enabled" if nvml.nvmlDeviceGetPersistenceMode(gpu) else "Disabled",
    "throttle_reasons": throttle_reasons,
}
WATCHED = ("sm_mhz", "temperature_c", "power_w", "throttle_reasons")


def gpus() -> list[Gpu] | None:
    """Every GPU now; None without an NVIDIA driver, a GPU or pynvml, and when the driver hangs."""
    found: list[Gpu] = []
    # In a thread, because Ctrl-C cannot interrupt a call that hangs in the driver.
    reader = threading.Thread(target=lambda: found.extend(every_gpu()), daemon=True)
    reader.start()
    reader.join(TIMEOUT_S)
    return found or None


def every_gpu() -> list[Gpu]:
    with initialised() as nvml:
        if nvml is None:
            return []
        driver = query(nvml, nvml.nvmlSystemGetDriverVersion)
        count = query(nvml, nvml.nvmlDeviceGetCount) or 0
        readings = [reading(nvml, index, QUERIES) for index in range(count)]
        return [cast(Gpu, {"index": index, "driver": driver, **item}) for index, item in enumerate(readings)]


@contextmanager
def initialised() -> Iterator[ModuleType | None]:
    """pynvml with NVML initialised until the end of `with`; None without pynvml or without a driver."""
    nvml = initialise()
    try:
        yield nvml
    finally:
        if nvml is not None:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


def initialise() -> ModuleType | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def reading(nvml: ModuleType, index: int, fields: Iterable[str]) -> JsonObject:
    """`fields` of one GPU now; all None when the GPU is lost."""
    gpu = query(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
    return {field: None if gpu is None else query(nvml, QUERIES[field], nvml, gpu) for field in fields}


def query(nvml: ModuleType, function: Callable[..., Any], *arguments: object) -> Any:
    """Call an NVML function; None when the driver does not report the value, or when a name is not UTF-8."""
    try:
        return function(*arguments)
    except (nvml.NVMLError, UnicodeDecodeError):
        return None


class GpuMonitor:
    """Reads the first GPU every second inside `with`; afterwards `during` has the readings, or None without any.

    The reading thread ends with the `with` block. When the driver hangs, the thread is abandoned after TIMEOUT_S.
    """

    during: GpuDuring | None = None

    def __init__(self, period_s: float = PERIOD_S) -> None:
        self._period_s = period_s
        self._seen: list[JsonObject] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> GpuMonitor:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join(TIMEOUT_S)
        self.during = combined(list(self._seen))

    def _watch(self) -> None:
        # NVML stays initialised between readings. Otherwise a driver without persistence mode would wake every second.
        with initialised() as nvml:
            if nvml is None:
                return
            while True:
                self._seen.append(reading(nvml, 0, WATCHED))
                if self._done.wait(self._period_s):
                    return


def combined(seen: list[JsonObject]) -> GpuDuring | None:
    values = {field: [item[field] for item in seen if item[field] is not None] for field in WATCHED}
    if not any(values.values()):
        return None
    together = 0
    for bits in values["throttle_reasons"]:
        together |= bits
    return {
        "sm_mhz": values["sm_mhz"],
        "temperature_c": values["temperature_c"],
        "power_w": values["power_w"],
        "throttle_reasons": together if values["throttle_reasons"] else None,
    }
