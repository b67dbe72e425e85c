"""Metrics: the difference between two arrays, and the saturation of integers. Arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.runtime.engine import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Comparison", "Saturation"]


@dataclass
class Comparison:
    """The difference of a candidate from its reference, accumulated in float64 over any number of calls of `add`.

    Attributes:
        signal: Σ reference².
        noise: Σ (reference - candidate)².
        energy, product: Σ candidate² and Σ reference · candidate.
        max_abs_error: largest |reference - candidate|.
        non_finite: number of elements that are NaN or infinite in either; the other attributes leave them out.
    """

    signal: float = 0.0
    noise: float = 0.0
    energy: float = 0.0
    product: float = 0.0
    max_abs_error: float = 0.0
    non_finite: int = 0

    def add(self, reference: ArrayLike, candidate: ArrayLike) -> None:
        """Add two arrays of the same shape and any real dtype."""
        a, b = (np.asarray(values, np.float64).ravel() for values in (reference, candidate))
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            self.non_finite += int((~finite).sum())
            a, b = a[finite], b[finite]
        difference = a - b
        self.signal += float(a @ a)
        self.noise += float(difference @ difference)
        self.energy += float(b @ b)
        self.product += float(a @ b)
        self.max_abs_error = max(self.max_abs_error, float(np.abs(difference).max(initial=0.0)))

    @property
    def exact(self) -> bool:
        """Whether all elements are equal and finite."""
        return self.max_abs_error == 0 and not self.non_finite

    @property
    def sqnr_db(self) -> float | None:
        """Signal-to-quantisation-noise ratio, 10 log10(signal / noise), in dB.

        None if it is undefined: for equal arrays (see `exact`), a reference of zeros, or values that are not finite.
        """
        if not self.signal or not self.noise or self.non_finite:
            return None
        return 10 * (math.log10(self.signal) - math.log10(self.noise))

    @property
    def cosine(self) -> float | None:
        """Cosine similarity, -1..1; None if an array is all zeros or a value is not finite."""
        length = math.sqrt(self.signal) * math.sqrt(self.energy)
        if not length or self.non_finite:
            return None
        return min(1.0, max(-1.0, self.product / length))

    def as_dict(self) -> JsonObject:
        return {
            "sqnr_db": self.sqnr_db,
            "exact": self.exact,
            "cosine": self.cosine,
            "max_abs_error": self.max_abs_error,
            "non_finite": self.non_finite,
        }


@dataclass
class Saturation:
    """The share of a tensor's integers that are at a limit of their dtype, where larger values are clipped.

    A limit that equals the zero point does not count. Converters put the zero point there for tensors that are never
    negative, such as a ReLU's output.
    """

    spec: TensorSpec
    values: int = 0
    at_limit: int = 0

    def add(self, integers: np.ndarray) -> None:
        """Count values as they are in the file. Float tensors have no limits and are not counted."""
        if self.spec.scale is None:
            return
        limits = np.iinfo(self.spec.dtype)
        self.values += integers.size
        for limit in (limits.min, limits.max):
            if limit != self.spec.zero_point:
                self.at_limit += int(np.count_nonzero(integers == limit))

    @property
    def share(self) -> float | None:
        """0..1; None for a float tensor."""
        return self.at_limit / self.values if self.values else None
