"""Try what may win accuracy back, cheapest first, and stop at the first that passes the gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.export.recovery.improve import correct_biases, equalise, fine_tune

__all__ = ["LADDER", "Candidate", "Material", "Rung", "Step", "climb"]

KEPT_LAYERS = (1, 2, 4)
EPOCHS = 5
SLACK = 1e-9  # fractions of images; binary floats only come near 0.005


@dataclass(frozen=True)
class Candidate:
    """A model to export, and the layers to keep in float."""

    model: Any
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """What a rung may use beside the model.

    Attributes:
        images: preprocessed calibration images, float32 (n, *input_shape).
        fine_tuning_images: likewise, as many as there are, to fine-tune with.
        logits: whether the model ends in logits, not in probabilities.
        weakest: names the layers of an exported candidate that rounding hurts, worst first.
    """

    images: np.ndarray
    fine_tuning_images: np.ndarray
    logits: bool
    weakest: Callable[[Candidate], list[str]]


@dataclass(frozen=True)
class Rung:
    """One remedy: what it makes of the original candidate, None where it has nothing to offer.

    A `selective` one keeps layers in float.
    """

    name: str
    apply: Callable[[Candidate, Material], Candidate | None]
    selective: bool = False


@dataclass(frozen=True)
class Step:
    """A rung that was tried: what accuracy is lost with it, as a fraction, and how long it took."""

    rung: str
    accuracy_drop: float
    passed: bool
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Without the seconds: they are another time others, and a manifest is not."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


def equalised(start: Candidate, material: Material) -> Candidate:
    return Candidate(equalise(start.model, material.images))


def corrected(start: Candidate, material: Material) -> Candidate:
    return Candidate(correct_biases(equalise(start.model, material.images), material.images))


def tuned(start: Candidate, material: Material) -> Candidate:
    even = equalise(start.model, material.images)
    return Candidate(fine_tune(even, material.fine_tuning_images, logits=material.logits, epochs=EPOCHS))


def keeping(count: int, before: int) -> Callable[[Candidate, Material], Candidate | None]:
    """The `count` weakest layers in float, or all there are; nothing where that is the `before` of the last rung."""

    def apply(start: Candidate, material: Material) -> Candidate | None:
        layers = tuple(material.weakest(start)[:count])
        return Candidate(start.model, layers) if len(layers) > before else None

    return apply


# Fine-tuning comes before keeping layers in float: it costs minutes once, they cost time at every inference.
LADDER = (
    Rung("as it is", lambda start, material: start),
    Rung("equalisation", equalised),
    Rung("equalisation, bias correction", corrected),
    Rung("equalisation, fine-tuning", tuned),
    *(
        Rung(f"{count} layer{'s' * (count > 1)} in float", keeping(count, before), selective=True)
        for before, count in pairwise((0, *KEPT_LAYERS))
    ),
)


def climb(
    start: Candidate,
    material: Material,
    loss_of: Callable[[Candidate], float],
    *,
    allowed: float,
    budget_s: float,
    selective: bool = True,
) -> Iterator[tuple[Step, Candidate]]:
    """Try LADDER's rungs until one loses at most `allowed`, or `budget_s` seconds are over; yields each as it is done.

    The first one is tried whatever the budget.

    Args:
        loss_of: exports a candidate and measures the accuracy it loses, as a fraction.
        selective: whether layers can be kept in float.
    """
    begun = time.monotonic()
    for rung in LADDER:
        if rung.selective and not selective:
            return
        if rung is not LADDER[0] and time.monotonic() - begun > budget_s:
            return
        tried = time.monotonic()
        candidate = rung.apply(start, material)
        if candidate is None:
            continue
        try:
            drop = loss_of(candidate)
        except ExportError:
            if not rung.selective:
                raise
            continue  # one of the layers has no op of its own to keep in float
        passed = drop <= allowed + SLACK
        yield Step(rung.name, drop, passed, round(time.monotonic() - tried, 1)), candidate
        if passed:
            return
