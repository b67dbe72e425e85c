"""The spread between runs of the same thing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from fmnist_edge.benchmark.estimates import calm_p50, estimate, rounds_of, student_t
from fmnist_edge.benchmark.results import Cell, Result, Round
from fmnist_edge.benchmark.series import merged, nearest_rank
from fmnist_edge.benchmark.summary import repeatability

__all__ = ["LEAST_REPEATS", "Key", "between_runs", "key_of", "repeats_of"]

LEAST_REPEATS = 3
# Two runs on a shared host, half an hour apart, differed by 2 to 6 % in all cells.
LEAST_BETWEEN = 0.08
Key = tuple[str, str, str, int, int]


def key_of(cell: Cell) -> Key:
    return cell["artifact"], cell["target"], cell["engine"], cell["threads"], cell["batch"]


def between_runs(
    a: Sequence[Round], b: Sequence[Round], name: str, percentile: int, repeats: Sequence[Cell] = ()
) -> float:
    """The largest difference to expect between two runs of the same thing, as a share, at 95 %.

    Of LEAST_REPEATS runs or more: Student's t times √2 standard deviations of their percentiles, in logarithms. Else
    what the two runs state. That knows only what varies within a run, so it counts as no less than LEAST_BETWEEN.
    """
    if len(repeats) >= LEAST_REPEATS:
        logs = [math.log(percentile_of(cell["rounds"], name, percentile)) for cell in repeats]
        return math.expm1(student_t(len(logs) - 1) * math.sqrt(2) * statistics.stdev(logs))
    return max(LEAST_BETWEEN, *(stated(rounds, name, percentile) or 0 for rounds in (a, b)))


def stated(rounds: Sequence[Round], name: str, percentile: int) -> float | None:
    """The largest difference to expect between two runs, by what varies within this one; None for too few rounds."""
    if percentile == 50:
        found = estimate(rounds_of(rounds, name))
        return None if found is None else math.sqrt(2) * found.half_width
    return repeatability([percentile_of([part], name, percentile) for part in rounds])


def percentile_of(rounds: Sequence[Round], name: str, percentile: int) -> float:
    """A percentile of all samples, in µs. The 50th is the calm p50, see `estimates`."""
    if percentile == 50:
        return calm_p50(rounds_of(rounds, name))
    windows = [window for part in rounds for window in part[name]["windows"]]  # type: ignore[literal-required]
    return nearest_rank(*merged(windows), percentile) / 1000


def repeats_of(cell: Cell | None, repeats: Sequence[Result]) -> list[Cell]:
    """The cell itself, and the same file on the same engine in the other runs."""
    if cell is None or cell["sha256"] is None or not cell["rounds"]:
        return []
    same = ("sha256", "engine_version")
    found = [item for result in repeats for item in result["cells"] if key_of(item) == key_of(cell) and item["rounds"]]
    return [cell, *(item for item in found if all(item[key] == cell[key] for key in same))]  # type: ignore[literal-required]
