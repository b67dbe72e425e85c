"""Format the results of emulation as tables."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_edge import console
from fmnist_edge.aliases import JsonObject

__all__ = ["document", "rows", "shown"]

HEADER = ["artifact", "core", "images", "same class %", "scores", "max Δ", "instructions M", "± %"]
TITLE = """# Emulated 64-bit Arm cores

Written by `fmnist-edge emulate`. The aarch64 wheels under QEMU's user mode: no clock, so no latency. `images`: how
many of the test set a cell's answers were compared on with the same engine's on x86-64; `same bits`: every score is the
same bit for bit; `instructions M`: millions of one inference, one thread, tensor in to tensor out; `± %`: how far four
counts in two processes lay apart.
"""


def rows(cells: Sequence[JsonObject]) -> list[list[str]]:
    return [row(cell) for cell in cells]


def row(cell: JsonObject) -> list[str]:
    if cell["status"] != "ok":
        return [cell["artifact"], cell["core"], cell["reason"], *[""] * 5]
    parity = cell["parity"]
    tied = f" ({parity['ties']} tied)" if parity["ties"] else ""
    same = "same bits" if parity["bit_equal"] else "differ"
    return [
        cell["artifact"],
        cell["core"],
        f"{parity['images']:,}",
        f"{parity['agreement'] * 100:.2f}{tied}{'' if parity['passed'] else ' FAIL'}",
        same,
        f"{parity['max_abs_delta']:.1e}" if parity["max_abs_delta"] else "0",
        f"{cell['instructions'] / 1e6:,.2f}",
        f"{cell['repeatability'] * 100:.3f}",
    ]


def shown(cells: Sequence[JsonObject]) -> str:
    return console.table(HEADER, rows(cells))


def document(results: Sequence[JsonObject]) -> str:
    """The results of all cores as one Markdown page, with a row per artifact and core, sorted by artifact."""
    cells = [{"core": result["core"], **cell} for result in results for cell in result["cells"]]
    cells.sort(key=lambda cell: cell["artifact"])
    made = ", ".join(f"{name} {version}" for name, version in results[0]["packages"].items()) if results else ""
    qemu = results[0]["qemu"] if results else "unknown"
    return f"{TITLE}\n{shown(cells)}\n\nQEMU {qemu}; {made}.\n"
