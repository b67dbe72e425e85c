"""Say what is wrong with calibration images before the ranges that they set are believed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.errors import InputError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.first_layer import DARKEST, first_layer_warning
from fmnist_edge.exporters.model_input import model_input
from fmnist_edge.runtime.contract import Contract

if TYPE_CHECKING:
    import keras

__all__ = ["calibration_warnings"]

# How many images it takes. If images are drawn alike, the next one is the largest or the smallest of n + 1 in a channel
# with probability 2 / (n + 1), whatever the distribution. So in 2 C / (n + 1) of C channels it leaves the range that n
# images had. C / 10 images leave about 20 channels to that; 10 is the least for any model, where the range of a whole
# layer is left by up to 18 % of images, and from 100 on, at 2 %, no number of channels is a reason to warn.
LEAST_IMAGES, ENOUGH_IMAGES, CHANNELS_PER_IMAGE = 10, 100, 10
MOST_CONSTANT = 0.5  # of the images: some black frames are part of real data, more are a fault
# Of the input of a model that does not scale it: whoever gives 0 and 1 with --scale 1 means it.
LEAST_INTERVAL = 0.4
CHUNK = 500
SIMPLEST = "give some hundred that look like what the device will see"


def calibration_warnings(calibration: Calibration, contract: Contract, model: keras.Model) -> list[str]:
    """One line for each reason to doubt calibration images; empty for good ones.

    Raises InputError when the contract's preprocessing refuses them.
    """
    images, name = calibration.images, f"calibration ({calibration.source})"
    check_unit(images, name, contract)
    found = [*count_warnings(images, name, model)]
    if contract.dtype == "uint8":
        found += value_warnings(images, name, contract, model)
    unlike = first_layer_warning(model, contract, images, f"{name}: the images")
    return [*found, unlike] if unlike else found


def check_unit(images: np.ndarray, name: str, contract: Contract) -> None:
    """Raises InputError, with what to do, for values that the contract's preprocessing refuses."""
    try:
        for start in range(0, len(images), CHUNK):
            contract.preprocessing.apply(images[start : start + CHUNK], contract.input_shape)
    except InputError as error:
        if contract.dtype != "uint8":
            remedy = "give what the model was trained on, as float32"
        elif images.min() >= 0 and 1 < images.max() <= 255:
            remedy = "images.round().astype('uint8') makes them so"
        else:
            remedy = "give the pixels, before any scaling"
        raise InputError(f"{name}: {error}; {remedy}") from None


def count_warnings(images: np.ndarray, name: str, model: keras.Model) -> Iterator[str]:
    """About too few images, or too few that differ."""
    count = len(images)
    if count == 1:
        yield f"{name}: 1 image, whose values alone set the range of every layer; {SIMPLEST}"
        return
    different = len({hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images})
    if different == 1:
        yield f"{name}: all {count:,} images are the same, so that one sets the range of every layer; {SIMPLEST}"
        return
    channels = most_channels(model)
    needed = min(ENOUGH_IMAGES, max(LEAST_IMAGES, math.ceil(channels / CHANNELS_PER_IMAGE)))
    if different < needed:
        which = f"{different:,} different images" if different < count else f"{count:,} images"
        outside = 2 * channels / (different + 1)
        yield (
            f"{name}: {which} for layers of up to {channels:,} channels: the next image will leave the range of about "
            f"{outside:,.0f} of these channels; give at least {needed} images, better some hundred"
        )


def value_warnings(images: np.ndarray, name: str, contract: Contract, model: keras.Model) -> Iterator[str]:
    """About images without content, and about values that were scaled before."""
    count = len(images)
    flat = images.reshape(count, -1)
    constant = int((flat.min(axis=1) == flat.max(axis=1)).sum())
    if constant > MOST_CONSTANT * count or constant == count:
        which = "the image is" if count == 1 else f"{constant:,} of {count:,} images are"
        yield f"{name}: {which} of one colour, in which layers see no edges; {SIMPLEST}"
    white = 255 if images.dtype == np.uint8 else 1
    largest = float(flat.max()) / white * 255
    interval = abs(contract.preprocessing.scale) / np.abs(contract.preprocessing.std).min() * largest
    if 0 < largest <= DARKEST and (interval < LEAST_INTERVAL or model_input(model).unit is not None):
        yield (
            f"{name}: {images.dtype} values up to {flat.max():.3g}, where white is {white}: they were divided by 255 "
            "before; give the pixels, uint8 0 to 255"
        )


def most_channels(model: keras.Model) -> int:
    """The largest number of channels that a layer with a kernel computes."""
    return max((channels_of(layer) for layer in every_layer(model)), default=1)


def every_layer(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from every_layer(layer)
        else:
            yield layer


def channels_of(layer: Any) -> int:
    """The outputs of a Dense or convolution layer; 1 for others."""
    return int(getattr(layer, "filters", None) or getattr(layer, "units", None) or 1)
