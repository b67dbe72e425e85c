"""The report's tables of emulated cores and estimated boards, with one BoardFigures per artifact.

`read` loads the results of `fmnist-edge emulate` and computes the estimates from them. Neither is a measurement. So
they have their own tables, whose titles and figures say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation import results
from fmnist_edge.boards.estimate.estimates import cell_figures, text
from fmnist_edge.catalog.boards import ACROSS_RUNTIMES, CORES, boards
from fmnist_edge.errors import FileError
from fmnist_edge.report.tables import Column, Table
from fmnist_edge.report.values import clean_text, number

__all__ = ["EMULATED", "ESTIMATED", "BoardFigures", "as_json", "emulated", "estimated", "read"]

EMULATED, ESTIMATED = "emulated", "estimated"
COMPARED = "same class %"


@dataclass(frozen=True)
class BoardFigures:
    """Emulated and estimated figures of one artifact.

    Attributes:
        instructions: core -> millions of instructions for one inference with one thread.
        agreement: share of images with the same answer as on this machine; the lowest of all cores.
        images: number of images compared; the lowest of all cores.
        milliseconds: board -> estimated latency.
        slower: boards on which it is probably slower than the estimate, see `estimates.of_cell`.
    """

    model: str
    file: str
    engine: str
    instructions: dict[str, float]
    agreement: float
    images: float
    milliseconds: dict[str, float]
    slower: tuple[str, ...]


def read(folder: Path) -> list[BoardFigures]:
    """One BoardFigures per emulated artifact, sorted by name; empty when there is no such folder.

    Raises FileError when a file is damaged.
    """
    cells: dict[str, list[tuple[str, JsonObject]]] = {}
    for result in results.load_all(folder):
        for cell in result["cells"]:
            if cell["status"] == "ok":
                cells.setdefault(cell["artifact"], []).append((result["core"], cell))
    try:
        return [line_of(found) for _, found in sorted(cells.items())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{folder}: damaged ({type(error).__name__}: {error}); run `fmnist-edge emulate`") from None


def line_of(found: Sequence[tuple[str, JsonObject]]) -> BoardFigures:
    first = found[0][1]
    by_core = dict(found)
    estimates = {
        board.name: cell_figures(by_core[board.core], board, by_core[board.core].get("size_bytes"))
        for board in boards().values()
        if by_core.get(board.core, {}).get("cycles")
    }
    return BoardFigures(
        model=clean_text(first["model"]),
        file=clean_text(first["artifact"]).rpartition("/")[2],
        engine=clean_text(first["engine"]),
        instructions={core: number(cell["instructions"]) / 1e6 for core, cell in found},
        agreement=min(number(cell["parity"]["agreement"]) for _, cell in found),
        images=min(number(cell["parity"]["images"]) for _, cell in found),
        milliseconds={name: number(found["milliseconds"]) for name, found in estimates.items()},
        slower=tuple(name for name, found in estimates.items() if found["note"]),
    )


ARTIFACT = (
    Column("model", lambda line: line.model),
    Column("file", lambda line: line.file),
    Column("engine", lambda line: line.engine),
)


def emulated(lines: Sequence[BoardFigures]) -> Table:
    """Instructions by core, and the share of answers that are the same as on this machine."""
    cores = [core for core in CORES if any(core in line.instructions for line in lines)]
    columns = [Column(f"{core} M instr.", by("instructions", core), lambda value: f"{value:,.2f}") for core in cores]
    compared = (
        Column(COMPARED, lambda line: line.agreement, lambda value: f"{100 * value:.2f}"),
        Column("images", lambda line: line.images, lambda value: f"{value:,.0f}"),
    )
    return Table("Emulated, no latency: instructions of one inference", [*ARTIFACT, *columns, *compared], lines)


def estimated(lines: Sequence[BoardFigures]) -> Table:
    """Milliseconds by board, each marked as approximate."""
    columns = [
        Column(board.title, by("milliseconds", board.name), approximate, among(board.name))
        for board in boards().values()
    ]
    title = "Estimated, never measured: one inference, one thread; *: probably slower, its weights wait for memory"
    return Table(title, [*ARTIFACT, *columns], [line for line in lines if line.milliseconds])


def approximate(milliseconds: float) -> str:
    return text(milliseconds, ACROSS_RUNTIMES)


def by(field: str, key: str) -> Callable[[BoardFigures], float | None]:
    return lambda line: getattr(line, field).get(key)


def among(board: str) -> Callable[[BoardFigures], bool]:
    return lambda line: board in line.slower


def as_json(lines: Sequence[BoardFigures]) -> JsonObject:
    """The figures for JSON. "error": the error of every estimate, as a share."""
    return {"kinds": {"instructions": EMULATED, "milliseconds": ESTIMATED}, "error": ACROSS_RUNTIMES,
            "artifacts": list(map(asdict, lines))}  # fmt: skip
