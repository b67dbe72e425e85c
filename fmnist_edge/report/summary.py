"""Write a report as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from fmnist_edge.aliases import JsonObject
from fmnist_edge.report import boards, ratios
from fmnist_edge.report.boards import BoardFigures
from fmnist_edge.report.ratios import Claim, Trio
from fmnist_edge.report.runs import Row, Run

__all__ = ["as_json", "row_as_json"]

SCHEMA = 1


def as_json(runs: Sequence[Run], lines: Sequence[BoardFigures] = ()) -> JsonObject:
    """Every run with its rows, their curves, and its ratios. Times are in µs, shares are fractions, unknown is null.
    Emulated and estimated figures have their own key."""
    measured = [run_as_json(run) for run in runs]
    return {"schema": SCHEMA, "runs": measured, "emulated_and_estimated": boards.as_json(lines)}


def run_as_json(run: Run) -> JsonObject:
    return {
        "file": run.file,
        "device": run.device,
        "created": run.created,
        "plan": run.plan,
        "machine": dict(run.machine),
        "verdict": {"status": run.verdict, "reasons": reasons(run.reasons), "unseen": run.unseen},
        "not_measured": run.missing,
        "rows": [{**row_as_json(row), "curve": row.curve} for row in run.rows],
        "fastest": list(map(trio_as_json, ratios.fastest(run.rows))),
        "by_precision": list(map(trio_as_json, ratios.by_precision(run.rows))),
        "ratios": list(map(claim_as_json, ratios.claims(run.rows))),
    }


def row_as_json(row: Row) -> JsonObject:
    """A row without its curve."""
    fields = asdict(row)
    del fields["curve"], fields["rounds"]
    return {**fields, "reasons": reasons(row.reasons)}


def trio_as_json(trio: Trio) -> JsonObject:
    """The ratios; the rows are named by their ids."""
    return {
        "ours": trio.ours.id,
        "stock": trio.stock and trio.stock.id,
        "twin": trio.twin and trio.twin.id,
        "stock_by_ours": trio.stock_by_ours,
        "twin_by_ours": trio.twin_by_ours,
        "valid": trio.valid,
    }


def claim_as_json(claim: Claim) -> JsonObject:
    """A ratio with its interval and verdict; the rows are named by their ids."""
    return {
        "kind": claim.kind,
        "above": claim.above.id,
        "below": claim.below.id,
        "ratio": claim.value,
        "estimate": claim.estimate and asdict(claim.estimate),
        "verdict": claim.verdict,
    }


def reasons(found: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"rule": rule, "text": text} for rule, text in found]
