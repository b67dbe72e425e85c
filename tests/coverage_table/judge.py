"""How far an exported layer's answers may be from Keras's, and what a refusal must be. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

__all__ = ["BOUNDS", "SOUND", "Bound", "Rounded", "Verdict", "bound_of", "distance", "judged", "refusal"]

SOUND = ("same", "within", "refused", "keras")
STEP = 1 / 255  # of eight bits, as a fraction of the output's range


@dataclass(frozen=True)
class Bound:
    """What one kind of precision may add to an answer, as fractions of the output's range.

    Attributes:
        largest, mean: of |exported - Keras| over all values, per tensor that the layer rounds inside.
        propagated: how often the answer's own change counts that Keras gives when its input and weights are rounded.
        rounding: the numbers that are rounded for that, a field of Rounded; None for none.
    """

    largest: float
    mean: float
    propagated: float = 0.0
    rounding: str | None = None


FLOAT = Bound(1e-4, 1e-4)
BOUNDS = {
    "float32": FLOAT,
    "float16": Bound(1e-2, 2e-3, 2, "half"),
    "dynamic": Bound(4 * STEP, STEP, 2, "eight"),
    "int8": Bound(4 * STEP, STEP, 2, "eight"),
    "int16": Bound(STEP, STEP / 4, 2, "weights"),
}


@dataclass(frozen=True)
class Rounded:
    """What Keras answers, and how much that changes when numbers are rounded before it computes: arrays (n, classes).

    Attributes:
        exact: nothing rounded.
        half: |change| when input and weights are float16, rounded to nearest, up and down.
        weights: |change| when weights have seven bits and one scale for each tensor, the largest of several scales.
        step: |change| when the input moves by half a step of eight bits of its range: all of it up or down, or each
            value by itself.
    """

    exact: np.ndarray
    half: np.ndarray
    weights: np.ndarray
    step: np.ndarray

    def changes(self, rounding: str | None) -> np.ndarray:
        """|change| of each answer by a kind of rounding; zeros for None."""
        kinds = {"half": self.half, "weights": self.weights, "eight": self.weights + self.step}
        return np.zeros_like(self.exact) if rounding is None else kinds[rounding]


@dataclass(frozen=True)
class Verdict:
    """What became of one case in one precision.

    Attributes:
        result: "same", "within", "refused", "keras" (it cannot compute the model itself), or a fault: "wrong", "raw",
            "crash", "hang", "unloaded", "broken".
        detail: the reason of a refusal or fault.
        largest, allowed: the largest difference and its bound, as fractions of the output's range; None for a refusal.
    """

    result: str
    detail: str = ""
    largest: float | None = None
    allowed: float | None = None

    @property
    def sound(self) -> bool:
        return self.result in SOUND


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|one - other|, without infinities: a half that overflows says nothing of how far it is allowed to be."""
    return np.nan_to_num(np.abs(one.astype(np.float64) - other), nan=0.0, posinf=0.0, neginf=0.0)


def bound_of(weights: str, activations: str) -> Bound:
    """The bound of a precision with these types, which are those of the catalogue."""
    key = {"int8": "int8", "int16": "int16", "dynamic": "dynamic"}.get(activations, weights)
    return BOUNDS[key]


def judged(scores: np.ndarray, rounded: Rounded, bound: Bound, rounds: int = 1, jumps: float = 0.0) -> Verdict:
    """Hold the scores of an exported file to Keras's, both (n, classes).

    In each image the largest difference may be `rounds` times `bound.largest`, and over all images the mean `rounds`
    times `bound.mean`, each plus the change by rounding: the largest of that image, and the mean of all. `jumps` is
    the share of images that may be further away in a precision that rounds.
    """
    exact = rounded.exact
    if scores.shape != exact.shape:
        return Verdict("wrong", f"answers {scores.shape}, Keras {exact.shape}")
    span = float(exact.max() - exact.min()) or float(np.abs(exact).max()) or 1.0
    delta = distance(scores, exact) / span
    if not np.isfinite(scores).all():
        return Verdict("wrong", "answers with NaN or infinity")
    changes = rounded.changes(bound.rounding) / span
    factor = rounds if bound is not FLOAT else 1
    allowed_in_image = factor * bound.largest + bound.propagated * changes.max(axis=1)
    mean_allowed = factor * bound.mean + bound.propagated * float(changes.mean())
    spared = int(jumps * len(delta)) if bound is not FLOAT else 0
    worst = int((delta.max(axis=1) - allowed_in_image).argsort()[-1 - spared])
    allowed, in_worst = float(allowed_in_image[worst]), float(delta[worst].max())
    largest, mean = float(delta.max()), float(delta.mean())
    if largest <= FLOAT.largest:
        return Verdict("same", "", largest, allowed)
    if in_worst > allowed:
        return Verdict("wrong", f"off by {in_worst:.2%} of the range, {allowed:.2%} allowed", in_worst, allowed)
    if mean > mean_allowed + jumps:
        return Verdict("wrong", f"off by {mean:.2%} on average, {mean_allowed:.2%} allowed", largest, allowed)
    return Verdict("within", "", largest, allowed)


RAW = re.compile(r"Traceback|<unknown>|loc\(|\btf\.\w|TypeError|AttributeError|KeyError|\n|StatefulPartitionedCall|0x")


def refusal(error: Exception) -> Verdict:
    """A refusal in our own words, or a converter's message that somebody let through."""
    from fmnist_edge.errors import ArtifactError, ExportError, FmnistEdgeError

    text = f"{error}"
    if not isinstance(error, FmnistEdgeError):
        return Verdict("raw", f"{type(error).__name__}: {text[:300]}")
    foreign = error.__cause__ is not None and not isinstance(error.__cause__, FmnistEdgeError)
    if isinstance(error, ArtifactError) or not isinstance(error, ExportError) or foreign or RAW.search(text):
        return Verdict("raw", text[:300])
    return Verdict("refused", text)
