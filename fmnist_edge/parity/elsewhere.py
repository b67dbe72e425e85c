"""Compare an artifact's scores on another machine with those on this one, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.bench.remote.scores import MachineScores
from fmnist_edge.catalog.gates import ENGINE_AGREEMENT
from fmnist_edge.parity.matrix.suite import agreement

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
        agreement: share of images with the same top class as on this machine.
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


def compare_machines(here: np.ndarray, there: MachineScores, where: str, kind: str) -> ElsewhereReport:
    """Compare scores float32 (n, classes) of this machine with those of another. `kind`: see `Manifest.kind`."""
    found = agreement(here, there.scores, ENGINE_AGREEMENT[kind])
    differing = np.flatnonzero(here.argmax(axis=1) != there.scores.argmax(axis=1))
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
