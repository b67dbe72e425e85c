"""Detect whether an image is light on dark or dark on light. Fashion-MNIST is light on dark, most photos are not.

The rule: an image is dark on light when the mean of its outermost pixels, which are background, is above the middle of
the range. On Fashion-MNIST's 60,000 training images the rule makes no error (the lightest border has a mean of 108 of
255), and none on the same images inverted; `tests/runtime/test_polarity.py` counts both. The rule does not work for a
background of medium lightness, or for an object that fills the image.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fmnist_edge.errors import InputError
from fmnist_edge.runtime.contract import Contract

__all__ = ["INVERT", "Polarity", "PolarityWarning"]

INVERT = ("never", "auto", "always")


class PolarityWarning(UserWarning):
    """An image looks inverted, compared with the images that the model was trained on.

    It is a warning, not a log line, because it is about the caller's data. Python shows it once per place in the code,
    and `warnings.simplefilter` can silence it or make it an error.
    """


class Polarity:
    """Compares images with the polarity in a contract. Without a polarity there, no image looks inverted."""

    def __init__(self, contract: Contract) -> None:
        self._expected = contract.polarity
        self._pixels = contract.dtype == "uint8"
        self._border = border_of(contract.input_shape) if contract.polarity else np.empty(0, np.intp)

    def looks_inverted(self, batch: np.ndarray) -> np.ndarray:
        """bool (n,): which images of `batch`, uint8 or float (n, height, width, channels), look inverted."""
        if self._expected is None:
            return np.zeros(len(batch), bool)
        borders = batch.reshape(len(batch), -1).take(self._border, axis=1)
        return self._past_middle(np.add.reduce(borders, axis=1), max_pixel(batch))

    def _single_looks_inverted(self, batch: np.ndarray) -> bool:
        """`looks_inverted` for a batch of one, in half the time: it is part of every call's latency."""
        return self._past_middle(np.add.reduce(batch.reshape(-1).take(self._border)).item(), max_pixel(batch))

    def _past_middle(self, total: Any, brightest: int) -> Any:
        """Whether a border with this sum is on the wrong side of the middle. Sums, because a mean takes longer."""
        twice, middle = 2 * total, len(self._border) * brightest
        return twice > middle if self._expected == "light-on-dark" else twice < middle

    def apply(self, batch: np.ndarray, invert: str, stacklevel: int) -> np.ndarray:
        """`batch` with images inverted according to `invert`, one of INVERT.

        "never" warns about images that look inverted; `stacklevel` is the warning's. Raises InputError for another
        `invert`.
        """
        if invert == "always":
            if not self._pixels:
                raise InputError("invert='always' is for images, and this model takes numbers; leave it out")
            return max_pixel(batch) - batch
        if invert not in INVERT:
            raise InputError(f"invert is {invert!r}; expected {', '.join(map(repr, INVERT))}")
        if self._expected is None or (len(batch) == 1 and not self._single_looks_inverted(batch)):
            return batch
        inverted = self.looks_inverted(batch)
        if not inverted.any():
            return batch
        if invert == "auto":
            return np.where(inverted.reshape(-1, 1, 1, 1), max_pixel(batch) - batch, batch)
        found = f"{np.count_nonzero(inverted)} of {len(batch)} images look" if len(batch) > 1 else "the image looks"
        other = "dark on light" if self._expected == "light-on-dark" else "light on dark"
        asked = str(self._expected).replace("-", " ")
        message = f"{found} {other}, but the model was trained on {asked}; invert='auto' inverts such images"
        warnings.warn(PolarityWarning(message), stacklevel=stacklevel + 1)
        return batch


def max_pixel(batch: np.ndarray) -> int:
    """The largest possible value of a pixel."""
    return 255 if batch.dtype == np.uint8 else 1


def border_of(shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the outermost pixels of an image (height, width, channels), in all channels."""
    edge = np.ones(shape, bool)
    edge[1:-1, 1:-1] = False
    return np.flatnonzero(edge)
