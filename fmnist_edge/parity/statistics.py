"""What paired answers say beside the point figures: accuracy with its uncertainty, flips, confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.parity.confidence import ConfidenceDrift, confidence_drift
from fmnist_edge.parity.paired import PairedAccuracy, paired_accuracy

__all__ = ["Statistics", "flip_rates", "statistics_of"]


@dataclass(frozen=True)
class Statistics:
    """Statistical parity of two models on the same images.

    Attributes:
        accuracy: the difference in accuracy with interval, test and verdict; None without labels.
        flip_rate: share of images whose top class changed, rightly or not.
        class_flip_rates: the same among the images of each class, by the reference's answer (a flip is a departure
            from it, and it needs no labels); None for a class that the reference never answers.
        confidence: how far the shown confidence moved.
    """

    accuracy: PairedAccuracy | None
    flip_rate: float
    class_flip_rates: tuple[float | None, ...]
    confidence: ConfidenceDrift


def statistics_of(
    reference: np.ndarray,
    candidate: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    margin: float | None = None,
    output: str = "logits",
) -> Statistics:
    """Statistics of scores (n, classes), n >= 1, of a reference and a candidate; see `compare` for the arguments."""
    answers, new_answers = reference.argmax(axis=1), candidate.argmax(axis=1)
    return Statistics(
        accuracy=None if labels is None else paired_accuracy(answers == labels, new_answers == labels, margin),
        flip_rate=float((answers != new_answers).mean()),
        class_flip_rates=flip_rates(answers, new_answers, reference.shape[1]),
        confidence=confidence_drift(reference, candidate, output, labels),
    )


def flip_rates(answers: np.ndarray, new_answers: np.ndarray, classes: int) -> tuple[float | None, ...]:
    """By class of `answers`, the share of images whose new answer is another; class indices (n,)."""
    asked = np.bincount(answers, minlength=classes)
    flipped = np.bincount(answers[answers != new_answers], minlength=classes)
    return tuple(float(part / whole) if whole else None for part, whole in zip(flipped, asked, strict=True))
