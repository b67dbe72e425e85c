"""The ladder of remedies for lost accuracy: try the cheapest first, and stop at the first that passes the gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.recovery.equalise import equalise
from fmnist_edge.exporters.recovery.improve import correct_biases, fine_tune

if TYPE_CHECKING:
    import keras

__all__ = ["LADDER", "Attempt", "Candidate", "RecoveryData", "Rung", "try_rungs"]

KEPT_LAYERS = (1, 2, 4)
EPOCHS = 5
SLACK = 1e-9  # fractions of images are not exact in binary


@dataclass(frozen=True)
class Candidate:
    """A model to export, and the layers to keep in float."""

    model: keras.Model
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecoveryData:
    """What a rung may use besides the model.

    Attributes:
        images: preprocessed calibration images, float32 (n, *input_shape).
        fine_tuning_images: preprocessed images for fine-tuning, float32 (n, *input_shape).
        logits: whether the model's output is logits; otherwise it is probabilities.
        weakest: exports a candidate and returns the names of the layers that rounding hurts, worst first.
        time_is_up: whether a remedy that takes long must give up.
    """

    images: np.ndarray
    fine_tuning_images: np.ndarray
    logits: bool
    weakest: Callable[[Candidate], list[str]]
    time_is_up: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Rung:
    """One remedy.

    Attributes:
        apply: makes a new candidate from the original one; None if the remedy does not apply, or time is up.
        selective: whether it keeps layers in float.
    """

    name: str
    apply: Callable[[Candidate, RecoveryData], Candidate | None]
    selective: bool = False


@dataclass(frozen=True)
class Attempt:
    """A rung: the accuracy that is lost with it, as a fraction, and how long it took.

    `accuracy_drop` is None for a rung that was not tried, or not to its end, because time was up.
    """

    rung: str
    accuracy_drop: float | None
    passed: bool
    seconds: float

    def as_dict(self) -> JsonObject:
        """The fields without `seconds`, which change from run to run; a manifest must not."""
        return {name: value for name, value in asdict(self).items() if name != "seconds"}


def with_equalisation(start: Candidate, data: RecoveryData) -> Candidate:
    return Candidate(equalise(start.model, data.images))


def with_bias_correction(start: Candidate, data: RecoveryData) -> Candidate:
    return Candidate(correct_biases(equalise(start.model, data.images), data.images))


def with_fine_tuning(start: Candidate, data: RecoveryData) -> Candidate | None:
    equalised = equalise(start.model, data.images)
    tuned = fine_tune(equalised, data.fine_tuning_images, logits=data.logits, epochs=EPOCHS, time_is_up=data.time_is_up)
    return None if tuned is None else Candidate(tuned)


def keep_weakest(count: int, before: int) -> Callable[[Candidate, RecoveryData], Candidate | None]:
    """A remedy that keeps the `count` weakest layers in float, or fewer if there are not so many.

    It does not apply if that is no more than `before`, the count of the rung before.
    """

    def apply(start: Candidate, data: RecoveryData) -> Candidate | None:
        layers = tuple(data.weakest(start)[:count])
        return Candidate(start.model, layers) if len(layers) > before else None

    return apply


# Fine-tuning comes last: it takes minutes, and is the least sure to help.
LADDER = (
    Rung("as it is", lambda start, data: start),
    Rung("equalisation", with_equalisation),
    Rung("equalisation, bias correction", with_bias_correction),
    *(
        Rung(f"{count} layer{'s' * (count > 1)} in float", keep_weakest(count, before), selective=True)
        for before, count in pairwise((0, *KEPT_LAYERS))
    ),
    Rung("equalisation, fine-tuning", with_fine_tuning),
)


def try_rungs(
    start: Candidate,
    data: RecoveryData,
    loss_of: Callable[[Candidate], float],
    *,
    allowed: float,
    selective: bool = True,
) -> Iterator[tuple[Attempt, Candidate | None]]:
    """Try LADDER's rungs until one loses at most `allowed`, or time is up; yields each when done.

    The first rung is always tried. Those that time does not allow are yielded without a candidate.

    Args:
        loss_of: exports a candidate and measures the accuracy that it loses, as a fraction.
        allowed: the largest loss that passes, as a fraction.
        selective: whether the precision can keep layers in float.
    """
    for rung in LADDER:
        if rung.selective and not selective:
            continue
        tried = time.monotonic()
        late = rung is not LADDER[0] and data.time_is_up()
        candidate = None if late else rung.apply(start, data)
        if candidate is None:
            if data.time_is_up():
                yield Attempt(rung.name, None, False, round(time.monotonic() - tried, 1)), None
            continue
        try:
            drop = loss_of(candidate)
        except ExportError:
            if not rung.selective:
                raise
            continue  # one of the layers has no op of its own that could stay in float
        passed = drop <= allowed + SLACK
        yield Attempt(rung.name, drop, passed, round(time.monotonic() - tried, 1)), candidate
        if passed:
            return
