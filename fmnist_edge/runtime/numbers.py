"""Inputs that are no images: a sensor's samples, a table's row. They are numbers of any range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import InputError
from fmnist_edge.runtime.preprocess import Preprocessing, as_batch

__all__ = ["Numbers"]


@dataclass(frozen=True)
class Numbers(Preprocessing):
    """Turns numbers into a model's input: y = (x * scale - mean) / std. By default they are taken as they are.

    Unlike a pixel, a number has no unit: 0..1 and 0..255 are not the same.
    """

    scale: float = 1.0

    def apply(self, images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Float, `shape` or (n, *shape), a last axis of 1 is optional -> float32 (n, *shape).

        Raises InputError on another shape or dtype, and on NaN or infinity.
        """
        batch = as_batch(images, shape)
        if batch.dtype == np.uint8:
            raise InputError("the input is uint8; expected a float type: the model takes numbers, and no pixels")
        if not np.isfinite(batch).all():
            raise InputError("the input holds NaN or infinity; expected finite numbers")
        self.check_channels(shape)
        values = batch.astype(np.float32)
        if self != Numbers():
            mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
            values = (values * np.float32(self.scale) - mean) / std
        return values
