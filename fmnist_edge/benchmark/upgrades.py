"""Convert results of older schemas to the newest, see `results`. What they lack becomes null."""

from __future__ import annotations

from typing import Any

from fmnist_edge.aliases import JsonObject

__all__ = ["upgrade"]


def upgrade(result: JsonObject) -> None:
    """Convert a result of schema 2 or later in place. Damage is ignored here; `results.load` finds it."""
    if result["schema"] == 2:
        upgrade_from_2(result)
    if result["schema"] == 3:
        upgrade_from_3(result)
    if result["schema"] == 4:
        upgrade_from_4(result)


def upgrade_from_2(result: JsonObject) -> None:
    """Convert a result of schema 2 to schema 3."""
    cells = [cell for cell in as_list(result.get("cells")) if isinstance(cell, dict)]
    rounds = [part for cell in cells for part in as_list(cell.get("rounds")) if isinstance(part, dict)]
    unseen: tuple[tuple[list[Any], tuple[str, ...]], ...] = (
        ([result.get("before"), result.get("after")], ("gpus",)),
        (cells, ("placement", "parity")),
        (rounds, ("device",)),
        ([part.get("during") for part in rounds], ("gpu",)),
    )
    for items, names in unseen:
        for item in items:
            if isinstance(item, dict):
                item.update(dict.fromkeys(names))
    result["schema"] = 3


def upgrade_from_3(result: JsonObject) -> None:
    """Convert a result of schema 3 to schema 4."""
    cells = [cell for cell in as_list(result.get("cells")) if isinstance(cell, dict)]
    for cell in cells:
        cell.update(side=None, pair=None)
    for part in (part for cell in cells for part in as_list(cell.get("rounds")) if isinstance(part, dict)):
        for name in ("engine", "end_to_end", "device"):
            if isinstance(part.get(name), dict):
                part[name]["noise"] = None
    if isinstance(result.get("plan"), dict):
        result["plan"].update(precision=None, budget_seconds=None)
    result["schema"] = 4


def upgrade_from_4(result: JsonObject) -> None:
    """Convert a result of schema 4 to schema 5."""
    cells = [cell for cell in as_list(result.get("cells")) if isinstance(cell, dict)]
    for cell in cells:
        cell["browser"] = None
    for part in (part for cell in cells for part in as_list(cell.get("rounds")) if isinstance(part, dict)):
        part["first_answer_ns"] = None
        for name in ("engine", "end_to_end", "device"):
            if isinstance(part.get(name), dict):
                part[name]["calls_per_sample"] = 1
    result["schema"] = 5


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
