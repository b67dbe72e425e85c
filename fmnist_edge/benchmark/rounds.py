"""Decide which cells need another round: those that are not yet known as well as the plan asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.benchmark.cells import is_counterpart
from fmnist_edge.benchmark.estimates import Rounds, estimate, p50s, ratio

if TYPE_CHECKING:
    from fmnist_edge.benchmark.suite import Session

__all__ = ["further_round"]


def further_round(session: Session, number: int) -> list[tuple[int, int]]:
    """(round, cell) for each cell that needs the round `number`, which is beyond the plan's rounds, in random order.

    A cell needs it while its p50 is less precise than the plan asks, and the round fits into its budget. In a run of
    two sets of artifacts, the ratio to its counterpart counts in place of the p50. Only earlier
    rounds count, so a resumed run goes on in the same way.
    """
    if session.plan.precision is None:
        return []
    wanted = [index for index in range(len(session.cells)) if needs_more(session, index, number)]
    mixed = np.random.default_rng([session.result["seed"], number]).permutation(len(wanted))
    return [(number, wanted[place]) for place in mixed]


def needs_more(session: Session, index: int, number: int) -> bool:
    entries = [session.entries.get((earlier, index)) for earlier in range(number)]
    done = [entry for entry in entries if entry is not None and entry["reply"]["status"] == "measured"]
    if len(done) < number:  # it failed, or was known in an earlier round
        return False
    seconds = sum(entry["during"]["seconds"] for entry in done)
    if seconds * (number + 1) / number > (session.plan.budget_seconds or 0):
        return False
    found = estimate(p50s_before(session, index, number))
    if session.cells[index].side is not None:
        other = next(place for place, cell in enumerate(session.cells) if is_counterpart(cell, session.cells[index]))
        found = ratio(p50s_before(session, index, number), p50s_before(session, other, number))
    return found is None or found.half_width > (session.plan.precision or 0)


def p50s_before(session: Session, index: int, number: int) -> Rounds:
    """The p50s of a cell in the rounds before `number`."""
    entries = {earlier: session.entries.get((earlier, index)) for earlier in range(number)}
    return {
        earlier: p50s(entry["reply"]["engine"])
        for earlier, entry in entries.items()
        if entry is not None and entry["reply"]["status"] == "measured"
    }
