"""Cores that can be emulated, and boards whose latency can be estimated.

A core is a record here. A board is a record in boards.json; `boards.estimate.calibration` fits most of its values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.lookup import Catalog

__all__ = ["ACROSS_RUNTIMES", "CORES", "DATA", "Board", "Core", "boards", "data"]

DATA = Path(__file__).with_name("boards.json")
# Relative error of an estimate for another runtime than ncnn. The constants are fitted on ncnn's figures alone, and no
# single-thread figures of another runtime are published to check them with. This is the known error of such transfers.
ACROSS_RUNTIMES = 0.30


@dataclass(frozen=True)
class Core:
    """A CPU core, as QEMU emulates it.

    Attributes:
        name: QEMU's name of the core.
        part: CPU part in its MIDR register; engines choose kernels by it. Source: Arm's reference manuals.
        features: the features that Linux lists for it in /proc/cpuinfo.
        scheduling: the LLVM scheduling model used for it. For the A53 and the A76 it is their successor's, whose model
            is more complete.
    """

    name: str
    part: str
    features: str
    scheduling: str


ARMV8 = "fp asimd evtstrm crc32 cpuid"
CORES: Catalog[Core] = Catalog(
    "core",
    (
        Core("cortex-a53", "0xd03", ARMV8, "cortex-a55"),
        Core("cortex-a72", "0xd08", ARMV8, "cortex-a72"),
        Core("cortex-a76", "0xd0b", f"{ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp", "neoverse-n1"),
    ),
)


@dataclass(frozen=True)
class Board:
    """A board whose latency can be estimated.

    Attributes:
        ghz: its clock rate in the published figures. The constant is valid for this clock only.
        constant: published time divided by the time of the simulated cycles.
        error: mean leave-one-out error within ncnn, as a fraction.
        bytes_per_cycle: weight bytes per simulated cycle, the maximum over the networks it was fitted on.
    """

    name: str
    title: str
    core: str
    ghz: float
    constant: float
    error: float
    bytes_per_cycle: float

    def milliseconds(self, cycles: float) -> float:
        """The estimated latency of `cycles` simulated cycles.

        >>> Board("b", "B", "cortex-a72", 2.0, 1.5, 0.1, 0.2).milliseconds(4e6)
        3.0
        """
        return self.constant * cycles / (self.ghz * 1e6)


@cache
def data() -> JsonObject:
    return json.loads(DATA.read_text(encoding="utf-8"))


@cache
def boards() -> Catalog[Board]:
    fields = ("title", "core", "ghz", "constant", "error", "bytes_per_cycle")
    return Catalog(
        "board", (Board(name, *(entry[field] for field in fields)) for name, entry in data()["boards"].items())
    )
