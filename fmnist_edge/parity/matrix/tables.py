"""A result as lines of text: tables of rows and columns, and what their codes mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import floor
from typing import Any

__all__ = ["ARENA_HEADER", "LEGEND", "Codes", "arena_rows", "grids", "versions"]

ARENA_HEADER = ["artifact", "arena bytes", "activations", "persistent"]
LEGEND = (
    "= same outputs bit for bit; a number is the share of images, in %, with the same top class as the reference; "
    "tied: of the others, images on which the engines share a top class because one scores two the same; "
    "FAIL below {integer:g} (integer precisions) or {float:g} (float), ties counted as the same"
)


class Codes:
    """Numbers for reasons, in the order in which they are met; the same reason keeps its number."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, engine: str, reason: str) -> str:
        sentence = reason if reason.startswith(engine) else f"{engine}: {reason}"
        if sentence not in self.reasons:
            self.reasons.append(sentence)
        return f"[{self.reasons.index(sentence) + 1}]"

    def lines(self) -> list[str]:
        return [f"[{number}] {sentence}" for number, sentence in enumerate(self.reasons, 1)]


def grids(result: dict[str, Any], code: Callable[[str, str], str]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """(header, rows) per format, because formats share no engine: artifacts down, engines across."""
    for format in dict.fromkeys(row["format"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["format"] == format]
        engines = [entry["engine"] for entry in rows[0]["cells"]]
        header = ["artifact", *(heading(engine, rows, result["images"]) for engine in engines)]
        yield header, [[row["artifact"], *(shown(entry, row, code) for entry in row["cells"])] for row in rows]


def heading(engine: str, rows: Sequence[dict[str, Any]], images: int) -> str:
    """The engine's name, and its number of images where that is not everyone's."""
    counts = {entry["images"] for row in rows for entry in row["cells"] if entry["engine"] == engine} - {None, images}
    return f"{engine} ({counts.pop():,})" if counts else engine


def shown(entry: dict[str, Any], row: dict[str, Any], code: Callable[[str, str], str]) -> str:
    if entry["reason"] is not None:
        return code(entry["engine"], entry["reason"])
    if entry["engine"] == row["reference"]:
        return "reference"
    if entry["bit_equal"]:
        return "="
    share = f"{floor(entry['agreement'] * 10_000 + 1e-6) / 100:.2f}"  # never rounded up to 100
    tied = f" ({entry['ties']:,} tied)" if entry["ties"] else ""
    return f"{share}{tied}" if entry["passed"] else f"{share}{tied} FAIL"


def arena_rows(result: dict[str, Any]) -> list[list[str]]:
    """Bytes of the tensor arena per artifact that ran in TensorFlow Lite Micro."""
    arenas = [(row["artifact"], entry["arena"]) for row in result["rows"] for entry in row["cells"]]
    return [[name, *(f"{arena[part]:,}" for part in ("total", "head", "tail"))] for name, arena in arenas if arena]


def versions(result: dict[str, Any]) -> str:
    """One line: each version and the engines that are of it."""
    engines: dict[str, list[str]] = {}
    for engine, version in result["engines"].items():
        engines.setdefault(version, []).append(engine)
    return "; ".join(f"{version}: {', '.join(names)}" for version, names in engines.items())
