"""Present a result: table and verdict for people, an exit code for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fmnist_edge.benchmark import browser_table, sides, tables
from fmnist_edge.benchmark.cells import manifest_of
from fmnist_edge.benchmark.environment import int8_dot_flags
from fmnist_edge.benchmark.results import Result
from fmnist_edge.console import table
from fmnist_edge.errors import ArtifactError, GateError, UnavailableError
from fmnist_edge.runtime.engine_catalog import CPU
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["INTERRUPTED", "cpu_notes", "exit_code", "text"]

INTERRUPTED = 130


def text(result: Result) -> str:
    """The table, the lines about unmeasured cells, and the verdict."""
    rows = tables.rows(result)
    parts = [table(tables.HEADER, rows, right=["threads"]) + "\n"] if rows else []
    if in_browser := browser_table.rows(result):
        parts.append(table(browser_table.HEADER, in_browser, right=browser_table.HEADER[2:]) + "\n")
    if found := sides.pairs(result):
        parts.append(table(sides.HEADER, sides.rows(found), right=["threads", "rounds"]) + "\n")
    notes = browser_table.notes(result)
    return "\n".join([*parts, *notes, *tables.unmeasured(result), *tables.verdict_lines(result)])


def cpu_notes(result: Result, artifacts: Sequence[Path]) -> list[str]:
    """A line, if a file among `artifacts` that computes in int8 was measured on a CPU without int8 dot products."""
    machine = result["machine"]
    if int8_dot_flags(machine.get("cpu_flags")) != []:
        return []
    manifests = [manifest for path in artifacts if (manifest := manifest_of(path))]
    integers = {manifest.sha256 for manifest in manifests if is_integer(manifest)}
    on_cpu = [cell for cell in result["cells"] if cell["target"] == CPU and cell["rounds"]]
    cells = [cell for cell in on_cpu if cell["sha256"] in integers]
    if not cells:
        return []
    count = len({cell["artifact"] for cell in cells})
    lacking = "dotprod" if str(machine.get("architecture")).startswith(("aarch64", "arm")) else "VNNI"
    return [
        f"note: this CPU has no int8 dot products ({lacking}), and {count} file{'s' * (count > 1)} measured here "
        f"compute{'s' * (count == 1)} in int8: float32 can be faster here, and int8 is faster on a CPU that has them"
    ]


def is_integer(manifest: Manifest) -> bool:
    try:
        return manifest.kind == "integer"
    except ArtifactError:  # a damaged recipe
        return False


def exit_code(result: Result) -> int:
    """130 after an interruption, 1 when a cell failed, 3 when nothing could be measured, otherwise 0.

    INVALID is no failure: the measurements stand, with the reasons against them.
    """
    if result["interrupted"]:
        return INTERRUPTED
    if tables.has_failures(result):
        return GateError.exit_code
    return 0 if any(cell["rounds"] for cell in result["cells"]) else UnavailableError.exit_code
