"""The processor cores that can be emulated, as data: a new one is an entry here."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_edge.errors import UnknownNameError

__all__ = ["CORES", "Core", "core_named"]


@dataclass(frozen=True)
class Core:
    """A core as QEMU names it and as it describes itself to programs.

    Attributes:
        part: CPU part of its MIDR register, by which engines choose kernels. Source: Arm's reference manuals.
        features: what Linux lists for it in /proc/cpuinfo.
        scheduling: the LLVM scheduling model that stands for it; LLVM has none for the A53 and the A76 that is as
            complete as those of their successors.
    """

    name: str
    part: str
    features: str
    scheduling: str


ARMV8 = "fp asimd evtstrm crc32 cpuid"
CORES = {
    core.name: core
    for core in (
        Core("cortex-a53", "0xd03", ARMV8, "cortex-a55"),
        Core("cortex-a72", "0xd08", ARMV8, "cortex-a72"),
        Core("cortex-a76", "0xd0b", f"{ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp", "neoverse-n1"),
    )
}


def core_named(name: str) -> Core:
    """Raises UnknownNameError for a core that is not in the table."""
    if name not in CORES:
        raise UnknownNameError(f"unknown core {name!r}; choose from: {', '.join(CORES)}")
    return CORES[name]
