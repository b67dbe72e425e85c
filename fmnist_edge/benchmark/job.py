"""A benchmark job, independent of the machine: artifacts, a plan, engines, images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark import environment, suite
from fmnist_edge.benchmark.cells import cells_for, paired_cells
from fmnist_edge.benchmark.plan import Plan

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """Everything that a run needs, except for the machine.

    Attributes:
        images: uint8 (n, height, width, ...), cycled; n is 0 for each artifact's golden images.
        engines: names; each artifact is measured on those that can run it.
        ab: two artifacts, or two folders of them, to measure pair by pair in place of `artifacts`.
        but: pairs of artifact and engine that `begin` leaves out, because they are known.
        accuracies: SHA-256 of an artifact -> its accuracy, see `cells.accuracies_of`.
    """

    artifacts: tuple[Path, ...]
    plan: Plan
    images: np.ndarray
    engines: tuple[str, ...]
    accuracies: Mapping[str, JsonObject] = field(default_factory=dict)
    seed: int = 0
    ab: tuple[Path, Path] | None = None
    but: frozenset[tuple[Path, str]] = frozenset()

    def begin(
        self, out: Path, pythons: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None
    ) -> suite.Session:
        """A session on this machine. "all" threads in the plan means this machine's usable cores. Raises what
        `suite.begin` raises."""
        threads = self.plan.thread_counts(environment.usable_cores())
        if self.ab is None:
            possible = cells_for(self.artifacts, threads, self.engines, self.plan.batches)
            cells = [cell for cell in possible if (cell.artifact, cell.engine) not in self.but]
        else:
            cells = paired_cells(*self.ab, threads, self.engines, self.plan.batches)
        return suite.begin(
            cells,
            self.images,
            self.plan,
            out,
            seed=self.seed,
            accuracies=self.accuracies,
            pythons=pythons,
            variables=variables,
        )
