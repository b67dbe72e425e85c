"""Compare the accuracy of two models on the same images: difference, confidence interval, test and verdict.

Only discordant images matter: `gained` counts those that only the candidate gets right, `lost` those that only the
reference gets right. Accuracies are fractions; differences are candidate minus reference.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

__all__ = ["PairedAccuracy", "images_needed", "mcnemar_exact", "paired_accuracy", "tango_interval"]

LEVEL = 0.95
POWER = 0.8
# Both bounds of the interval are one-sided tests at 2.5 %, the usual level of a non-inferiority claim (ICH E9).
Z_LEVEL = NormalDist().inv_cdf((1 + LEVEL) / 2)
Z_POWER = NormalDist().inv_cdf(POWER)
BISECTIONS = 60  # of an interval of at most 2: finer than a float64


@dataclass(frozen=True)
class PairedAccuracy:
    """The difference in accuracy of two models, and its statistics.

    Attributes:
        images: number of images that were compared.
        gained, lost: number of images that only the candidate, or only the reference, gets right.
        difference: the candidate's accuracy minus the reference's.
        lower, upper: 95 % confidence interval of the difference (Tango 1998).
        mcnemar_p: exact two-sided p-value of "both are equally accurate" (McNemar 1947).
        margin: the true loss of accuracy that is allowed; None means no verdict.
        verdict: "non-inferior" if the whole interval is above -margin, "inferior" if it is all below, "inconclusive"
            if it contains -margin.
        images_needed: for an inconclusive verdict, the number of images that would show non-inferiority with power 0.8
            if the shares of gained and lost images stay the same; None if the observed loss exceeds the margin.
    """

    images: int
    gained: int
    lost: int
    difference: float
    lower: float
    upper: float
    mcnemar_p: float
    margin: float | None
    verdict: str | None
    images_needed: int | None

    @property
    def finding(self) -> str:
        """One line with the result and, if there is a margin, what was expected and how many images would decide."""
        found = (
            f"accuracy differs by {self.difference * 100:+.2f} pp, 95 % interval "
            f"[{self.lower * 100:+.2f}, {self.upper * 100:+.2f}] pp on {self.images:,} images"
        )
        if self.margin is None:
            return found
        line = f"{self.verdict}: {found}; expected all of it above {-self.margin * 100:.4g} pp"
        if self.verdict != "inconclusive":
            return line
        if self.images_needed is None:
            return f"{line}; the loss seen is itself beyond that, so no number of images promises to show it"
        return f"{line}; about {self.images_needed:,} images would show it (power {POWER:.0%})"


def paired_accuracy(
    reference_right: np.ndarray, candidate_right: np.ndarray, margin: float | None = None
) -> PairedAccuracy:
    """Compare two models by which images each gets right: booleans (n,), n >= 1, in the same order.

    >>> paired_accuracy(np.array([True, True, False]), np.array([True, False, True])).difference
    0.0
    """
    images = len(reference_right)
    gained = int((candidate_right & ~reference_right).sum())
    lost = int((reference_right & ~candidate_right).sum())
    lower, upper = tango_interval(gained, lost, images)
    verdict = None if margin is None else verdict_of(lower, upper, margin)
    return PairedAccuracy(
        images=images,
        gained=gained,
        lost=lost,
        difference=(gained - lost) / images,
        lower=lower,
        upper=upper,
        mcnemar_p=mcnemar_exact(gained, lost),
        margin=margin,
        verdict=verdict,
        images_needed=images_needed(gained, lost, images, margin) if margin and verdict == "inconclusive" else None,
    )


def verdict_of(lower: float, upper: float, margin: float) -> str:
    if lower > -margin:
        return "non-inferior"
    return "inferior" if upper < -margin else "inconclusive"


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value of McNemar's test, in (0, 1].

    McNemar, Psychometrika 12 (1947) 153-157, in its exact conditional form: if both models are equally accurate, each
    is equally likely to be right on a discordant image, so `gained` is binomial (gained + lost, 1/2).

    >>> round(mcnemar_exact(1, 7), 7)
    0.0703125
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return max(
        float(binomtest(gained, gained + lost).pvalue), sys.float_info.min
    )  # the p-value underflows for more than 1000 images


def tango_interval(gained: int, lost: int, images: int) -> tuple[float, float]:
    """95 % score interval of the difference (gained - lost) / images of paired proportions.

    Tango, Statistics in Medicine 17 (1998) 891-908: all differences that the score test does not reject. Unlike Wald's
    interval, it keeps its level with few discordant images, and its width is not zero without any.
    """
    return lower_bound(gained, lost, images), -lower_bound(lost, gained, images)


def lower_bound(gained: int, lost: int, images: int) -> float:
    """The lower bound: the difference below the observed one with a score statistic of `Z_LEVEL`, by bisection."""
    observed = (gained - lost) / images
    low, high = -1.0, observed
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        deviation = math.sqrt(null_variance(gained / images, lost / images, middle) / images)
        if observed - middle >= Z_LEVEL * deviation:
            low = middle
        else:
            high = middle
    return low


def null_variance(gained: float, lost: float, difference: float) -> float:
    """Variance per image of the observed difference if the true difference is `difference`.

    gained, lost: observed shares. The share of lost images is a nuisance parameter. Tango 1998 uses its maximum
    likelihood estimate under the constraint, the larger root of 2x² + bx + c = 0.
    """
    b = (2 - gained + lost) * difference - gained - lost
    c = -lost * difference * (1 - difference)
    lost_under_null = (math.sqrt(b * b - 8 * c) - b) / 4
    return 2 * lost_under_null + difference * (1 - difference)


def images_needed(gained: int, lost: int, images: int, margin: float) -> int | None:
    """Number of images that would show non-inferiority with power 0.8, based on the observed shares.

    Nam, Biometrics 53 (1997) 1422-1430, for the score test that `tango_interval` inverts:
    n = ((z_0.975 √V0 + z_0.8 √V1) / (d + margin))², where V0 and V1 are the variances per image if the true difference
    is -margin and d. d is the observed difference; an observed gain counts as 0, because it may be luck. None if the
    observed loss is at least the margin.
    """
    difference = min(gained - lost, 0) / images
    slack = difference + margin
    if slack <= 0:
        return None
    discordant = (gained + lost) / images
    null = null_variance((discordant + difference) / 2, (discordant - difference) / 2, -margin)
    alternative = discordant - difference**2
    return math.ceil(((Z_LEVEL * math.sqrt(null) + Z_POWER * math.sqrt(alternative)) / slack) ** 2)
