"""Hold files to a budget, and order those that keep it.

The order is by latency. Files whose 95 % intervals overlap that of the fastest among them are not told apart by it, so
the smaller one comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark import budgets
from fmnist_edge.benchmark.budgets import accuracy_reason, plain, size_reason
from fmnist_edge.report.choice.evidence import Accuracy, Latency
from fmnist_edge.runtime.budget import Budget

__all__ = ["Candidate", "ranked"]


@dataclass(frozen=True)
class Candidate:
    """A file, and what is known of it.

    Attributes:
        damage: why the file cannot be used at all.
        latencies: on each engine and number of threads that was measured.
        unmeasured: why there is no latency, in a few words.
    """

    artifact: str
    sha256: str
    model: str
    precision: str
    kind: str
    size_bytes: int
    damage: str | None = None
    accuracy: Accuracy | None = None
    latencies: tuple[Latency, ...] = ()
    unmeasured: str | None = None

    def best(self, budget: Budget) -> Latency | None:
        """The lowest latency of those that keep the budget, or else of all."""
        within = [item for item in self.latencies if latency_finding(item, budget) == "within"]
        return min(within or self.latencies, key=lambda item: item.p50.value, default=None)

    def reasons(self, budget: Budget, *, so_far: bool = False) -> list[str]:
        """Why it does not keep the budget, a few words each; empty if it does.

        so_far: only what is known, for a file of which something was not measured yet.
        """
        found = [self.damage, size_reason(budget, self.size_bytes), *self.accuracy_reasons(budget, so_far)]
        found += [] if so_far and not self.latencies else [self.latency_reason(budget)]
        return [reason for reason in found if reason]

    def accuracy_reasons(self, budget: Budget, so_far: bool) -> list[str | None]:
        known = self.accuracy
        if known is None:
            return ["its accuracy is not known"] if budget.is_about_accuracy and not so_far else []
        reasons = [accuracy_reason(budget, known.accuracy, known.reference)]
        if budget.max_drop is not None and known.reference is None:
            reasons.append("the accuracy of its Keras model is not known")
        return [*reasons, *([] if known.passed else ["it failed its parity check, see `fmnist-edge check`"])]

    def latency_reason(self, budget: Budget) -> str | None:
        best = self.best(budget)
        if best is None:
            return f"no latency: {self.unmeasured or 'it was not measured'}"
        finding = latency_finding(best, budget)
        if finding == "within" or budget.max_latency_ms is None:
            return None
        text, limit = f"p50 {best.p50.text} µs in {best.engine}", plain(budget.max_latency_ms * 1000, 3)
        if finding == "over":
            return f"{text} is above {limit} µs"
        return f"{text} is not shown to be at most {limit} µs; a longer --plan can tell"

    def as_dict(self, budget: Budget) -> JsonObject:
        best, accuracy = self.best(budget), self.accuracy
        return {
            "artifact": self.artifact,
            "sha256": self.sha256,
            "model": self.model,
            "precision": self.precision,
            "size_bytes": self.size_bytes,
            "accuracy": None if accuracy is None else accuracy.accuracy,
            "reference_accuracy": None if accuracy is None else accuracy.reference,
            "images": None if accuracy is None else accuracy.images,
            "source": None if accuracy is None else accuracy.source,
            "engine": None if best is None else best.engine,
            "latencies": [latency_entry(item) for item in sorted(self.latencies, key=lambda item: item.p50.value)],
            "satisfied": not self.reasons(budget),
            "reasons": self.reasons(budget),
        }


def latency_entry(latency: Latency) -> JsonObject:
    return {
        "engine": latency.engine,
        "threads": latency.threads,
        "batch": latency.batch,
        "p50_us": latency.p50.value,
        "lower_us": latency.p50.lower,
        "upper_us": latency.p50.upper,
        "rounds": latency.p50.rounds,
        "valid": latency.valid,
        "measured": latency.measured,
    }


def latency_finding(latency: Latency, budget: Budget) -> str:
    return budgets.latency_finding(budget, latency.p50.value, latency.p50.lower, latency.p50.upper)


def ranked(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """The candidates, all of which have a latency, best first: see the module's docstring."""

    def order(item: Candidate) -> tuple[float, int, str]:
        return interval_of(item, budget)[1], item.size_bytes, item.artifact

    rest = sorted(candidates, key=order)
    found: list[Candidate] = []
    while rest:
        end = interval_of(rest[0], budget)[2]
        alike = [item for item in rest if interval_of(item, budget)[0] <= end]
        found += sorted(alike, key=lambda item: (item.size_bytes, *order(item)))
        rest = [item for item in rest if item not in alike]
    return found


def interval_of(candidate: Candidate, budget: Budget) -> tuple[float, float, float]:
    """(lower, p50, upper) of the best latency, in µs; the p50 in place of an end that is unknown."""
    best = candidate.best(budget)
    if best is None:
        return (float("inf"),) * 3
    p50 = best.p50
    return (
        p50.value if p50.lower is None else p50.lower,
        p50.value,
        p50.value if p50.upper is None else p50.upper,
    )
