"""List the known facts about the machine of a run, as text."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_edge.benchmark.environment import int8_dot_flags
from fmnist_edge.benchmark.results import Result
from fmnist_edge.report.values import clean_text, number

__all__ = ["machine_facts"]


def machine_facts(result: Result) -> list[tuple[str, str]]:
    machine = result["machine"]
    memory, packages = machine.get("memory_bytes"), machine.get("packages") or {}
    facts = {
        "CPU": machine.get("cpu"),
        "cores": machine.get("affinity_cores") or machine.get("logical_cores"),
        "architecture": machine.get("architecture"),
        "int8 instructions": int8_instructions(machine.get("cpu_flags")),
        "memory": None if memory is None else f"{number(memory) / 2**30:.1f} GiB",
        "virtual machine": yes_or_no(machine.get("hypervisor")),
        "container": yes_or_no(machine.get("container")),
        "GPU": ", ".join(map(str, machine.get("gpus") or [])),
        "GPU driver": machine.get("gpu_driver"),
        "GPU clocks before": gpu_clocks(result),
        "governor": machine.get("governor"),
        "OS": machine.get("os"),
        "kernel": machine.get("kernel"),
        "Python": machine.get("python"),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        **{f"peak, {count} thread{'s' * (count != '1')}": peak for count, peak in peaks(result)},
    }
    return [(clean_text(name), clean_text(value)) for name, value in facts.items() if value not in (None, "")]


def int8_instructions(flags: Sequence[str] | None) -> str | None:
    found = int8_dot_flags(flags)
    return None if found is None else " ".join(found) or "none (no VNNI, no dotprod)"


def gpu_clocks(result: Result) -> str | None:
    gpus = result["before"]["gpus"]
    if not gpus or gpus[0]["sm_mhz"] is None or gpus[0]["memory_mhz"] is None:
        return None
    return f"{number(gpus[0]['sm_mhz']):,.0f} MHz, memory {number(gpus[0]['memory_mhz']):,.0f} MHz"


def peaks(result: Result) -> list[tuple[str, str]]:
    threads = (result["calibration"] or {}).get("threads", {})
    return [
        (
            count,
            f"{number(peak['macs_per_s']) / 1e9:,.1f} GMAC/s float32, {number(peak['bytes_per_s']) / 1e9:,.1f} GB/s",
        )
        for count, peak in threads.items()
    ]


def yes_or_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
