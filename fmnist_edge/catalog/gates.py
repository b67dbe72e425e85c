"""Parity gates: the limits within which an exported file must match its Keras model. `precisions` assigns them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from fmnist_edge.errors import InputError

__all__ = [
    "CATASTROPHIC_DROP",
    "CATASTROPHIC_IMAGES",
    "ENGINE_AGREEMENT",
    "ENOUGH_IMAGES",
    "FLOAT16",
    "FLOAT32",
    "INTEGER",
    "TENSOR_GATES",
    "Gate",
    "TensorGate",
]

EXPECTED = {"max_abs_delta": "a finite number of at least 0"}


@dataclass(frozen=True)
class Gate:
    """The limits within which an artifact must match its Keras reference. None sets no limit.

    From `ENOUGH_IMAGES` images on, the figures found decide. With fewer, one image can be more than a limit allows, so
    a limit on a share of the images is missed only if the images show it, or if the loss is catastrophic.

    Attributes:
        min_agreement: least fraction of images with the same top class.
        max_abs_delta: largest difference of any score.
        max_accuracy_drop: largest drop of accuracy on these images, as a fraction (0.005 = 0.5 percentage points).
        non_inferiority_margin: largest true drop of accuracy, beyond these images, as a fraction. An artifact fails
            when it is proven to lose more. Too few images to decide is a separate verdict, not a failure.

    Raises InputError for a fraction outside 0..1, and for a largest difference that is negative or not finite.
    """

    min_agreement: float | None = None
    max_abs_delta: float | None = None
    max_accuracy_drop: float | None = None
    non_inferiority_margin: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = math.inf if name == "max_abs_delta" else 1.0
            if value is not None and not (0 <= value <= most and math.isfinite(value)):
                raise InputError(f"gate: {name} is {value}; expected {EXPECTED.get(name, 'a fraction, 0 to 1')}")


# MLPerf Inference asks for 99.9 % or 99 % of the reference's accuracy, which is 0.1 or 0.9 pp here. Float precisions
# compute the same function, so they get the first. It is also about the smallest difference that 10,000 images can
# show: even when all predictions agree, the interval is ±0.04 pp. Eight-bit precisions get the same margin as their
# accuracy drop, which is tighter than the second.
FLOAT_MARGIN = 0.001
INTEGER_MARGIN = 0.005

FLOAT32 = Gate(min_agreement=0.9999, max_abs_delta=1e-3, non_inferiority_margin=FLOAT_MARGIN)
FLOAT16 = Gate(min_agreement=0.999, non_inferiority_margin=FLOAT_MARGIN)
INTEGER = Gate(max_accuracy_drop=INTEGER_MARGIN, non_inferiority_margin=INTEGER_MARGIN)


@dataclass(frozen=True)
class TensorGate:
    """The limits within which each output of a model with the task `tensor` must match its Keras reference.

    Attributes:
        max_relative_error: largest difference of a value, by the output's largest magnitude.
        min_sqnr_db: least ratio of the output to the difference, in decibels.
        min_cosine: least cosine of both outputs as vectors.
    """

    max_relative_error: float
    min_sqnr_db: float
    min_cosine: float


# By kind of precision. Float files compute the same function; 60 dB are a difference of a thousandth. Half floats have
# 11 bits, which sums of some hundred products leave 40 dB of. Eight bits alone are 50 dB of a full range; layers that
# follow one another and outputs that use part of their range leave 20 dB of it, which is a tenth.
TENSOR_GATES = {
    "float": TensorGate(max_relative_error=1e-3, min_sqnr_db=60, min_cosine=0.99999),
    "half": TensorGate(max_relative_error=2e-2, min_sqnr_db=40, min_cosine=0.9999),
    "integer": TensorGate(max_relative_error=0.2, min_sqnr_db=20, min_cosine=0.99),
}

# The limits are set for the zoo's test set of this size, where even 99.99 % agreement allows one image.
ENOUGH_IMAGES = 10_000
# A drop of accuracy, as a fraction, that fails on any number of images, if it is at least so many images.
CATASTROPHIC_DROP = 0.05
CATASTROPHIC_IMAGES = 3

# Kind of precision -> least fraction of images on which an engine has the same top class as the file's default engine.
# Engines round integers differently by design, and add floats in different orders.
ENGINE_AGREEMENT = {"integer": 0.999, "half": 0.9999, "float": 0.9999}
