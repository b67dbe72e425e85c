"""Compare an artifact's scores on another machine with those on this one, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.remote.scores import MachineScores
from fmnist_edge.catalog.gates import ENGINE_AGREEMENT
from fmnist_edge.parity.matrix.suite import agreement
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import answers_of, differ

__all__ = ["Elsewhere", "ElsewhereReport", "compare_machines"]

SHOWN = 10  # images named in a message; the report has them all


@dataclass(frozen=True)
class Elsewhere:
    """Where the artifacts ran: the name that the user gave, and SHA-256 of an artifact -> its scores there."""

    where: str
    scores: Mapping[str, MachineScores]


@dataclass(frozen=True)
class ElsewhereReport:
    """One artifact on another machine.

    Attributes:
        where: the name that the user gave; machine, engine: what the machine says of itself.
        agreement: share of images with the same answer as on this machine: the same top class, or all labels the same.
        max_abs_delta: largest difference of a score.
        differing: indices of the images with another top class.
        passed: whether the agreement reaches the gate; ties pass.
    """

    where: str
    machine: str
    engine: str
    images: int
    agreement: float
    max_abs_delta: float
    differing: tuple[int, ...]
    passed: bool

    @property
    def failure(self) -> str | None:
        if self.passed:
            return None
        shown = ", ".join(map(str, self.differing[:SHOWN])) + ", …" * (len(self.differing) > SHOWN)
        return f"{len(self.differing)} of {self.images:,} images have another top class on {self.where}: {shown}"

    def as_dict(self) -> JsonObject:
        return asdict(self)


def compare_machines(
    here: np.ndarray, there: MachineScores, where: str, kind: str, contract: Contract
) -> ElsewhereReport:
    """Compare scores float32 (n, score_count) of this machine with those of another. `kind`: see `Manifest.kind`."""
    found = agreement(here, there.scores, ENGINE_AGREEMENT[kind], contract)
    differing = np.flatnonzero(differ(answers_of(here, contract), answers_of(there.scores, contract)))
    return ElsewhereReport(
        where,
        there.machine,
        there.engine,
        len(here),
        found["agreement"],
        found["max_abs_delta"],
        tuple(map(int, differing)),
        found["passed"],
    )
