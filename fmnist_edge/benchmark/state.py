"""Read the state of the machine: everything that may change during a run. An unknown value is null, never an error."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from fmnist_edge.benchmark.environment import ROOT, cpu_info, governor, hypervisor, integer, memory_bytes, text
from fmnist_edge.benchmark.gpus import gpus
from fmnist_edge.benchmark.results import State

__all__ = ["Jiffies", "frequencies", "highest_temperature", "jiffies", "now", "state", "throttle_count", "throttled"]

# Positions in /proc/stat of busy time: user, nice, system, irq, softirq. By proc(5), user includes guest, and nice
# includes guest_nice.
BUSY = (0, 1, 2, 5, 6)
STEAL = 7
Jiffies = tuple[float, float]  # CPU seconds of all cores since boot: busy, stolen by the hypervisor


def state(root: Path = ROOT) -> State:
    """The whole state. `root`: the folder that holds /proc and /sys."""
    return {
        "time": now(),
        "load_average": load_average(),
        "frequency_mhz": frequencies(root),
        "temperature_c": highest_temperature(root),
        "throttled": throttled(),
        "throttle_count": throttle_count(root),
        "governor": governor(root),
        "on_battery": on_battery(root),
        "memory_available_bytes": memory_bytes(root, "MemAvailable"),
        "gpus": gpus(),
    }


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def load_average() -> list[float] | None:
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def frequencies(root: Path = ROOT) -> list[float] | None:
    """MHz of each core, from the kernel's cpufreq, or else from x86's /proc/cpuinfo.

    None in a virtual machine without cpufreq, where /proc/cpuinfo shows a constant.
    """
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    kilohertz = [value for value in map(integer, sorted(files)) if value is not None]
    if kilohertz:
        return [value / 1000 for value in kilohertz]
    if hypervisor(root, cpu_info(root)):
        return None
    found = re.findall(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)\s*$", text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return list(map(float, found)) or None


def highest_temperature(root: Path = ROOT) -> float | None:
    """°C of the hottest thermal zone. Implausible readings, outside -40 to 150 °C, are ignored."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    celsius = [value / 1000 for value in map(integer, zones) if value is not None]
    return max((value for value in celsius if -40 < value < 150), default=None)


def throttled(command: str = "vcgencmd") -> int | None:
    """`vcgencmd get_throttled` on a Raspberry Pi; None elsewhere.

    Bits 0 to 3 mean under-voltage, capped frequency, throttled, and soft temperature limit, now. Bits 16 to 19 mean
    the same at any time since boot.
    """
    try:
        done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.fullmatch(r"throttled=(0x[0-9a-fA-F]+)", done.stdout.strip())
    return int(found[1], 16) if found else None


def throttle_count(root: Path = ROOT) -> int | None:
    """x86's thermal throttle events since boot, summed over cores and packages."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = [value for value in map(integer, files) if value is not None]
    return sum(counts) if counts else None


def on_battery(root: Path = ROOT) -> bool | None:
    """Whether the machine runs on battery; None when the system lists no power supply."""
    supplies = list((root / "sys/class/power_supply").glob("*"))
    batteries = [supply for supply in supplies if text(supply / "type") == "Battery"]
    states = [text(supply / "status") for supply in batteries]
    mains = [online for online in (integer(supply / "online") for supply in supplies) if online is not None]
    if any(states):
        return "Discharging" in states and 1 not in mains
    return not any(mains) if mains else None


def jiffies(root: Path = ROOT) -> Jiffies | None:
    """CPU seconds since boot, over all cores; the kernel counts them in hundredths."""
    fields = (text(root / "proc/stat") or "").partition("\n")[0].split()
    try:
        ticks = [int(field) for field in fields[1:]]
        hertz = os.sysconf("SC_CLK_TCK")
        return sum(ticks[index] for index in BUSY) / hertz, ticks[STEAL] / hertz
    except (IndexError, ValueError, AttributeError, OSError):
        return None
