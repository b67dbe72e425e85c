"""Format a matrix result as text: tables, and the reasons that their codes stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import floor

from fmnist_edge.aliases import JsonObject

__all__ = ["ARENA_HEADER", "LEGEND", "Codes", "arena_rows", "grids", "versions"]

ARENA_HEADER = ["artifact", "arena bytes", "activations", "persistent"]
LEGEND = (
    "= same outputs bit for bit; a number is the share of images, in %, with the same top class as the reference; "
    "tied: of the others, images on which the engines share a top class because one scores two the same; "
    "FAIL below {integer:g} (integer precisions) or {float:g} (float), ties counted as the same"
)


class Codes:
    """Numbers reasons in order of first use; equal reasons share a number."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, engine: str, reason: str) -> str:
        sentence = reason if reason.startswith(engine) else f"{engine}: {reason}"
        if sentence not in self.reasons:
            self.reasons.append(sentence)
        return f"[{self.reasons.index(sentence) + 1}]"

    def lines(self) -> list[str]:
        return [f"[{number}] {sentence}" for number, sentence in enumerate(self.reasons, 1)]


def grids(result: JsonObject, code: Callable[[str, str], str]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """(header, rows) for each format: a row per artifact, a column per engine. Formats do not share engines."""
    for format in dict.fromkeys(row["format"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["format"] == format]
        engines = [entry["engine"] for entry in rows[0]["cells"]]
        header = ["artifact", *(heading(engine, rows, result["images"]) for engine in engines)]
        yield header, [[row["artifact"], *(shown(entry, row, code) for entry in row["cells"])] for row in rows]


def heading(engine: str, rows: Sequence[JsonObject], images: int) -> str:
    """The engine's name, with its number of images if that differs from the other engines'."""
    counts = {entry["images"] for row in rows for entry in row["cells"] if entry["engine"] == engine} - {None, images}
    return f"{engine} ({counts.pop():,})" if counts else engine


def shown(entry: JsonObject, row: JsonObject, code: Callable[[str, str], str]) -> str:
    if entry["reason"] is not None:
        return code(entry["engine"], entry["reason"])
    if entry["engine"] == row["reference"]:
        return "reference"
    if entry["bit_equal"]:
        return "="
    share = f"{floor(entry['agreement'] * 10_000 + 1e-6) / 100:.2f}"  # rounded down, so that 100 means all
    tied = f" ({entry['ties']:,} tied)" if entry["ties"] else ""
    return f"{share}{tied}" if entry["passed"] else f"{share}{tied} FAIL"


def arena_rows(result: JsonObject) -> list[list[str]]:
    """Bytes of tensor arena for each artifact that ran in TensorFlow Lite Micro."""
    arenas = [(row["artifact"], entry["arena"]) for row in result["rows"] for entry in row["cells"]]
    return [[name, *(f"{arena[part]:,}" for part in ("total", "head", "tail"))] for name, arena in arenas if arena]


def versions(result: JsonObject) -> str:
    """One line with each version and its engines."""
    engines: dict[str, list[str]] = {}
    for engine, version in result["engines"].items():
        engines.setdefault(version, []).append(engine)
    return "; ".join(f"{version}: {', '.join(names)}" for version, names in engines.items())
