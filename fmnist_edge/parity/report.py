"""Compare one artifact with its reference: agreement, accuracy, statistics, and whether it passes the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.gates import Gate
from fmnist_edge.errors import InputError
from fmnist_edge.parity.statistics import Statistics, statistics_of

__all__ = ["ParityReport", "compare"]

WORST_IMAGES = 10
SLACK = 1e-9  # a fraction of images is not exact in binary


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

    @property
    def failures(self) -> list[str]:
        """One line for each part of the gate that is missed. A loss of accuracy is one part, significant or not.

        The non-inferiority test only fails if the images prove a loss beyond the margin. With too few images for that,
        the accuracy drop alone decides: a check on a few images stays useful, and claims nothing that it cannot show.
        """
        gate, lines, losses = self.gate, [], []
        if gate.min_agreement is not None and self.agreement < gate.min_agreement - SLACK:
            lines.append(f"argmax agreement {self.agreement:.4%} is below {gate.min_agreement:.2%}")
        if gate.max_abs_delta is not None and self.max_abs_delta > gate.max_abs_delta:
            lines.append(f"largest score difference {self.max_abs_delta:.2e} is above {gate.max_abs_delta:.0e}")
        if gate.max_accuracy_drop is not None:
            if self.accuracy_drop is None:
                lines.append("its gate is on accuracy and no labels were given; name them with --labels FILE.npy")
            elif self.accuracy_drop > gate.max_accuracy_drop + SLACK:
                allowed = f"{gate.max_accuracy_drop * 100:.2f} pp"
                losses.append(f"accuracy drops {self.accuracy_drop * 100:.2f} pp, more than {allowed}")
        published = self.published_accuracy
        if published is not None and self.accuracy is not None and self.accuracy < published - SLACK:
            lines.append(f"accuracy {self.accuracy:.2%} is below the published {published:.2%}")
        paired = self.statistics.accuracy
        if paired is not None and paired.verdict == "inferior":
            losses.append(paired.finding)
        return [*lines, ", and is ".join(losses)] if losses else lines

    @property
    def passed(self) -> bool:
        return not self.failures

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
            "passed": self.passed,
        }
        return {**asdict(self), **derived}


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
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise InputError(f"scores are {reference.shape} and {candidate.shape}; expected the same (n, classes), n >= 1")
    if labels is not None and labels.shape != (len(reference),):
        raise InputError(f"labels are {labels.shape}; expected ({len(reference)},)")
    classes = reference.shape[1]
    if labels is not None and not 0 <= labels.min() <= labels.max() < classes:
        # With labels that count from 1, both models would be equally wrong on every image.
        raise InputError(f"labels are {labels.min()} to {labels.max()}; expected class indices 0 to {classes - 1}")
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        raise InputError("scores contain NaN or infinity; expected finite scores; export the model again")
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


def accuracy(scores: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Share of images whose top class is their label."""
    return None if labels is None else float((scores.argmax(axis=1) == labels).mean())
