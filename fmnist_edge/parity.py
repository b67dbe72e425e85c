"""Is the exported model still the same model? Pure: arrays in, report out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fmnist_edge.errors import InputError

__all__ = ["GATES", "Gate", "ParityReport", "compare", "gate_for"]

WORST_IMAGES = 10
ROUNDING = 1e-9  # a share of n images is not exact in binary


@dataclass(frozen=True)
class Gate:
    """What an artifact must reach against its Keras reference; None leaves a figure ungated.

    Attributes:
        min_agreement: least share of images with the same top class.
        max_abs_delta: largest difference of any score.
        max_accuracy_drop: most the accuracy may fall, as a fraction (0.005 = 0.5 percentage points).
    """

    min_agreement: float | None = None
    max_abs_delta: float | None = None
    max_accuracy_drop: float | None = None


GATES = {
    "float32": Gate(min_agreement=0.9999, max_abs_delta=1e-3),
    "float16": Gate(min_agreement=0.999),
    "dynamic_int8": Gate(max_accuracy_drop=0.005),
    "int8": Gate(max_accuracy_drop=0.005),
}


def gate_for(precision: str) -> Gate:
    """The gate of a precision; raises InputError when it has none."""
    if precision not in GATES:
        raise InputError(f"no parity gate for precision {precision!r}; known: {', '.join(GATES)}")
    return GATES[precision]


@dataclass(frozen=True)
class ParityReport:
    """How one artifact compares with its reference on the same images.

    Accuracies are fractions, None without labels. `worst_images` are indices, most damaged first: images whose top
    class changed, then those whose scores moved most.
    """

    images: int
    agreement: float
    max_abs_delta: float
    mean_abs_delta: float
    reference_accuracy: float | None
    accuracy: float | None
    published_accuracy: float | None
    worst_images: tuple[int, ...]
    gate: Gate

    @property
    def failures(self) -> list[str]:
        """One line for each part of the gate that is not met."""
        gate, lines = self.gate, []
        if gate.min_agreement is not None and self.agreement < gate.min_agreement - ROUNDING:
            lines.append(f"argmax agreement {self.agreement:.4%} is below {gate.min_agreement:.2%}")
        if gate.max_abs_delta is not None and self.max_abs_delta > gate.max_abs_delta:
            lines.append(f"largest score difference {self.max_abs_delta:.2e} is above {gate.max_abs_delta:.0e}")
        if gate.max_accuracy_drop is not None:
            if self.accuracy_drop is None:
                lines.append("its gate is on accuracy and no labels were given")
            elif self.accuracy_drop > gate.max_accuracy_drop + ROUNDING:
                allowed = f"{gate.max_accuracy_drop * 100:.2f} pp"
                lines.append(f"accuracy drops {self.accuracy_drop * 100:.2f} pp, more than {allowed}")
        published = self.published_accuracy
        if published is not None and self.accuracy is not None and self.accuracy < published - ROUNDING:
            lines.append(f"accuracy {self.accuracy:.2%} is below the published {published:.2%}")
        return lines

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def accuracy_drop(self) -> float | None:
        if self.accuracy is None or self.reference_accuracy is None:
            return None
        return self.reference_accuracy - self.accuracy

    def as_dict(self) -> dict[str, Any]:
        derived = {"accuracy_drop": self.accuracy_drop, "failures": self.failures, "passed": self.passed}
        return {**asdict(self), **derived}


def compare(
    reference: np.ndarray,
    candidate: np.ndarray,
    gate: Gate,
    *,
    labels: np.ndarray | None = None,
    published_accuracy: float | None = None,
) -> ParityReport:
    """Compare the scores (n, classes) of two forms of one model on the same n images.

    Raises InputError when the shapes differ, there are no images, or a score is not finite.
    """
    if reference.shape != candidate.shape or reference.ndim != 2 or not len(reference):
        raise InputError(f"scores are {reference.shape} and {candidate.shape}; expected the same (n, classes), n >= 1")
    if labels is not None and labels.shape != (len(reference),):
        raise InputError(f"labels are {labels.shape}; expected ({len(reference)},)")
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        raise InputError("scores hold NaN or infinity; the model is broken, not merely different")
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
        gate=gate,
    )


def accuracy(scores: np.ndarray, labels: np.ndarray | None) -> float | None:
    """Share of images whose top class is their label."""
    return None if labels is None else float((scores.argmax(axis=1) == labels).mean())
