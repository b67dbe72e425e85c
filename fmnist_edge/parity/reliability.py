"""Fit a file's confidence on images with labels, and measure what it is worth on others. Pure but for scipy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import InputError
from fmnist_edge.parity.confidence import calibration_error, top_probability
from fmnist_edge.parity.statistics import shows_share
from fmnist_edge.runtime.confidence import Confidence, contrast_of, energy_of, logits_of

__all__ = ["Fraction", "Reliability", "fit", "reliability"]

FEWEST_IMAGES = 200
TEMPERATURES = (0.05, 20.0)
# Share of the fitted images whose energy is below its class's threshold. Chosen on validation images and on noise,
# constants and gradients of another seed than those that `check` uses.
BELOW_ENERGY = 0.02
SIGNIFICANT = 4  # digits of a fitted value; more mean nothing
# The gates of `check`.
MOST_ECE = 0.02
COVERAGE_SLACK = 0.02
LEAST_UNKNOWN = 0.9
JUDGED = ("noise", "constant")  # kinds of images of which at least that share must be unknown


def fit(
    scores: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray,
    *,
    output: str,
    coverage: float,
    abstain: bool,
    source: str,
    seen: bool = False,
) -> Confidence:
    """Fit temperature and thresholds.

    The temperature has the least negative log-likelihood. The thresholds leave the share `coverage` of the images
    answered: those of contrast and energy first, the rest by the probability.

    Args:
        scores: float32 (n, classes), of the shipped file; labels: class indices (n,); images: (n, *input_shape).
        output: "logits" or "probabilities".

    Raises InputError for fewer than 200 images, and where the file is always right or always wrong.
    """
    if len(scores) < FEWEST_IMAGES:
        raise InputError(f"{len(scores)} images; expected at least {FEWEST_IMAGES} to fit a confidence")
    logits, top = logits_of(scores.astype(np.float32), output), scores.argmax(axis=1)
    right = float((top == labels).mean())
    if right in (0, 1):
        what = "right" if right else "wrong"
        raise InputError(f"the file is {what} on all {len(scores):,} images, which no temperature fits; give others")
    temperature = rounded(fit_temperature(logits, labels))
    contrast = rounded(float(contrast_of(images).min()), down=True)
    energies = fit_energies(logits, top, temperature) if output == "logits" else None
    free = Confidence(temperature, 0.0, energies, contrast, abstain, coverage, len(scores), source, seen)
    confidence = free.probabilities(scores, output).max(axis=1)
    confidence[~free.known(scores, output, images)] = 0
    left_out = int((1 - coverage) * len(scores) + 1e-9)
    threshold = rounded(float(np.sort(confidence)[left_out]), down=True)
    return Confidence(temperature, threshold, energies, contrast, abstain, coverage, len(scores), source, seen)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the least negative log-likelihood (Guo et al. 2017). logits: (n, classes); labels: (n,)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    exact, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / np.exp(log_temperature), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def fit_energies(logits: np.ndarray, top: np.ndarray, temperature: float) -> tuple[float, ...]:
    """For each class, the energy below which lie 2 % of the images with this answer.

    A class that is never answered gets the threshold of all images.
    """
    energies = energy_of(logits, temperature)
    groups = [energies[top == index] for index in range(logits.shape[1])]
    return tuple(rounded(float(np.quantile(group if len(group) else energies, BELOW_ENERGY))) for group in groups)


def rounded(value: float, *, down: bool = False) -> float:
    """`value` with four significant digits; `down`: never above it."""
    text = float(f"{value:.{SIGNIFICANT}g}")
    step = 10.0 ** (np.floor(np.log10(abs(value))) - SIGNIFICANT + 1) if value else 0
    return float(f"{text - step:.{SIGNIFICANT}g}") if down and text > value else text


@dataclass(frozen=True)
class Fraction:
    """A share of images with its exact 95 % interval (Clopper and Pearson); NaN never occurs: `images` >= 1."""

    count: int
    images: int
    share: float
    lower: float
    upper: float

    @classmethod
    def of(cls, which: np.ndarray) -> Fraction:
        from scipy.stats import binomtest

        count, images = int(which.sum()), len(which)
        interval = binomtest(count, images).proportion_ci(method="exact")
        return cls(count, images, count / images, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Reliability:
    """What a file's confidence is worth on images that it was not fitted on.

    Attributes:
        ece_before, ece: expected calibration error without and with the temperature.
        coverage: the share that is answered.
        error: the share of wrong answers among all images.
        error_answered: the same among the answered ones; None where none is.
        unknown: kind of images that are none of the classes -> the share that is unknown.
        aim: the coverage that it was fitted for.
    """

    ece_before: float
    ece: float
    coverage: Fraction
    error: Fraction
    error_answered: Fraction | None
    unknown: Mapping[str, Fraction]
    aim: float

    @property
    def failures(self) -> list[str]:
        """One line for each gate that these images show to be missed."""
        found = []
        if self.coverage.images >= FEWEST_IMAGES and self.ece > max(MOST_ECE, self.ece_before):
            found.append(
                f"calibration error {self.ece:.4f} is above {MOST_ECE}, and above {self.ece_before:.4f} before"
            )
        left_out = self.coverage.images - self.coverage.count
        if shows_share(left_out, self.coverage.images, 1 - self.aim + COVERAGE_SLACK):
            found.append(f"{self.coverage.share:.1%} of the images are answered; it was fitted for {self.aim:.0%}")
        for kind in JUDGED:
            share = self.unknown.get(kind)
            if share is not None and shows_share(share.images - share.count, share.images, 1 - LEAST_UNKNOWN):
                found.append(f"{share.share:.1%} of {kind} images are unknown; expected {LEAST_UNKNOWN:.0%}")
        return found

    def as_dict(self) -> JsonObject:
        return {**asdict(self), "failures": self.failures}


def reliability(
    confidence: Confidence,
    scores: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray,
    output: str,
    unknown: Mapping[str, np.ndarray],
) -> Reliability:
    """Measure `confidence` by scores (n, classes), labels (n,) and images (n, ...) that it was not fitted on.

    unknown: kind of images that are none of the classes -> which of them are unknown, bool (m,).
    """
    wrong = scores.argmax(axis=1) != labels
    known = confidence.known(scores, output, images)
    return Reliability(
        ece_before=calibration_error(top_probability(scores, output), ~wrong),
        ece=calibration_error(confidence.probabilities(scores, output).max(axis=1).astype(np.float64), ~wrong),
        coverage=Fraction.of(known),
        error=Fraction.of(wrong),
        error_answered=Fraction.of(wrong[known]) if known.any() else None,
        unknown={kind: Fraction.of(which) for kind, which in unknown.items()},
        aim=confidence.coverage,
    )
