"""Cores that can be emulated, and boards whose latency can be estimated.

A core is a record here. A board is a record in boards.json, most of it fitted by `boards.estimate.calibration`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fmnist_edge.lookup import Catalog

__all__ = ["ACROSS_RUNTIMES", "CORES", "DATA", "Board", "Core", "boards", "data"]

DATA = Path(__file__).with_name("boards.json")
# The constants are fitted on ncnn's figures alone. How far another runtime's lie from what they give could not be seen
# here, for want of single-thread figures published of one; this is what is known of such transfers.
ACROSS_RUNTIMES = 0.30


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
    """A board as it is estimated.

    Attributes:
        ghz: its clock in the published figures; part of the constant's meaning.
        constant: published time over simulated cycles' time.
        error: mean of the leave-one-out errors, as a share, within ncnn.
        bytes_per_cycle: the most weight bytes per simulated cycle of a network it was fitted on.
    """

    name: str
    title: str
    core: str
    ghz: float
    constant: float
    error: float
    bytes_per_cycle: float

    def milliseconds(self, cycles: float) -> float:
        """
        >>> Board("b", "B", "cortex-a72", 2.0, 1.5, 0.1, 0.2).milliseconds(4e6)
        3.0
        """
        return self.constant * cycles / (self.ghz * 1e6)


@cache
def data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


@cache
def boards() -> Catalog[Board]:
    fields = ("title", "core", "ghz", "constant", "error", "bytes_per_cycle")
    return Catalog(
        "board", (Board(name, *(entry[field] for field in fields)) for name, entry in data()["boards"].items())
    )
