"""Read from a model in which unit it takes its images, if it scales or normalises its input itself.

Each step at the beginning of the model that computes y = a * x + b is evidence: `Rescaling(1/255)` makes a usual input
for a network, 0..1, of pixels 0..255, and makes next to nothing, 0..0.004, of values that were divided by 255 before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.exporters.equivalents import TRAINING_ONLY
from fmnist_edge.exporters.input_chain import Step, input_chain
from fmnist_edge.runtime.preprocess import Preprocessing

if TYPE_CHECKING:
    import keras

__all__ = ["UNITS", "ModelInput", "Unit", "model_input"]


@dataclass(frozen=True)
class Unit:
    """A unit of images, as models take them.

    Attributes:
        text: for messages.
        low, high: values of a black and of a white pixel.
        preprocessing: makes it of pixels 0..255.
    """

    text: str
    low: float
    high: float
    preprocessing: Preprocessing


UNITS = {
    "unit": Unit("pixels / 255 (0 to 1)", 0.0, 1.0, Preprocessing()),
    "signed": Unit("pixels / 127.5 - 1 (-1 to 1)", -1.0, 1.0, Preprocessing(1 / 127.5, 1.0)),
    "pixels": Unit("pixels 0-255 as they are", 0.0, 255.0, Preprocessing(1.0)),
}
# What networks are fed with. An interval is one of them if its ends differ by at most TOLERANCE of its length: pixels
# are also divided by 256 or 128.
TARGETS = ((0, 1), (0, 255), (-1, 1), (-0.5, 0.5), (-127.5, 127.5))
OF_SIGNED = TARGETS[:2]  # nobody scales -1..1 to another interval around 0
TOLERANCE = 0.02
# Else: lengths of intervals that networks are fed with. 4.4 is ImageNet's mean and deviation, 255 its mean alone.
USUAL, AS_PIXELS = (0.4, 40.0), (100.0, 300.0)
LEAST_CONTRAST = 0.25  # of an interval: its length by its largest magnitude. A mean of 104 leaves none of 0..1
# Smallest standard deviation of images, by the length of their interval: 5 grey levels of 255. The largest of 0..1 is
# 0.5, so that no images can be taken for both.
LEAST_DEVIATION = 0.02
SLACK = 0.01
UNCHANGED = TRAINING_ONLY | {
    "ActivityRegularization", "AveragePooling2D", "BroadcastTo", "Cast", "CenterCrop", "Concatenate",
    "ConvertToTensor", "Copy", "CropImages", "Cropping2D", "Dropout", "ExpandDims", "Flatten", "Flip", "Fliplr",
    "Flipud", "GaussianDropout", "GaussianNoise", "GetItem", "Identity", "MaxPooling2D", "Moveaxis", "Permute",
    "RandomCrop", "Repeat", "Reshape", "Resize", "Resizing", "SpatialDropout2D", "Squeeze", "Stack", "StopGradient",
    "Swapaxes", "Tile", "Transpose", "UpSampling2D", "View",
}  # fmt: skip


@dataclass(frozen=True)
class ModelInput:
    """What a model says about its input.

    Attributes:
        unit: key of UNITS; None if it does not say, or cannot be understood.
        steps: class and name of the layers that scale its input; empty if none does.
        statistics: mean over the channels of the mean and the standard deviation that the last of them has seen, if it
            was judged by these.
    """

    unit: str | None
    steps: tuple[tuple[str, str], ...] = ()
    statistics: tuple[float, float] | None = None


def model_input(model: keras.Model) -> ModelInput:
    """The unit of the images that `model` takes, by the steps that it begins with."""
    a, b = np.ones(1), np.zeros(1)
    maps: list[tuple[np.ndarray, np.ndarray]] = []
    names: list[tuple[str, str]] = []
    for step in input_chain(model):
        moments = moments_of(step)
        if moments is not None:
            names.append((step.kind, step.name))
            fitting = [key for key, unit in UNITS.items() if could_be(unit, a, b, *moments)]
            if "signed" in fitting and step.kind == "BatchNormalization" and moments[0].min() >= 0:
                fitting.remove("signed")  # its variance starts at 1, which after a short training is much of it
            if fitting:
                mean, deviation = (float(values.mean()) for values in moments)
                return ModelInput(fitting[0], tuple(names), (mean, deviation))
            break
        if step.kind in UNCHANGED:
            continue
        affine = affine_of(step)
        if affine is None or not len({1, a.size, affine[0].size}) <= 2:
            break
        if (affine[0] == 1).all() and not affine[1].any():
            continue
        a, b = a * affine[0], b * affine[0] + affine[1]
        maps.append((a, b))
        names.append((step.kind, step.name))
    found = (unit_of(*item) for item in reversed(maps))
    return ModelInput(next((unit for unit in found if unit is not None), None), tuple(names))


def moments_of(step: Step) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation, flat, of the images that a normalising step has seen; None for other steps."""
    layer = step.operation
    if step.kind == "Normalization" and not layer.invert:
        mean, variance = layer.mean, layer.variance
    elif step.kind == "BatchNormalization":
        mean, variance = layer.moving_mean, layer.moving_variance
    else:
        return None
    mean, deviation = np.asarray(mean, np.float64).ravel(), np.sqrt(np.asarray(variance, np.float64)).ravel()
    untrained = not mean.any() and bool((deviation == 1).all())
    return None if untrained else (mean, deviation)


