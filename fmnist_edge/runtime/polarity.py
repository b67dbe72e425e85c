"""Is an image light on dark or dark on light? Fashion-MNIST is light on dark, and most photos of clothes are not.

The rule: an image is dark on light when the mean of its outermost pixels, which are background, lies above the middle
of their range. Of Fashion-MNIST's 60,000 training images it takes none for dark on light (the lightest border has a
mean of 108 of 255), and of the same images inverted it misses none; `tests/runtime/test_polarity.py` counts both.
A background about as light as the middle, or an object that fills the image, is beyond it.
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
    """Images that look inverted beside those the model was trained on.

    A warning and not a log line: it is about the caller's own data, shows once for a place in the code, and
    `warnings.simplefilter` makes it silent or an error.
    """


class Polarity:
    """What a contract says of polarity, held against images. One whose contract says nothing finds nothing."""

    def __init__(self, contract: Contract) -> None:
        self._wanted = contract.polarity
        self._border = border_of(contract.input_shape) if contract.polarity else np.empty(0, np.intp)

    def wrong(self, batch: np.ndarray) -> np.ndarray:
        """bool (n,): the images of `batch`, uint8 or float (n, height, width, channels), that look inverted."""
        if self._wanted is None:
            return np.zeros(len(batch), bool)
        borders = batch.reshape(len(batch), -1).take(self._border, axis=1)
        return self._beyond(np.add.reduce(borders, axis=1), full(batch))

    def _one_is_wrong(self, batch: np.ndarray) -> bool:
        """`wrong` of a single image, in half the time: what every call of an app pays."""
        return self._beyond(np.add.reduce(batch.reshape(-1).take(self._border)).item(), full(batch))

    def _beyond(self, total: Any, brightest: int) -> Any:
        """Whether a border of this sum lies on the wrong side of the middle; sums, because a mean takes longer."""
        twice, middle = 2 * total, len(self._border) * brightest
        return twice > middle if self._wanted == "light-on-dark" else twice < middle

    def applied(self, batch: np.ndarray, invert: str, stacklevel: int) -> np.ndarray:
        """`batch` with those images inverted that `invert` says, one of INVERT.

        "never" warns of images that look inverted, at `stacklevel`. Raises InputError for another word.
        """
        if invert == "always":
            return full(batch) - batch
        if invert not in INVERT:
            raise InputError(f"invert is {invert!r}; expected {', '.join(map(repr, INVERT))}")
        if self._wanted is None or (len(batch) == 1 and not self._one_is_wrong(batch)):
            return batch
        wrong = self.wrong(batch)
        if not wrong.any():
            return batch
        if invert == "auto":
            return np.where(wrong.reshape(-1, 1, 1, 1), full(batch) - batch, batch)
        found = f"{np.count_nonzero(wrong)} of {len(batch)} images look" if len(batch) > 1 else "the image looks"
        other = "dark on light" if self._wanted == "light-on-dark" else "light on dark"
        asked = str(self._wanted).replace("-", " ")
        message = f"{found} {other}, and the model was trained on {asked}; invert='auto' turns such images"
        warnings.warn(PolarityWarning(message), stacklevel=stacklevel + 1)
        return batch


def full(batch: np.ndarray) -> int:
    """The largest value of a pixel."""
    return 255 if batch.dtype == np.uint8 else 1


def border_of(shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the outermost pixels, all channels, of an image (height, width, channels)."""
    edge = np.ones(shape, bool)
    edge[1:-1, 1:-1] = False
    return np.flatnonzero(edge)
