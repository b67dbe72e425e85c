"""Compare counted instructions with those of a baseline: earlier results of `emulate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation import results
from fmnist_edge.errors import FileError, InputError

__all__ = ["HEADER", "Change", "changes", "read", "rows"]

HEADER = ["artifact", "engine", "core", "before", "now", "change"]
Key = tuple[str, str, str]  # artifact, engine, core


@dataclass(frozen=True)
class Change:
    """The instructions of one inference of an artifact on a core, before and now; before is None if it is new."""

    artifact: str
    engine: str
    core: str
    before: int | None
    now: int

    @property
    def share(self) -> float | None:
        """The change as a share of before: 0.01 is 1 % more."""
        return None if self.before is None else self.now / self.before - 1


def read(folder: Path) -> dict[Key, JsonObject]:
    """The cells of the results in `folder` that counted instructions. Raises FileError when there are none."""
    found = {
        (cell["artifact"], cell["engine"], result["core"]): cell
        for result in results.load_all(folder)
        for cell in result["cells"]
        if cell["status"] == "ok" and cell.get("instructions")
    }
    if not found:
        raise FileError(f"--baseline {folder}: no counted instructions in it; expected a folder that `emulate` wrote")
    return found


def changes(cells: Sequence[JsonObject], baseline: dict[Key, JsonObject]) -> list[Change]:
    """A Change for each cell that counted. Raises InputError when the baseline has none of them.

    Cells are matched by name, engine and core: the files are expected to differ.
    """
    found = []
    for cell in cells:
        if cell["status"] == "ok" and cell.get("instructions"):
            old = baseline.get((cell["artifact"], cell["engine"], cell["core"]))
            before = None if old is None else old["instructions"]
            found.append(Change(cell["artifact"], cell["engine"], cell["core"], before, cell["instructions"]))
    if found and all(change.before is None for change in found):
        first = found[0]
        raise InputError(
            f"--baseline has none of the {len(found)} cells, such as {first.artifact} on {first.core}; its artifacts "
            "need the same folder and file names"
        )
    return found


def rows(found: Sequence[Change]) -> list[list[str]]:
    """A row per change, in HEADER's columns; instructions in millions."""
    return [
        [
            item.artifact,
            item.engine,
            item.core,
            "new" if item.before is None else f"{item.before / 1e6:,.3f} M",
            f"{item.now / 1e6:,.3f} M",
            "–" if item.share is None else f"{item.share:+.2%}",
        ]
        for item in found
    ]
