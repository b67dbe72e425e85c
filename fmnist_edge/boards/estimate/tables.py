"""Format estimates, and the accuracy of the boards' constants, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from fmnist_edge import console
from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.estimate.estimates import Estimate, text
from fmnist_edge.boards.estimate.measured import Comparison
from fmnist_edge.catalog.boards import Board

__all__ = ["compared", "document", "shown"]

PAGE = """# Estimated latency on Raspberry Pi boards

Written by `fmnist-edge estimate`. Nothing here was measured on a board. One inference, one thread: emulated
instructions (see [emulated](../emulated/README.md)), their hot blocks through {simulator}'s model of the core, times
one constant a board. The constants are fitted on ncnn's published figures; within ncnn they are off by the errors of
the second table; for another runtime ± 30 % is assumed, and was not checked.
{refit}
{estimates}
{notes}
## What the constants are fitted on

{engine} emulated; published figures: {source}. `predicted`: by the constant of all other networks of the board
(leave-one-out).

{fits}

## Networks that a constant was not fitted on

The constant of the float networks alone, and what it makes of the integer ones.

{unseen}
"""

REFIT = """
The estimates on this page are by a constant that was refit on {file}: {refit:.3f}, where the published figures give
{constant:.3f}.
"""


def shown(estimates: Sequence[Estimate], boards: Sequence[Board]) -> str:
    """A table with a row per artifact and a column per board."""
    header = ["artifact", "engine", *(board.title for board in boards)]
    rows = []
    for name in dict.fromkeys(item.artifact for item in estimates):
        by_board = {item.board: item for item in estimates if item.artifact == name}
        engine = next((item.engine for item in by_board.values() if item.engine), "–")
        rows.append([name, engine, *(cell(by_board[board.name]) for board in boards)])
    return console.table(header, rows)


def cell(item: Estimate) -> str:
    if item.milliseconds is None:
        return "unavailable"
    return text(item.milliseconds, item.error) + " (note)" * (item.note is not None)


def notes(estimates: Sequence[Estimate]) -> list[str]:
    """One line for each artifact and core without an estimate, and for each estimate with a note."""
    missing = [f"{item.artifact} on {item.core}: unavailable, {item.reason}" for item in estimates if item.reason]
    doubtful = [f"{item.artifact} on {item.board}: {item.note}" for item in estimates if item.note]
    return list(dict.fromkeys([*missing, *doubtful]))


def compared(items: Sequence[Comparison]) -> str:
    rows = [
        [
            item.artifact,
            item.engine,
            f"{item.measured_ms:.3f}{'' if item.valid else '*'}",
            f"≈ {item.estimated_ms:.3f}",
            f"{item.off * 100:+.0f}",
        ]
        for item in items
    ]
    return console.table(["artifact", "engine", "measured ms", "estimated ms", "off %"], rows)


def fits(data: JsonObject) -> str:
    """A table of every network on every board: published latency, predicted latency, error."""
    entries = fitted_boards(data)
    header = ["network"]
    for entry in entries:
        header += [f"{entry['title']} published ms", "≈ predicted ms", "off %"]
    rows = []
    for network in entries[0]["networks"]:
        row = [network]
        for entry in entries:
            found = entry["networks"][network]
            row += off(found["published_ms"], found["error"])
        rows.append(row)
    rows.append(["mean error %", *(part for entry in entries for part in ("", "", f"{entry['error'] * 100:.1f}"))])
    rows.append(["constant", *(part for entry in entries for part in ("", "", f"{entry['constant']:.3f}"))])
    return console.table(header, rows)


def fitted_boards(data: JsonObject) -> list[JsonObject]:
    """The boards whose constant was fitted here; a record written by hand has no networks."""
    return [entry for entry in data["boards"].values() if "networks" in entry]


def off(published: float, error: float) -> list[str]:
    return [f"{published:.1f}", f"≈ {published * (1 + error):.1f}", f"{error * 100:+.0f}"]


def unseen(data: JsonObject) -> str:
    rows = [
        [entry["title"], network, *off(entry["networks"][network]["published_ms"], error)]
        for entry in fitted_boards(data)
        for network, error in entry["floats"]["errors"].items()
    ]
    return console.table(["board", "network", "published ms", "≈ predicted ms", "off %"], rows)


def document(
    estimates: Sequence[Estimate],
    boards: Sequence[Board],
    data: JsonObject,
    measured: JsonObject | None = None,
) -> str:
    """The whole Markdown page. `measured`: the report's section of that name if the board's constant was refit."""
    lines = "".join(f"- {line}\n" for line in notes(estimates))
    return PAGE.format(
        simulator=data["simulator"],
        refit="" if measured is None else REFIT.format(**measured),
        estimates=shown(estimates, boards),
        notes=f"\n{lines}" if lines else "",
        engine=data["engine"].replace("==", " "),
        source=data["source"],
        fits=fits(data),
        unseen=unseen(data),
    )
