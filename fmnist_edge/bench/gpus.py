"""NVIDIA GPUs by their driver's own tool: what they are, their clocks now, and while a child process runs."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypedDict

from fmnist_edge.worker.temporary import temporary_stream

__all__ = ["THROTTLED", "Gpu", "GpuDuring", "GpuWatch", "gpus"]

COMMAND = "nvidia-smi"
TIMEOUT_S = 20  # without persistence mode it first wakes the driver
# NVML's bits of "clocks throttle reasons": hardware slowdown, software and hardware thermal, power brake. Not the power
# cap: large GPUs reach theirs in ordinary work.
THROTTLED = 0x08 | 0x20 | 0x40 | 0x80
# nvidia-smi's name -> ours, and what to make of it.
FIELDS: dict[str, tuple[str, type]] = {
    "index": ("index", int),
    "name": ("name", str),
    "driver_version": ("driver", str),
    "memory.total": ("memory_mib", float),
    "clocks.sm": ("sm_mhz", float),
    "clocks.mem": ("memory_mhz", float),
    "temperature.gpu": ("temperature_c", float),
    "power.draw": ("power_w", float),
    "persistence_mode": ("persistence_mode", str),
}
# By its old name, which new drivers know too; a driver that knows neither answers to the rest.
REASONS = "clocks_throttle_reasons.active"


class Gpu(TypedDict):
    """One GPU at one moment; null for what its driver does not tell. throttle_reasons: NVML's bits."""

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
    """The first GPU while a child ran: one value a second, and all bits of `throttle_reasons` that were seen."""

    sm_mhz: list[float]
    temperature_c: list[float]
    power_w: list[float]
    throttle_reasons: int | None


def query(command: str, more: Iterable[str] = ()) -> list[str]:
    names = ",".join([*FIELDS, REASONS])
    return [command, f"--query-gpu={names}", "--format=csv,noheader,nounits", *more]


def gpus(command: str = COMMAND) -> list[Gpu] | None:
    """Every GPU now; None where there is no NVIDIA driver, or it has none."""
    try:
        done = subprocess.run(query(command), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return (list(parsed(done.stdout)) or None) if done.returncode == 0 else None


def parsed(text: str) -> Iterator[Gpu]:
    """Each whole line of nvidia-smi's answer."""
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == len(FIELDS) + 1:
            values: dict[str, Any] = {name: converted(kind, value) for (name, kind), value in zip(FIELDS.values(), row)}
            yield {**values, "throttle_reasons": bits(row[-1])}  # type: ignore[typeddict-item]


def converted(kind: type, value: str) -> Any:
    """None for "[N/A]" and its like."""
    try:
        return None if value.startswith("[") else kind(value)
    except ValueError:
        return None


def bits(value: str) -> int | None:
    try:
        return int(value, 16)
    except ValueError:
        return None


class GpuWatch:
    """One nvidia-smi that looks every second, from `with` on; `during` afterwards is what it saw, None for nothing."""

    during: GpuDuring | None = None

    def __init__(self, command: str = COMMAND) -> None:
        self._command = command

    def __enter__(self) -> GpuWatch:
        self._said = temporary_stream("w+")
        try:
            self._process: subprocess.Popen | None = subprocess.Popen(
                query(self._command, ["--loop=1"]), stdout=self._said, stderr=subprocess.DEVNULL
            )
        except OSError:
            self._process = None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._said:
            if self._process is None:
                return
            self._process.terminate()
            try:
                self._process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:  # it hangs in a driver that does
                self._process.kill()
            self._said.seek(0)
            self.during = summed([item for item in parsed(self._said.read()) if item["index"] == 0])


def summed(seen: list[Gpu]) -> GpuDuring | None:
    if not seen:
        return None
    reasons = [item["throttle_reasons"] for item in seen if item["throttle_reasons"] is not None]
    together = 0
    for value in reasons:
        together |= value
    return {
        "sm_mhz": [item["sm_mhz"] for item in seen if item["sm_mhz"] is not None],
        "temperature_c": [item["temperature_c"] for item in seen if item["temperature_c"] is not None],
        "power_w": [item["power_w"] for item in seen if item["power_w"] is not None],
        "throttle_reasons": together if reasons else None,
    }
