"""Judge the reference itself: parity with a Keras model that does not see what is on the images proves nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject

__all__ = ["ReferenceHealth", "reference_health"]

LEVEL = 0.95
# Spread of the answers over the images, by their spread over images and classes. Measured on 50 test images of one
# class each, the least varied images that a check would be made on: 0.15 to 0.47 (tiny_resnet, tiny_resnet_edge,
# compact_cnn, tuned_cnn). On images that were divided by 255 twice: 0.005 to 0.098, and all answers are of one class.
LEAST_VARIATION = 0.1
LEAST_CONTRAST = 0.02  # of the range of pixels: spread over the images below which they are nearly the same
SMALLEST = 1e-30  # probability
NOTHING = (
    "parity with it proves nothing; its input is wrong (--preprocess, or --scale, --mean and --std, of the export)"
)


@dataclass(frozen=True)
class ReferenceHealth:
    """Whether the reference tells images apart.

    Attributes:
        verdict: "sound"; "at chance": its accuracy is that of guessing; "constant": it answers all images alike.
        finding: one line with the figures and what to do; None if it is sound.
        accuracy: fraction; None without labels.
        lower, upper: 95 % confidence interval of the accuracy (Clopper and Pearson 1934).
        chance: the accuracy that its answers would have by chance: if they were as frequent, but independent of the
            labels (the expected agreement of Cohen's kappa); 1 / classes if all labels are the same.
        variation: spread of the logits over the images, by their spread over images and classes; 0 if all answers are
            the same. None if the images are nearly the same.
    """

    verdict: str
    finding: str | None
    accuracy: float | None
    lower: float | None
    upper: float | None
    chance: float | None
    variation: float | None

    def as_dict(self) -> JsonObject:
        return asdict(self)


def reference_health(
    scores: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray | None,
    output: str = "logits",
    answers: np.ndarray | None = None,
) -> ReferenceHealth:
    """Judge the reference by its scores (n, classes) on images uint8 or float (n, ...) with class indices (n,).

    `output`: "logits" or "probabilities". `answers`: class indices (n,); None for those with the largest score. Little
    evidence is no reason to doubt: a few images prove neither.
    """
    answers = scores.argmax(axis=1) if answers is None else answers
    variation = variation_of(scores, images, output)
    constant = variation is not None and variation < LEAST_VARIATION and len(np.unique(answers)) == 1
    alike = (
        f"the Keras model itself answers class {answers[0]} to all {len(scores):,} images, with scores that hardly "
        f"vary ({variation or 0:.3f} of their spread; images of a single class make 0.15 or more): {NOTHING}, or the "
        "images are all nearly the same"
    )
    if labels is None:
        verdict, finding = ("constant", alike) if constant else ("sound", None)
        return ReferenceHealth(verdict, finding, None, None, None, None, variation)
    right = answers == labels
    accuracy, (lower, upper) = float(right.mean()), interval(int(right.sum()), len(right))
    chance = chance_of(answers, labels, scores.shape[1])
    verdict, finding = "sound", None
    # The interval must exclude a model that is worth anything, too: half-way from chance to all images right.
    if lower <= chance and upper < (1 + chance) / 2:
        verdict = "at chance"
        finding = (
            f"the Keras model itself gets {accuracy:.2%} of {len(right):,} images right (95 % interval [{lower:.2%}, "
            f"{upper:.2%}]), and guessing would get {chance:.2%}: {NOTHING}, or the labels are in another order"
        )
    elif constant and accuracy < 1:
        verdict, finding = "constant", alike
    return ReferenceHealth(verdict, finding, accuracy, lower, upper, chance, variation)


def interval(right: int, images: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(right, images).proportion_ci(LEVEL, method="exact")
    return float(found.low), float(found.high)


def chance_of(answers: np.ndarray, labels: np.ndarray, classes: int) -> float:
    counts = [np.bincount(indices, minlength=classes) / len(indices) for indices in (answers, labels)]
    if counts[1].max() == 1:
        return 1 / classes
    return float(counts[0] @ counts[1])


def variation_of(scores: np.ndarray, images: np.ndarray, output: str) -> float | None:
    """See ReferenceHealth; None without several images that differ, and for a single class."""
    if len(scores) < 2 or scores.shape[1] < 2 or contrast(images) < LEAST_CONTRAST:
        return None
    exact = scores.astype(np.float64)
    logits = np.log(np.maximum(exact, SMALLEST)) if output == "probabilities" else exact
    logits = logits - logits.mean(axis=1, keepdims=True)  # softmax leaves no more of them
    spread = float((logits**2).mean())
    return float(np.sqrt(logits.var(axis=0).mean() / spread)) if spread else 0.0


def contrast(images: np.ndarray) -> float:
    """Mean standard deviation of a pixel over the images, by the range of pixels."""
    some = images[:: max(1, len(images) // 200)]
    return float(some.std(axis=0, dtype=np.float64).mean()) / (255 if images.dtype == np.uint8 else 1)
