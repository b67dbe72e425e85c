"""What an exported file must reach against its Keras model; `precisions` says which gate is whose."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from fmnist_edge.errors import InputError

__all__ = ["ENGINE_AGREEMENT", "FLOAT16", "FLOAT32", "INTEGER", "Gate"]

EXPECTED = {"max_abs_delta": "a finite number of at least 0"}


@dataclass(frozen=True)
class Gate:
    """What an artifact must reach against its Keras reference; None leaves a figure ungated.

    Attributes:
        min_agreement: least share of images with the same top class.
        max_abs_delta: largest difference of any score.
        max_accuracy_drop: most the accuracy may fall, as a fraction (0.005 = 0.5 percentage points).
        non_inferiority_margin: the accuracy that may be lost in truth, not only on these images, as a fraction. An
            artifact proven to lose more fails; too few images to tell is a verdict of its own, not a failure.

    Raises InputError for a share outside 0..1, and for a largest difference that is negative or not finite.
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


# MLPerf Inference asks for 99.9 % or 99 % of the reference's accuracy, 0.1 or 0.9 pp here. Float forms compute the same
# function, so they get the first, which is also about the finest that 10,000 images can show: without one discordant
# image the interval still is ±0.04 pp. Eight-bit forms get their point gate, which is tighter than the second.
FLOAT_MARGIN = 0.001
INTEGER_MARGIN = 0.005

FLOAT32 = Gate(min_agreement=0.9999, max_abs_delta=1e-3, non_inferiority_margin=FLOAT_MARGIN)
FLOAT16 = Gate(min_agreement=0.999, non_inferiority_margin=FLOAT_MARGIN)
INTEGER = Gate(max_accuracy_drop=INTEGER_MARGIN, non_inferiority_margin=INTEGER_MARGIN)

# By a precision's kind: least share of images on which an engine and the file's default engine share a top class.
# Engines round integers differently by design, and float sums in another order.
ENGINE_AGREEMENT = {"integer": 0.999, "half": 0.9999, "float": 0.9999}
