"""Preprocessing. Training, calibration, parity checks and devices all use this code."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import InputError

__all__ = ["Levels", "Preprocessing", "accepted_shapes", "as_batch"]


Levels = Union[float, tuple[float, ...]]  # one number for all channels, or one for each
ORDERS = ("RGB", "BGR")
CHANNELS = 3  # of an image whose channels have an order


@dataclass(frozen=True)
class Preprocessing:
    """Turns an image into a model's input: y = (x * scale - mean) / std, with x in 0..255.

    A float image holds x / 255, so it gives the same result as the uint8 image.

    Attributes:
        mean, std: one number for all channels, or one for each, in the order of the model's channels.
        order: of the model's channels, "RGB" or "BGR". Images are always RGB; they are reversed for "BGR".

    Raises InputError for a number that is not finite, for a scale or std of 0, and for numbers of channels that
    contradict each other.

    >>> caffe = Preprocessing(1.0, mean=(103.939, 116.779, 123.68), order="BGR")
    >>> caffe.apply(np.array([[[10, 20, 30]]], np.uint8), (1, 1, 3)).round().tolist()
    [[[[-74.0, -97.0, -114.0]]]]
    """

    scale: float = 1 / 255
    mean: Levels = 0.0
    std: Levels = 1.0
    order: str = "RGB"

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise InputError(f"order is {reprlib.repr(self.order)}; expected {' or '.join(map(repr, ORDERS))}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            # The numbers of a BGR model are always written one by one: versions without an order then refuse them.
            if np.ndim(value):
                object.__setattr__(self, name, tuple(map(float, value)))
            elif self.order == "BGR":
                object.__setattr__(self, name, (float(value),) * CHANNELS)
        numbers = (self.scale, *numbers_of(self.mean), *numbers_of(self.std))
        if not all(map(math.isfinite, numbers)) or not self.scale or not all(numbers_of(self.std)):
            raise InputError(
                f"preprocessing has scale {self.scale}, mean {shown(self.mean)}, std {shown(self.std)}; "
                "expected finite numbers, and a scale and std other than 0"
            )
        counts = {len(value) for value in (self.mean, self.std) if isinstance(value, tuple)}
        if len(counts) > 1 or 0 in counts or (self.order == "BGR" and counts != {CHANNELS}):
            raise InputError(
                f"preprocessing has mean {shown(self.mean)}, std {shown(self.std)}, order {self.order}; expected one "
                f"number for each channel in both, or one for all; {CHANNELS} channels for BGR"
            )

    @property
    def channels(self) -> int | None:
        """The number of channels that an image must have; None for any."""
        return next((len(value) for value in (self.mean, self.std) if isinstance(value, tuple)), None)

    def check_channels(self, shape: tuple[int, ...]) -> None:
        """Raises InputError unless images of `shape` have the channels that this is for."""
        if self.channels is not None and shape[-1:] != (self.channels,):
            order = f", order {self.order}" if self.order != "RGB" else ""
            raise InputError(
                f"preprocessing has mean {shown(self.mean)}, std {shown(self.std)}{order}, for {self.channels} "
                f"channels, and the model's input is {shape}; expected one number for each channel, or one for all"
            )

    def apply(self, images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Images uint8 or float, `shape` or (n, *shape), a channel axis of 1 is optional -> float32 (n, *shape).

        Raises InputError on another shape or dtype, on NaN or infinity, on floats outside 0..1, and on a number of
        channels that this is not for.
        """
        self.check_channels(shape)
        batch = as_batch(images, shape)
        factor = self.scale
        if batch.dtype != np.uint8:
            check_unit_range(batch)
            factor *= 255
        out = (batch if self.order == "RGB" else batch[..., ::-1]).astype(np.float32)
        if factor != 1:
            out *= np.float32(factor)
        if self.mean:
            out -= np.asarray(self.mean, np.float32)
        if self.std != 1.0:
            out /= np.asarray(self.std, np.float32)
        return out

    def levels(self) -> np.ndarray:
        """The input for each uint8 pixel, float32: (256,), or (256, channels), in the order of the model's channels."""
        levels = np.arange(256, dtype=np.uint8)
        if self.channels is not None:
            levels = np.repeat(levels[:, None], self.channels, axis=1)
        return self.apply(levels, levels.shape)[0]

    def as_dict(self) -> JsonObject:
        """The fields as JSON. `order` is left out if it is "RGB", as in manifests that are older than it."""
        found = {"scale": self.scale, "mean": as_json(self.mean), "std": as_json(self.std)}
        return found if self.order == "RGB" else {**found, "order": self.order}

    @classmethod
    def from_dict(cls, value: Any) -> Preprocessing:
        """Read what `as_dict` writes. Raises InputError, KeyError, TypeError, ValueError or OverflowError."""
        levels = {key: from_json(value[key]) for key in ("mean", "std")}
        return cls(scale=float(value["scale"]), order=value.get("order", "RGB"), **levels)


def numbers_of(value: Levels) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def shown(value: Levels) -> str:
    """One number, or the few of an image: a damaged file may have many."""
    return reprlib.repr(value)


def as_json(value: Levels) -> float | list[float]:
    return list(value) if isinstance(value, tuple) else value


def from_json(value: Any) -> Levels:
    return tuple(map(float, value)) if isinstance(value, list) else float(value)


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
