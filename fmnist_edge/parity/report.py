"""Compare one artifact with its reference: agreement, accuracy, statistics, and whether it passes the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.gates import CATASTROPHIC_DROP, CATASTROPHIC_IMAGES, ENOUGH_IMAGES, Gate
from fmnist_edge.errors import InputError
from fmnist_edge.parity.statistics import Statistics, shows_share, statistics_of

__all__ = ["LabelReport", "ParityReport", "TaskReport", "check_scores", "compare"]

WORST_IMAGES = 10
DECIDES = f"{ENOUGH_IMAGES:,} images decide it"
SLACK = 1e-9  # a fraction of images is not exact in binary


@dataclass(frozen=True)
class Miss:
    """A part of the gate that is missed on these images, and whether they show it beyond their number."""

    text: str
    shown: bool


@dataclass(frozen=True)
class LabelReport:
    """One label of a multilabel model: shares of images with the same answer, and with the right one.

    What needs labels is None without them; the average precision also without an image that has this label.
    """

    label: str
    agreement: float
    reference_accuracy: float | None = None
    accuracy: float | None = None
    reference_average_precision: float | None = None
    average_precision: float | None = None


@dataclass(frozen=True)
class TaskReport:
    """What a binary or multilabel comparison has besides: areas under the ROC curve, and labels with their mean AP."""

    task: str
    thresholds: tuple[float, ...]
    reference_auc: float | None = None
    auc: float | None = None
    labels: tuple[LabelReport, ...] = ()
    reference_mean_ap: float | None = None
    mean_ap: float | None = None


@dataclass(frozen=True)
class ParityReport:
    """The comparison of one artifact with its reference on the same images.

    Attributes:
        agreement: share of images with the same top class.
        max_abs_delta, mean_abs_delta: largest and mean difference of a score.
        reference_accuracy, accuracy: fractions; None without labels.
        published_accuracy: fraction that the accuracy must reach; None if there is none.
        worst_images: indices of the worst images: first those whose top class changed, then those whose scores changed
            most.
        task: of a binary or multilabel model; None for a classification.
    """

    images: int
    agreement: float
    max_abs_delta: float
    mean_abs_delta: float
    reference_accuracy: float | None
    accuracy: float | None
    published_accuracy: float | None
    worst_images: tuple[int, ...]
    statistics: Statistics
    gate: Gate
    task: TaskReport | None = None

    @property
    def failures(self) -> list[str]:
        """One line for each part of the gate that is missed, as these images show."""
        return [miss.text for miss in self.misses if miss.shown]

    @property
    def undecided(self) -> list[str]:
        """One line for each part of the gate that is missed on these images, and too few to show that it is missed."""
        return [miss.text for miss in self.misses if not miss.shown]

    @property
    def misses(self) -> list[Miss]:
        """The parts of the gate that are missed. A loss of accuracy is one part, significant or not."""
        gate = self.gate
        found = [self.missed_agreement(), *self.missed_accuracy()]
        if gate.max_abs_delta is not None and self.max_abs_delta > gate.max_abs_delta:
            text = f"largest score difference {self.max_abs_delta:.2e} is above {gate.max_abs_delta:.0e}"
            found.insert(1, Miss(text, shown=True))
        published = self.published_accuracy
        if published is not None and self.accuracy is not None and self.accuracy < published - SLACK:
            found.append(Miss(f"accuracy {self.accuracy:.2%} is below the published {published:.2%}", shown=True))
        return [miss for miss in found if miss is not None]

    def missed_agreement(self) -> Miss | None:
        least = self.gate.min_agreement
        if least is None or self.agreement >= least - SLACK:
            return None
        differing = round((1 - self.agreement) * self.images)
        shown = self.images >= ENOUGH_IMAGES or shows_share(differing, self.images, 1 - least)
        what = "argmax agreement" if self.task is None else "agreement"
        text = f"{what} {self.agreement:.4%} is below {least:.2%}"
        return Miss(text if shown else f"{text} by {differing} of {self.images:,} images; {DECIDES}", shown)

    def missed_accuracy(self) -> list[Miss]:
        """The missed limits on the drop of accuracy: the drop on these images, and the drop that they prove."""
        most, paired = self.gate.max_accuracy_drop, self.statistics.accuracy
        if most is not None and paired is None:
            return [Miss("its gate is on accuracy and no labels were given; name them with --labels", shown=False)]
        if paired is None:
            return []
        drop, texts = -paired.difference, []
        proven = paired.verdict == "inferior"
        if most is not None and drop > most + SLACK:
            texts.append(f"accuracy drops {drop * 100:.2f} pp, more than {most * 100:.2f} pp")
        if proven:
            texts.append(paired.finding)
        lost = paired.lost - paired.gained
        catastrophic = drop > CATASTROPHIC_DROP and lost >= CATASTROPHIC_IMAGES
        shown = proven or catastrophic or self.images >= ENOUGH_IMAGES
        if texts and not shown:
            texts = [f"{texts[0]}, by {lost} of {self.images:,} images; {DECIDES}"]
        return [Miss(", and is ".join(texts), shown)] if texts else []

    @property
    def passed(self) -> bool:
        """Whether no part of the gate is shown to be missed."""
        return not self.failures

    @property
    def outcome(self) -> str:
        """ "pass", "inconclusive" or "FAIL"."""
        if self.failures:
            return "FAIL"
        return "inconclusive" if self.undecided else "pass"

    @property
    def accuracy_drop(self) -> float | None:
        if self.accuracy is None or self.reference_accuracy is None:
            return None
        return self.reference_accuracy - self.accuracy

    def as_dict(self) -> JsonObject:
        """The report for JSON: plain numbers, strings and None, no NaN or infinity."""
        paired = self.statistics.accuracy
        derived = {
            "accuracy_drop": self.accuracy_drop,
            "finding": None if paired is None else paired.finding,
            "failures": self.failures,
            "undecided": self.undecided,
            "outcome": self.outcome,
            "passed": self.passed,
        }
        found = {**asdict(self), **derived}
        if self.task is None:
            del found["task"]
        return found


def compare(
    reference: np.ndarray,
    candidate: np.ndarray,
    gate: Gate,
    *,
    labels: np.ndarray | None = None,
    published_accuracy: float | None = None,
    output: str = "logits",
) -> ParityReport:
    """Compare the scores (n, classes) of two forms of one model on the same n images.

    Args:
        labels: class indices (n,); without them the report has no accuracy and no verdict.
        published_accuracy: a fraction that the candidate must reach.
        output: "logits" or "probabilities", as in a Contract.

    Raises InputError when the shapes differ, there are no images, a label is not a class index, a score is not finite,
    or `output` is something else.
    """
    check_scores(reference, candidate)
    if labels is not None and labels.shape != (len(reference),):
        raise InputError(f"labels are {labels.shape}; expected ({len(reference)},)")
    classes = reference.shape[1]
    if labels is not None and not 0 <= labels.min() <= labels.max() < classes:
        # With labels that count from 1, both models would be equally wrong on every image.
        raise InputError(f"labels are {labels.min()} to {labels.max()}; expected class indices 0 to {classes - 1}")
    delta = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
    flipped = reference.argmax(axis=1) != candidate.argmax(axis=1)
    order = np.lexsort((np.arange(len(delta)), -delta.max(axis=1), ~flipped))
    return ParityReport(
        images=len(reference),
        agreement=float(1 - flipped.mean()),
        max_abs_delta=float(delta.max()),
        mean_abs_delta=float(delta.mean()),
        reference_accuracy=accuracy(reference, labels),
        accuracy=accuracy(candidate, labels),
        published_accuracy=published_accuracy,
        worst_images=tuple(int(index) for index in order[:WORST_IMAGES]),
        statistics=statistics_of(
            reference, candidate, labels=labels, margin=gate.non_inferiority_margin, output=output
        ),
        gate=gate,
    )


def check_scores(reference: np.ndarray, candidate: np.ndarray) -> None:
    """Raises InputError unless both have the same finite scores (n, classes), n >= 1."""
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise InputError(f"scores are {reference.shape} and {candidate.shape}; expected the same (n, classes), n >= 1")
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        raise InputError("scores contain NaN or infinity; expected finite scores; export the model again")


def accuracy(scores: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Share of images whose top class is their label."""
    return None if labels is None else float((scores.argmax(axis=1) == labels).mean())
