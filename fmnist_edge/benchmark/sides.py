"""Compare the two sides of a run of `bench A B --ab`: B against A, paired round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.benchmark.estimates import Estimate, calm_p50, p50s_of, ratio
from fmnist_edge.benchmark.results import Cell, Result, is_software
from fmnist_edge.benchmark.validity import VALID, judge_ratio

__all__ = ["HEADER", "Pair", "pairs", "rows"]

HEADER = ["pair", "engine", "threads", "A calm p50 µs", "B calm p50 µs", "B/A [95 %]", "rounds", "verdict", "finding"]


@dataclass(frozen=True)
class Pair:
    """The two cells of a pair, and B's calm p50 divided by A's; None for too few rounds."""

    a: Cell
    b: Cell
    estimate: Estimate | None

    @property
    def verdict(self) -> str:
        return judge_ratio(self.estimate)["status"]

    @property
    def finding(self) -> str:
        """ "slower" or "faster" when the whole interval is on one side of 1, "same" when it holds 1 and the ratio is
        VALID, otherwise "not known"."""
        if self.estimate is None:
            return "not known"
        if self.estimate.lower > 1:
            return "slower"
        if self.estimate.upper < 1:
            return "faster"
        return "same" if self.verdict == VALID else "not known"

    def is_slower(self, by: float) -> bool:
        """Whether B failed, or its p50 is more than `by` above A's (0.1 is 10 %) and the whole interval is above 1."""
        if self.estimate is None:
            return bool(self.a["rounds"]) and self.b["status"] == "failed"
        return self.estimate.value > 1 + by and self.finding == "slower"


def pairs(result: Result) -> list[Pair]:
    """The pairs of a run; empty for a run of one set of artifacts."""
    cells = [cell for cell in result["cells"] if not is_software(cell)]
    of_b = {key_of(cell): cell for cell in cells if cell["side"] == "B"}
    both = [(cell, of_b[key_of(cell)]) for cell in cells if cell["side"] == "A" and key_of(cell) in of_b]
    return [Pair(a, b, ratio(p50s_of(b), p50s_of(a))) for a, b in both]


def key_of(cell: Cell) -> tuple[str | None, str, int, int]:
    return cell["pair"], cell["engine"], cell["threads"], cell["batch"]


def rows(found: Sequence[Pair]) -> list[list[str]]:
    """A row per pair, in HEADER's columns."""
    return [
        [
            pair.a["pair"] or "",
            pair.a["engine"],
            str(pair.a["threads"]) if pair.a["batch"] == 1 else f"{pair.a['threads']}, batch {pair.a['batch']}",
            *(f"{calm_p50(p50s_of(cell)):,.1f}" if cell["rounds"] else "–" for cell in (pair.a, pair.b)),
            *interval(pair.estimate),
            pair.verdict,
            pair.finding,
        ]
        for pair in found
    ]


def interval(found: Estimate | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    return f"{found.value:.3f} [{found.lower:.3f}, {found.upper:.3f}]", str(found.rounds)
