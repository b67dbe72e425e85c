"""The one definition of preprocessing: training, calibration, parity and devices all call this."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import InputError

__all__ = ["Preprocessing", "as_batch", "forms"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a model's input: y = (x * scale - mean) / std, with x in 0..255.

    A float image holds x / 255, so it gives the same answer as the uint8 image it came from.

    Raises InputError for a number that is not finite and for a scale or std of 0.
    """

    scale: float = 1 / 255
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        if not all(map(math.isfinite, (self.scale, self.mean, self.std))) or not self.scale or not self.std:
            raise InputError(
                f"preprocessing has scale {self.scale}, mean {self.mean}, std {self.std}; "
                "expected finite numbers, and a scale and std other than 0"
            )

    def apply(self, images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Images uint8 or float, `shape` or (n, *shape), channel axis optional if 1 -> float32 (n, *shape).

        Raises InputError on another shape or dtype, on NaN or infinity, and on floats outside 0..1.
        """
        batch = as_batch(images, shape)
        factor = self.scale
        if batch.dtype != np.uint8:
            check_unit_range(batch)
            factor *= 255
        out = batch.astype(np.float32)
        if factor != 1:
            out *= np.float32(factor)
        if self.mean:
            out -= np.float32(self.mean)
        if self.std != 1.0:
            out /= np.float32(self.std)
        return out


def as_batch(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`images` viewed as (n, *shape); raises InputError when its shape or dtype does not allow it."""
    array = np.asarray(images)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"image dtype is {array.dtype}; expected uint8 (0..255) or a float type (0..1)")
    accepted = forms(shape)
    for item in accepted:
        if array.shape == item:
            return array.reshape(1, *shape)
        if array.shape[1:] == item:
            if len(array) == 0:
                raise InputError("the batch holds no image; expected at least 1")
            return array.reshape(-1, *shape)
    wanted = " or ".join(map(str, reversed(accepted)))
    raise InputError(f"image shape is {array.shape}; expected {wanted}, or a batch of those")


def forms(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shapes that one image may come in: `shape`, and without its channel axis if that is 1."""
    return (shape, shape[:-1]) if shape[-1] == 1 else (shape,)


def check_unit_range(batch: np.ndarray) -> None:
    """Raises InputError unless every value is finite and within 0..1 (a rounding error beyond is let pass)."""
    low, high = float(batch.min()), float(batch.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError("image holds NaN or infinity; expected finite values in 0..1")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(f"float image spans {low:.3g} to {high:.3g}; expected 0..1 (pass uint8 for 0..255)")
