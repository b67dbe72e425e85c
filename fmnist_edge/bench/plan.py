"""How long and how often to measure, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fmnist_edge.errors import InputError

__all__ = ["QUICK", "Plan"]

# Python, NumPy, an engine's import and two loads of a small model, on a laptop; for estimates only.
START_UP_S = 0.4


@dataclass(frozen=True)
class Plan:
    """What every cell gets. Each round is a fresh process: load, first inference, warm-up, then two series.

    Attributes:
        rounds: times the whole set of cells is gone through.
        seconds_per_round, min_samples_per_round: each series, engine-only and end-to-end, lasts until both are met.
        warm_up_runs, warm_up_seconds: the untimed runs before them last until both are met.
        threads: engine threads; "all" is every core that this process may use.

    >>> Plan("mine", 5, 1.0, 200, 10, 0.5, threads=(1, "all")).thread_counts(cores=4)
    (1, 4)
    """

    name: str
    rounds: int
    seconds_per_round: float
    min_samples_per_round: int
    warm_up_runs: int
    warm_up_seconds: float
    threads: tuple[int | str, ...] = (1, "all")

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("plan: the name is empty; give it one, results are filed under it")
        for field in ("rounds", "min_samples_per_round", "warm_up_runs"):
            value = getattr(self, field)
            if not is_count(value):
                raise InputError(f"plan {self.name!r}: {field} is {value!r}; expected a whole number of at least 1")
        for field in ("seconds_per_round", "warm_up_seconds"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise InputError(f"plan {self.name!r}: {field} is {value!r}; expected seconds, 0 or more")
        if not self.threads or any(item != "all" and not is_count(item) for item in self.threads):
            raise InputError(
                f"plan {self.name!r}: threads is {self.threads!r}; expected whole numbers of at least 1, or 'all'"
            )

    def thread_counts(self, cores: int) -> tuple[int, ...]:
        """`threads` as numbers on a machine of `cores` usable cores, ascending, each once."""
        return tuple(sorted({cores if item == "all" else int(item) for item in self.threads}))

    def seconds(self, cells: int) -> float:
        """About how long `cells` cells take; more where `min_samples_per_round` outlasts `seconds_per_round`."""
        return cells * self.rounds * (START_UP_S + self.warm_up_seconds + 2 * self.seconds_per_round)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# 5 x 133 = 665 samples, the fewest that give a p99 (see results.SAMPLES_FOR_P99). Twenty cells take about 75 s.
QUICK = Plan(
    name="quick",
    rounds=5,
    seconds_per_round=0.12,
    min_samples_per_round=133,
    warm_up_runs=10,
    warm_up_seconds=0.1,
)