def could_be(unit: Unit, a: np.ndarray, b: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> bool:
    """Whether images in `unit`, after y = a * x + b, can have this mean and standard deviation in every channel."""
    if len({1, a.size, mean.size}) > 2:
        return False
    low, high = interval(unit, a, b)
    length = high - low
    inside = (mean >= low - SLACK * length) & (mean <= high + SLACK * length)
    spread = np.median(deviation / length)  # a pixel at the border may always be black
    return bool(inside.all() and (deviation <= (0.5 + SLACK) * length).all() and spread >= LEAST_DEVIATION)


def interval(unit: Unit, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ends = np.stack([a * unit.low + b, a * unit.high + b])
    return ends.min(axis=0), ends.max(axis=0)


def unit_of(a: np.ndarray, b: np.ndarray) -> str | None:
    """The only unit of which y = a * x + b makes a usual input for a network; None if none or several are."""
    if not a.all():
        return None
    ends = {key: interval(unit, a, b) for key, unit in UNITS.items()}
    misfits = {key: misfit(*ends[key], OF_SIGNED if key == "signed" else TARGETS) for key in UNITS}
    best = min(misfits.values())
    if best <= TOLERANCE:
        exact = [key for key, value in misfits.items() if value <= best + 1e-6]
        return exact[0] if len(exact) == 1 else None
    # Both 0..1 and -1..1 become usual inputs; only exact ends tell them apart, and 0..1 is the usual one.
    usual = [key for key in ("unit", "pixels") if is_usual(*ends[key])]
    return usual[0] if len(usual) == 1 else None


def misfit(low: np.ndarray, high: np.ndarray, targets: tuple[tuple[float, float], ...]) -> float:
    """How far the ends are from those of the nearest of `targets`, by its length."""
    return min(
        float(np.maximum(np.abs(low - start), np.abs(high - end)).max()) / (end - start) for start, end in targets
    )


def is_usual(low: np.ndarray, high: np.ndarray) -> bool:
    length = high - low
    contrast = length / np.maximum(np.abs(low), np.abs(high))
    middle = np.median(length)
    sizes = USUAL[0] <= middle <= USUAL[1] or AS_PIXELS[0] <= middle <= AS_PIXELS[1]
    return bool(sizes and np.median(contrast) >= LEAST_CONTRAST)


def affine_of(step: Step) -> tuple[np.ndarray, np.ndarray] | None:
    """(a, b) of a step that computes y = a * x + b, flat, one element or one per channel; None for other steps."""
    one, zero = np.ones(1), np.zeros(1)
    if step.kind == "Rescaling":
        return constant(step.operation.scale) + zero, constant(step.operation.offset) + zero
    if step.kind == "Normalization":  # with invert=True
        layer = step.operation
        return np.sqrt(constant(layer.variance)), constant(layer.mean)
    if step.kind == "Negative":
        return -one, zero
    if step.kind not in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide") or len(step.arguments) != 2:
        return None
    first, second = step.arguments
    if (first is None) == (second is None):
        return None
    number = constant(second if first is None else first)
    match step.kind, first is None:
        case "Add", _:
            return one, number
        case "Subtract", True:
            return one, -number
        case "Subtract", False:
            return -one, number
        case "Multiply", _:
            return number, zero
        case _, True if number.all():
            return 1 / number, zero
    return None


def constant(value: Any) -> np.ndarray:
    """A number, list, array or tensor as float64, flat."""
    return np.asarray(value, np.float64).ravel()
