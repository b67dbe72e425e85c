"""Compile a `.tflite` file for an Arm Ethos-U by Vela, which runs in a child process, and read what it says.

Vela (PyPI `ethos-u-vela`) writes the compiled file, a CSV of ops and a CSV of totals.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.npu.placement import OnCpu, Placement
from fmnist_edge.catalog.npus import Npu
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["CAVEAT", "Compiled", "Settings", "command", "compiled"]

TIMEOUT_S = 600
HOW_TO_GET = (
    "Vela is not installed; run: pip install 'fmnist-edge[npu]', or in an environment of its own "
    "pip install ethos-u-vela, and name its program with --vela"
)
# Vela's README, "Performance information".
CAVEAT = (
    "Vela's cycles are estimates, not accurate representations of real performance. Compare them only within one "
    "setting. An FPGA gives accurate figures; Arm's Fixed Virtual Platform gives approximate ones."
)
WARNING = re.compile(
    r"^Warning \(supported operators\) operator: (?P<kind>[^,\n]+), ofm: '(?P<name>[^'\n]*)'\nReason: (?P<reason>.+)$",
    re.MULTILINE,
)
KIB = 1024


@dataclass(frozen=True)
class Settings:
    """How to run Vela. `program`: its path; None to search for it. The others are Vela's options; None: its default."""

    program: str | None = None
    system_config: str | None = None
    memory_mode: str | None = None


@dataclass(frozen=True)
class Compiled:
    """The compiled file, where its ops run, and the version of Vela."""

    content: bytes
    placement: Placement
    version: str


def command(given: str | None) -> list[str]:
    """The command line that starts Vela. Raises UnavailableError, which says how to get it."""
    if given is not None:
        if shutil.which(given) is None:
            raise UnavailableError(f"--vela {given}: no such program")
        return [given]
    try:
        found = find_spec("ethosu.vela")
    except ModuleNotFoundError:  # of the parent package
        found = None
    if found is not None:
        return [sys.executable, "-m", "ethosu.vela"]
    path = shutil.which("vela")
    if path is None:
        raise UnavailableError(HOW_TO_GET)
    return [path]


def compiled(path: Path, npu: Npu, ops: int, settings: Settings) -> Compiled:
    """Compile the file at `path`, which has `ops` ops.

    Raises UnavailableError without Vela, ArtifactError when Vela refuses the file or crashes on it.
    """
    start = command(settings.program)
    version = run([*start, "--version"], path, None).strip().splitlines()[-1]
    with temporary_folder("vela") as folder:
        options = ["--accelerator-config", npu.vela, "--output-dir", str(folder), "--verbose-performance"]
        for name, value in (("--system-config", settings.system_config), ("--memory-mode", settings.memory_mode)):
            options += [] if value is None else [name, value]
        printed = run([*start, str(path.absolute()), *options], path, folder)
        layers, summary, result = (
            only(folder, pattern) for pattern in ("*_per-layer.csv", "*_summary_*.csv", "*_vela.tflite")
        )
        if layers is None or summary is None or result is None:
            raise ArtifactError(f"{path}: Vela wrote no result; it said: {last_line(printed)}")
        rows, totals = read_csv(layers), read_csv(summary)[0]
        placement = placement_of(npu, ops, rows, printed, figures(totals, version))
        return Compiled(result.read_bytes(), placement, version)


def run(line: Sequence[str], path: Path, folder: Path | None) -> str:
    """What Vela prints. Raises ArtifactError when it fails; `path`: the file that it is about."""
    end = program(line, timeout_s=TIMEOUT_S, folder=folder, environment={**os.environ, "PYTHONSAFEPATH": "1"})
    if end.status is Status.NOT_STARTED:
        raise UnavailableError(f"Vela cannot be started: {end.reason}")
    if end.status is not Status.DONE:
        raise ArtifactError(f"{path}: Vela cannot compile it: {end.reason}")
    return str(end.value)


def placement_of(npu: Npu, ops: int, rows: Sequence[dict[str, str]], printed: str, facts: JsonObject) -> Placement:
    """Where the ops run. `rows`: one for each step; a fused activation is a step of the same name as its op."""
    steps = dict.fromkeys((row["Original Operator"], row["Name"], row["Target"]) for row in rows)
    said = {found["name"]: (found["kind"], found["reason"].strip()) for found in WARNING.finditer(printed)}
    staying = []
    for kind, name, target in steps:
        if target == "CPU":
            known, reason = said.get(name, (kind.upper(), "Vela gives no reason"))
            staying.append(OnCpu(known, name, reason))
    return Placement(npu.name, ops, len(steps) - len(staying), tuple(staying), facts=facts)


def figures(totals: dict[str, str], version: str) -> JsonObject:
    """Vela's totals: bytes, and cycles that are an estimate. No cycles where nothing runs on the NPU."""
    sizes = {name: float(totals[f"{name}_memory_used"]) * KIB for name in MEMORIES}
    cycles = float(totals["cycles_total"])
    return {
        "sram_bytes": round(sizes["sram"]),
        "flash_bytes": round(sizes["on_chip_flash"] + sizes["off_chip_flash"]),
        "dram_bytes": round(sizes["dram"]),
        "estimated_cycles": round(cycles) or None,
        "clock_hz": round(float(totals["core_clock"])),
        "system_config": totals["system_config"],
        "memory_mode": totals["memory_mode"],
        "vela": version,
        "caveat": CAVEAT,
    }


MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.glob(pattern))), None)


def last_line(printed: str) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing"
