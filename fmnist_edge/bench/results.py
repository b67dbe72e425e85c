"""What a benchmark run leaves behind: raw samples, and statistics derived from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.errors import FileError, InputError
from fmnist_edge.files import write_atomic

__all__ = ["HEADER", "SCHEMA", "load", "path_for", "rows", "save", "summarize", "summary_of"]

# 1: plan, environment (machine, before, after) and cells with raw nanoseconds per round.
SCHEMA = 1

# From 662 samples on, at least two lie beyond the true 99th percentile with 99 % confidence
# (0.99^n + n·0.01·0.99^(n-1) <= 0.01).
SAMPLES_FOR_P99 = 662

HEADER = [
    "artifact", "engine", "threads", "status", "load ms", "first ms", "p50 µs", "p90 µs", "p99 µs",
    "end-to-end p50 µs", "kB", "reason",
]  # fmt: skip
NONE = "–"
LIST_OF_INTEGERS = re.compile(r"\[\n\s+\d+(?:,\n\s+\d+)*\n\s*\]")


def summarize(samples_ns: Sequence[int]) -> dict[str, Any]:
    """Count, and p50, p90, p99, mean, min, max in µs, of every sample given; none is dropped as an outlier.

    Percentiles are nearest-rank, so each is a latency that was measured: definition 1 of Hyndman and Fan 1996
    ("Sample Quantiles in Statistical Packages"), NumPy's "inverted_cdf". p99 is None below 662 samples.
    Raises InputError when there is no sample.

    >>> summarize([3000, 1000, 2000])["p50"]
    2.0
    """
    if not samples_ns:
        raise InputError("no samples to summarize; expected at least 1")
    ordered = sorted(samples_ns)
    return {
        "count": len(ordered),
        "p50": nearest_rank(ordered, 50) / 1000,
        "p90": nearest_rank(ordered, 90) / 1000,
        "p99": nearest_rank(ordered, 99) / 1000 if len(ordered) >= SAMPLES_FOR_P99 else None,
        "mean": sum(ordered) / len(ordered) / 1000,
        "min": ordered[0] / 1000,
        "max": ordered[-1] / 1000,
    }


def nearest_rank(ordered: Sequence[int], percent: int) -> int:
    """The smallest value that at least `percent` % of `ordered` do not exceed; integers, so no rounding error."""
    return ordered[-(-percent * len(ordered) // 100) - 1]


def summary_of(cell: dict[str, Any]) -> dict[str, Any] | None:
    """A cell's statistics over all its rounds, in µs; None when nothing of it was measured."""
    if not cell["rounds"]:
        return None
    return {
        "cold_load": summarize(cell["cold_load_ns"]),
        "load": summarize(cell["load_ns"]),
        "first": summarize(cell["first_ns"]),
        "engine": summarize(flat(part["engine_ns"] for part in cell["rounds"])),
        "end_to_end": summarize(flat(part["end_to_end_ns"] for part in cell["rounds"])),
    }


def flat(parts: Iterable[list[int]]) -> list[int]:
    return [sample for part in parts for sample in part]


def path_for(result: dict[str, Any], folder: str | Path) -> Path:
    """`folder`/<device>/<UTC time>-<plan>.json"""
    stamp = re.sub(r"\D", "", result["created"][:19])
    return Path(folder) / result["environment"]["machine"]["device"] / f"{stamp}-{result['plan']['name']}.json"


def save(result: dict[str, Any], path: str | Path) -> Path:
    """Write `result` as JSON, a line per series of samples. Raises FileError when `path` cannot be written."""
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    # JSON strings hold no raw line break, so only lists match.
    compact = LIST_OF_INTEGERS.sub(lambda match: "".join(match[0].split()), text)
    return write_atomic(path, compact + "\n")


def load(path: str | Path) -> dict[str, Any]:
    """Read what `save` wrote. Raises FileError when it is missing, damaged or of another schema."""
    try:
        result = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); `fmnist-edge bench` writes results") from None
    except (ValueError, RecursionError):
        raise FileError(f"{path}: not a JSON file; run `fmnist-edge bench` again") from None
    found = result.get("schema") if isinstance(result, dict) else None
    if type(found) is not int or found != SCHEMA:
        raise FileError(f"{path}: result schema is {found!r}, this version reads {SCHEMA}; run the benchmark again")
    return result


def rows(result: dict[str, Any]) -> list[list[str]]:
    """A row of text per cell, in HEADER's columns."""
    return [row(cell) for cell in result["cells"]]


def row(cell: dict[str, Any]) -> list[str]:
    summary = cell["summary"]
    size = NONE if cell["size_bytes"] is None else f"{cell['size_bytes'] / 1000:,.0f}"
    if summary is None:
        numbers = [NONE] * 6
    else:
        engine = summary["engine"]
        numbers = [
            milliseconds(summary["load"]["p50"]),
            milliseconds(summary["first"]["p50"]),
            *(microseconds(value) for value in (engine["p50"], engine["p90"], engine["p99"])),
            microseconds(summary["end_to_end"]["p50"]),
        ]
    return [
        cell["artifact"], cell["engine"], str(cell["threads"]), cell["status"], *numbers, size, cell["reason"] or "",
    ]  # fmt: skip


def milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:,.2f}"


def microseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}"
