"""Compare images with those that a model was trained on, by the statistics that its first normalisation keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.exporters.input_chain import Step, input_chain
from fmnist_edge.exporters.model_input import UNITS, moments_of
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.runtime.presets import PRESETS

if TYPE_CHECKING:
    import keras

__all__ = ["DARKEST", "first_layer_warning"]

IMAGES = 100  # that are looked at
# Divergence, in nats. Measured at the first BatchNorm of tiny_resnet_edge, tiny_googlenet_edge and wrn_16_2:
# calibration images 0.003; any 10 of them at most 0.035; a single one at most 0.5; 50 images of one class at most 0.11.
# Inverted images 0.30 to 0.35, half the contrast 0.37, noise 0.45 to 0.56, -1..1 for 0..1 1.6 to 1.7, divided by 255
# twice 3.1 to 3.3, 0..255 for 0..1 40,000.
LARGEST = 0.4
LARGEST_OF_FEW, FEW = 1.0, 10  # for fewer images than FEW
SUSPICIOUS, BETTER = 0.15, 0.1  # less than LARGEST is enough if another unit has BETTER times the divergence
DARKEST = 1.001  # of 255: the brightest value of images that were divided by 255
FLOOR = 1e-3  # of the variances: times their median. A channel that was always 0 tells nothing
REMEDIES = {
    "unit": UNITS["unit"].text,
    "tf": UNITS["signed"].text,
    "0..255": UNITS["pixels"].text,
    "imagenet": "pixels / 255 with ImageNet's mean and deviation by channel",
    "caffe": "BGR pixels minus ImageNet's mean by channel",
}


@dataclass(frozen=True)
class Reference:
    """A layer that keeps the mean and variance, by channel, of what it got in training.

    Attributes:
        before: the steps from the model's input to this layer.
        kept: axes of its input over which it does not average; the channels' as a rule.
        mean, variance: float64 (channels,).
    """

    name: str
    before: tuple[Step, ...]
    kept: tuple[int, ...]
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Distance:
    """How far images are from those of training.

    Attributes:
        divergence: Kullback-Leibler divergence of normal distributions with these means and variances, from those of
            training; mean over the channels, in nats.
        shift: distance of the means in standard deviations of training; root mean square over the channels.
        spread: standard deviation in multiples of training's; geometric mean over the channels.
    """

    divergence: float
    shift: float
    spread: float


def reference_of(model: keras.Model) -> Reference | None:
    """The first Normalization or trained BatchNormalization behind the input; None if there is none before a branch."""
    before: list[Step] = []
    for step in input_chain(model):
        moments = moments_of(step)
        if moments is not None:
            axis, (mean, deviation) = step.operation.axis, moments
            kept = (axis,) if isinstance(axis, int) else tuple(axis or ())
            return Reference(step.name, tuple(before), kept, mean, deviation**2)
        before.append(step)
    return None


def distance(reference: Reference, values: np.ndarray) -> Distance:
    """`values`: the model's input, float32 (n, *input_shape)."""
    for step in reference.before:
        values = step.run(values)
    found = np.asarray(values, np.float64)
    kept = {axis % found.ndim for axis in reference.kept}
    axes = tuple(axis for axis in range(found.ndim) if axis not in kept)
    mean, variance = found.mean(axes).ravel(), found.var(axes).ravel()
    floor = FLOOR * float(np.median(reference.variance)) or FLOOR
    ratio = (variance + floor) / (reference.variance + floor)
    shift = (mean - reference.mean) ** 2 / (reference.variance + floor)
    divergence = 0.5 * (ratio + shift - 1 - np.log(ratio)).mean()
    return Distance(float(divergence), float(np.sqrt(shift.mean())), float(np.exp(0.5 * np.log(ratio).mean())))


def first_layer_warning(model: keras.Model, contract: Contract, images: np.ndarray, what: str) -> str | None:
    """One line if `images`, preprocessed by `contract`, are unlike those that `model` was trained on.

    Args:
        images: uint8 or float (n, *input_shape).
        what: the images in words, for the message.
    """
    reference = reference_of(model)
    if reference is None:
        return None
    images = images[np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)]
    found = distance(reference, contract.preprocessing.apply(images, contract.input_shape))
    few = len(images) < FEW
    largest = LARGEST_OF_FEW if few else LARGEST
    pixels = contract.dtype == "uint8" and found.divergence > SUSPICIOUS and not few
    better = better_form(reference, contract, images, found) if pixels else None
    if better is not None:
        largest = SUSPICIOUS
    if found.divergence <= largest:
        return None
    remedy = better or (
        "give images like those of training, in the unit of the contract, unless the layer comes frozen from a model "
        "that was trained on others"
    )
    return (
        f"{what} are unlike the model's training data: at {reference.name!r} their mean is {found.shift:.2g} standard "
        f"deviations from training's and their spread {found.spread:.2g} times training's (divergence "
        f"{found.divergence:.2g}, at most {largest} expected); {remedy}"
    )


def better_form(reference: Reference, contract: Contract, images: np.ndarray, found: Distance) -> str | None:
    """The remedy that brings the images near those of training; None if none of the usual ones does."""
    brightest = float(images.max()) * (1 if images.dtype == np.uint8 else 255)
    distances = {
        remedy: distance(reference, make(images).astype(np.float32)).divergence
        for remedy, make in forms(contract, brightest <= DARKEST).items()
    }
    remedy = min(distances, key=lambda item: round(distances[item], 6))
    least = distances[remedy]
    return f"{remedy} (divergence {least:.2g})" if least <= BETTER * found.divergence and least < LARGEST else None


def forms(contract: Contract, dark: bool) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Remedy -> what makes the model's input of images in the unit that the remedy is about.

    `dark`: whether the brightest pixel is at most 1 of 255.
    """
    shape, preprocessing = contract.input_shape, contract.preprocessing

    def pixels(images: np.ndarray) -> np.ndarray:
        return UNITS["pixels"].preprocessing.apply(images, shape)

    def prepared_by(other: Preprocessing) -> Callable[[np.ndarray], np.ndarray]:
        return lambda images: other.apply(images, shape)

    made: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if dark:  # first, because pixels as they are can be the same
        made["times 255, they would fit: they were divided by 255 before; give uint8 pixels"] = prepared_by(
            replace(preprocessing, scale=preprocessing.scale * 255)
        )
    for name, what in REMEDIES.items():
        other = PRESETS[name]
        if other != preprocessing and other.channels in (None, shape[-1]):
            made[f"{what} would fit: export with --preprocess {name}"] = prepared_by(other)
    made["inverted, they would fit: the model was trained on images of the other polarity"] = lambda images: (
        preprocessing.apply((255 - pixels(images)) / np.float32(255), shape)
    )
    return made
