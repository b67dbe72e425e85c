"""Preprocessing. Training, calibration, parity checks and devices all use this code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import InputError

__all__ = ["Preprocessing", "accepted_shapes", "as_batch"]


@dataclass(frozen=True)
class Preprocessing:
    """Turns an image into a model's input: y = (x * scale - mean) / std, with x in 0..255.

    A float image holds x / 255, so it gives the same result as the uint8 image.

    Raises InputError for a number that is not finite, and for a scale or std of 0.
    """

    scale: float = 1 / 255
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.scale, self.mean, self.std))) or not self.scale or not self.std:
            raise InputError(
                f"preprocessing has scale {self.scale}, mean {self.mean}, std {self.std}; "
                "expected finite numbers, and a scale and std other than 0"
            )

    def apply(self, images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Images uint8 or float, `shape` or (n, *shape), a channel axis of 1 is optional -> float32 (n, *shape).

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
    """A view of `images` as (n, *shape). Raises InputError for another shape or dtype."""
    array = np.asarray(images)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InputError(f"image dtype is {array.dtype}; expected uint8 (0..255) or a float type (0..1)")
    accepted = accepted_shapes(shape)
    for item in accepted:
        if array.shape == item:
            return array.reshape(1, *shape)
        if array.shape[1:] == item:
            if len(array) == 0:
                raise InputError("the batch is empty; expected at least 1 image")
            return array.reshape(-1, *shape)
    wanted = " or ".join(map(str, reversed(accepted)))
    raise InputError(f"image shape is {array.shape}; expected {wanted}, or a batch of those")


def accepted_shapes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The accepted shapes of one image: `shape`, and the same without a channel axis of 1."""
    return (shape, shape[:-1]) if shape[-1] == 1 else (shape,)


def check_unit_range(batch: np.ndarray) -> None:
    """Raises InputError unless every value is finite and in 0..1. Allows a small rounding error."""
    low, high = float(batch.min()), float(batch.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError("image holds NaN or infinity; expected finite values in 0..1")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(f"float image spans {low:.3g} to {high:.3g}; expected 0..1 (pass uint8 for 0..255)")
