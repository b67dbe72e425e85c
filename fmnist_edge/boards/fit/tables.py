"""Format what fits where, for the terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.fit.needs import Fit, Needs, Origin, Part
from fmnist_edge.catalog.board_memory import BoardMemory
from fmnist_edge.console import table

__all__ = ["entry", "needs_table", "origins", "page", "reasons", "verdict_table"]

Fits = Mapping[str, Sequence[Fit]]  # artifact -> one for each board
NONE = "–"

PAGE = """# What fits on which board

Written by `make boards`, from the files in `exported/`. A cell has the shares of flash and RAM that a model takes, or
"no". Where a share is above 90 %, it says "tight". [Will it fit?](microcontrollers.md#will-it-fit) says how the figures
are found. No figure comes from a board.

{boards}

## What each model needs

{needs}

{origins}

## The boards

{sources}
"""


def verdict_table(fits: Fits) -> str:
    """A row for each board, a column for each artifact."""
    names = list(fits)
    by_board = zip(*fits.values(), strict=True)
    rows = [[row[0].board.title, *(cell(fit) for fit in row)] for row in by_board]
    return table(["board: flash / RAM", *names], rows)


def cell(fit: Fit) -> str:
    if not fit.fits:
        return "no"
    shares = [NONE if share is None else f"{share:.0%}" for share in (fit.flash_share, fit.ram_share)]
    return " / ".join(shares) + " (tight)" * fit.tight


def needs_table(needs: Mapping[str, Sequence[Needs]]) -> str:
    """A row for each artifact and runtime that can run it."""
    rows = [
        [name, item.runtime, total(item.flash), total(item.ram)]
        for name, found in needs.items()
        for item in found
        if not item.missing
    ]
    return table(["artifact", "runtime", "flash bytes", "RAM bytes"], rows)


def total(parts: Sequence[Part]) -> str:
    """ "model 117,840 + code ≈ 70,000" """
    return " + ".join(f"{part.what} {about(part)}{part.size:,}" for part in parts) or NONE


def about(part: Part) -> str:
    return "≈ " if part.origin is Origin.ESTIMATED else ""


def origins(needs: Mapping[str, Sequence[Needs]]) -> list[str]:
    """Where the figures come from, one line for each part."""
    parts = [part for found in needs.values() for item in found for part in (*item.flash, *item.ram)]
    return list(
        dict.fromkeys(f"{part.what}: {part.origin.value}" + f" ({part.note})" * bool(part.note) for part in parts)
    )


def reasons(fits: Fits) -> list[str]:
    """One line for each artifact and each reason, with the boards that it is about."""
    boards: dict[tuple[str, str], list[str]] = {}
    for name, found in fits.items():
        for fit in found:
            for reason in fit.reasons:
                boards.setdefault((name, reason), []).append(fit.board.name)
    return [f"{name} on {', '.join(where)}: {reason}" for (name, reason), where in boards.items()]


def page(fits: Fits, needs: Mapping[str, Sequence[Needs]], boards: Sequence[BoardMemory]) -> str:
    rows = [
        [
            board.name,
            board.title,
            board.processor,
            NONE if board.flash is None else f"{board.flash:,}",
            f"{board.ram:,}",
            f"{board.block:,}",
            board.source,
        ]
        for board in boards
    ]
    header = ["--board", "board", "processor", "flash bytes", "RAM bytes", "largest region", "source"]
    sources = table(header, rows, right=header[3:6])
    return PAGE.format(
        boards=verdict_table(fits),
        needs=needs_table(needs),
        origins="\n".join(f"- {line}" for line in origins(needs)),
        sources=sources,
    )


def entry(fit: Fit) -> JsonObject:
    """A fit as JSON."""
    return {
        "board": fit.board.name,
        "fits": fit.fits,
        "tight": fit.tight,
        "reasons": list(fit.reasons),
        "runtime": fit.needs.runtime,
        "flash_share": fit.flash_share,
        "ram_share": fit.ram_share,
        "parts": [
            {"memory": memory, "what": part.what, "bytes": part.size, "origin": part.origin.value, "note": part.note}
            for memory, parts in (("flash", fit.needs.flash), ("ram", fit.needs.ram))
            for part in parts
        ],
    }
