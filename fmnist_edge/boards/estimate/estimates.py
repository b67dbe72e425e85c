"""Estimate the latency of an artifact on a board: its emulated cycles times the board's constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.emulation import results
from fmnist_edge.catalog.boards import ACROSS_RUNTIMES, Board

__all__ = ["Estimate", "cell_figures", "committed", "estimate", "text"]

MAX_INTENSITY_RATIO = (
    2.0  # weight bytes per cycle, relative to the largest among the networks that the constant is fitted on
)


@dataclass(frozen=True)
class Estimate:
    """The estimated latency of one inference in one thread, or the reason why there is none.

    Attributes:
        engine: None without an estimate.
        instructions: of one inference; None without an estimate.
        milliseconds: None without an estimate.
        error: how far the estimate may be off, as a share.
        reason: why there is no estimate, and what to run.
        note: why the estimate may be less accurate than `error` says.
    """

    artifact: str
    sha256: str
    model: str
    precision: str
    engine: str | None
    board: str
    core: str
    instructions: int | None
    milliseconds: float | None
    error: float
    reason: str | None = None
    note: str | None = None


def text(milliseconds: float, error: float) -> str:
    """An estimate with its error, for people.

    >>> text(5.284, 0.3), text(0.5284, 0.098)
    ('≈ 5.28 ms ± 30 %', '≈ 0.528 ms ± 10 %')
    """
    digits = 3 if milliseconds < 1 else 2 if milliseconds < 10 else 1
    return f"≈ {milliseconds:.{digits}f} ms ± {error:.0%}".replace("%", " %")


def committed() -> list[JsonObject]:
    """The emulated results of every core in all of `results.folders()`; results of the first folder come first."""
    return [result for folder in results.folders() for result in results.load_all(folder)]


def estimate(artifact: Artifact, board: Board, emulated: Sequence[JsonObject], error: float) -> Estimate:
    """Estimate from the emulated cell of the same file, else of a file of the same model, precision and format."""
    name = "/".join(artifact.path.parts[-2:])
    cells = [cell for result in emulated if result["core"] == board.core for cell in result["cells"]]
    alike = [cell for cell in cells if is_alike(cell, artifact)]
    cell = next((cell for cell in cells if cell["sha256"] == artifact.manifest.sha256), None)
    found, note = cell, None
    if cell is None and alike:
        found, note = alike[0], "of another file of this model and precision"
    identity = partial(
        Estimate,
        artifact=name,
        sha256=artifact.manifest.sha256,
        model=artifact.model,
        precision=artifact.precision,
        board=board.name,
        core=board.core,
    )
    if found is None or not found.get("cycles"):
        without = "never emulated" if found is None else "emulated without llvm-mca (on Debian: apt-get install llvm)"
        reason = f"{without}; run: fmnist-edge emulate {artifact.path} --core {board.core}"
        return identity(engine=None, instructions=None, milliseconds=None, error=error, reason=reason)
    made = cell_figures(found, board, artifact.size_bytes, error)
    notes = "; ".join(filter(None, (note, made["note"])))
    return identity(engine=found["engine"], **{**made, "note": notes or None})


def is_alike(cell: JsonObject, artifact: Artifact) -> bool:
    same_format = Path(cell["artifact"]).suffix == artifact.path.suffix
    return same_format and (cell["model"], cell["precision"]) == (artifact.model, artifact.precision)


def cell_figures(
    cell: JsonObject, board: Board, size_bytes: int | None = None, error: float = ACROSS_RUNTIMES
) -> JsonObject:
    """The estimate from an emulated cell with cycles: instructions, milliseconds, error, note.

    `size_bytes`: of the artifact, as an upper bound of its weights.
    """
    cycles = cell["cycles"]["cycles"]
    intensity = (size_bytes or 0) / cycles
    note = None
    if intensity > MAX_INTENSITY_RATIO * board.bytes_per_cycle:
        note = (
            f"probably slower: {intensity:.1f} bytes of weights a cycle, at most {board.bytes_per_cycle:.1f} in what "
            "the constant is fitted on"
        )
    return {
        "instructions": cell["instructions"],
        "milliseconds": board.milliseconds(cycles),
        "error": error,
        "note": note,
    }
