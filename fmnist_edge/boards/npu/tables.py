"""Format what an NPU does with files, for the terminal and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fmnist_edge.boards.npu.placement import Placement
from fmnist_edge.catalog.npus import NPUS
from fmnist_edge.console import table

__all__ = ["block", "notes", "page", "summary"]

Placements = Mapping[str, Sequence[Placement]]  # artifact -> one for each NPU
NONE = "–"
OPEN, CLOSE = "<!-- npu -->", "<!-- /npu -->"


def summary(found: Placements) -> str:
    """A row for each artifact and NPU."""
    rows = [row(name, placement) for name, placements in found.items() for placement in placements]
    header = ["artifact", "NPU", "ops", "on the NPU", "removed", "on the CPU", "SRAM", "flash", "DRAM", "cycles", "ms"]
    return table(header, rows, right=header[2:])


def row(name: str, placement: Placement) -> list[str]:
    facts = placement.facts or {}
    sizes = [f"{facts[f'{memory}_bytes']:,}" if facts else NONE for memory in ("sram", "flash", "dram")]
    cycles = facts.get("estimated_cycles")
    time = [f"≈ {cycles:,}", f"≈ {cycles / facts['clock_hz'] * 1e3:.2f}"] if cycles else [NONE, NONE]
    counts = (placement.ops, placement.on_npu, placement.removed, len(placement.on_cpu))
    return [name, placement.npu, *map(str, counts), *sizes, *time]


def notes(found: Placements) -> list[str]:
    """Why ops stay on the CPU, what was not checked, and what the figures are worth."""
    lines = []
    for name, placements in found.items():
        for placement in placements:
            reasons = Counter((item.kind, item.reason) for item in placement.on_cpu)
            for (kind, reason), count in reasons.items():
                lines.append(f"{name} on {placement.npu}: {count} × {kind} on the CPU: {reason}")
    limits: dict[str, dict[str, None]] = {}
    for placement in (item for placements in found.values() for item in placements):
        if placement.facts is None:
            limits.setdefault(placement.npu, {}).update(dict.fromkeys(placement.limits))
        else:
            facts = placement.facts
            settings = (f"Vela {facts['vela']}", facts["system_config"], facts["memory_mode"])
            lines.append(f"{placement.npu}: {', '.join(settings)}, {facts['clock_hz'] / 1e6:g} MHz. {facts['caveat']}")
    for npu, texts in limits.items():
        lines.append(f"{npu}: judged by {NPUS[npu].source}. Not checked here: {'; '.join(texts)}.")
    return list(dict.fromkeys(lines))


def block(found: Placements) -> str:
    """The table and its notes, as Markdown."""
    return f"{summary(found)}\n\n" + "\n".join(f"- {line}" for line in notes(found))


def page(text: str, found: Placements) -> str | None:
    """`text` with the block between the markers written anew; None when it has no markers."""
    start, end = text.find(OPEN), text.find(CLOSE)
    if not 0 <= start < end:
        return None
    return f"{text[: start + len(OPEN)]}\n{block(found)}\n{text[end:]}"
