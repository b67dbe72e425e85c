"""The contract of a model file: its input, its labels, and the meaning of its scores.

Export writes it into the manifest beside the file (`int8.tflite` + `int8.tflite.json`) and into the file itself, see
`embedded`. Devices read it here.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError, InputError, one_line
from fmnist_edge.runtime.images import FITS, RESIZES, Fill, ImageForm, check_fill
from fmnist_edge.runtime.numbers import Numbers
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.runtime.tasks import BINARY, CLASSIFICATION, check_task
from fmnist_edge.runtime.tensors import NamedTensor, named_tensors

__all__ = ["Contract"]

MOST_AXES, MOST_VALUES = 6, 1 << 24  # of an image: a file must not make a device allocate gigabytes


CHOICES: dict[str, tuple[str | None, ...]] = {
    "output": ("logits", "probabilities", "numbers"),
    "dtype": ("uint8", "float32"),
    "layout": ("NHWC", "NCHW"),
    "polarity": (None, "light-on-dark", "dark-on-light"),
    "resize": RESIZES,
    "fit": FITS,
}
SINCE_POLARITY = ("dtype", "layout", "polarity", "resize")  # absent from older manifests
# Written unless they have their default, so that classifiers are exported as before, byte for byte.
SINCE_TASK = ("task", "thresholds", "inputs", "outputs")
SINCE_FIT = (
    "fit",
    "fill",
)  # as well, and not written if they have their default, so that old contracts stay as they are


@dataclass(frozen=True)
class Contract:
    """How to feed a model and how to read its output.

    Attributes:
        input_shape: one image, (height, width, channels), or one input of another shape, such as a sensor's (steps,
            channels). Of several inputs, the first.
        output: "logits" (the runtime applies softmax, or sigmoid), "probabilities", or "numbers" for the task tensor.
        labels: one name per class, in output order; none for the task tensor.
        preprocessing: scale, mean, std and order of channels that turn pixels into the model's input.
        dtype: of the input before preprocessing: "uint8" for pixels 0..255, "float32" for numbers of any range.
        layout: axes of the model's input, "NHWC" or "NCHW". Images are always (height, width, channels); they are
            transposed for "NCHW".
        polarity: of the training images: "light-on-dark", as in Fashion-MNIST, or "dark-on-light"; None for either.
        resize: Pillow's filter that brings an image file of another size to (height, width).
        fit: how an image of another shape is brought there: "stretch"; "crop", its centre, as large as possible; or
            "letterbox", all of it between bars.
        fill: of the bars: a grey level 0..255, or (red, green, blue).
        task: "classification" (one of several classes), "binary" (one output, two labels, of which the second is the
            positive class), "multilabel" (any number of the labels), or "tensor" (numbers in, named numbers out).
        thresholds: of `binary`, what the positive class's probability must exceed; of `multilabel`, one for each label.
            0.5 if none are given; empty for the other tasks.
        inputs, outputs: of `tensor`, the names and shapes of the model's inputs and outputs in its own order.

    Raises ArtifactError for any other value.

    >>> Contract((28, 28, 1), "logits", ("shirt", "shoe"), polarity="light-on-dark").layout
    'NHWC'
    """

    input_shape: tuple[int, ...]
    output: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    dtype: str = "uint8"
    layout: str = "NHWC"
    polarity: str | None = None
    resize: str = "bilinear"
    fit: str = "stretch"
    fill: Fill = 0
    task: str = CLASSIFICATION
    thresholds: tuple[float, ...] = ()
    inputs: tuple[NamedTensor, ...] = ()
    outputs: tuple[NamedTensor, ...] = ()

    def __post_init__(self) -> None:
        shape = self.input_shape
        if not shape or any(type(size) is not int or size < 1 for size in shape):
            raise ArtifactError(f"contract: input_shape is {reprlib.repr(shape)}; expected positive integers")
        if len(shape) > MOST_AXES or math.prod(shape) > MOST_VALUES:
            found = reprlib.repr(shape)
            raise ArtifactError(
                f"contract: input_shape is {found}; expected {MOST_AXES} axes and {MOST_VALUES:,} values at most"
            )
        for name, choices in CHOICES.items():
            found = getattr(self, name)
            if found not in choices:
                expected = " or ".join(map(repr, choices))
                raise ArtifactError(f"contract: {name} is {reprlib.repr(found)}; expected {expected}")
        if (self.dtype == "float32") != isinstance(self.preprocessing, Numbers):
            raise ArtifactError(
                f"contract: dtype {self.dtype} with {type(self.preprocessing).__name__}; expected Numbers for float32 "
                "alone"
            )
        object.__setattr__(self, "thresholds", check_task(self))
        none_allowed = bool(self.outputs)
        if not (self.labels or none_allowed) or not all(
            isinstance(item, str) and is_plain(item) for item in self.labels
        ):
            raise ArtifactError(
                "contract: labels must be a non-empty list of strings without control characters; "
                f"found {reprlib.repr(self.labels)}"
            )
        try:
            self.preprocessing.check_channels(shape)
            check_fill(self.fill, self.fit, shape)
        except InputError as error:
            raise ArtifactError(f"contract: {error}") from None
        if len(shape) != 3 and (self.layout != "NHWC" or self.polarity):
            raise ArtifactError(f"contract: layout NCHW and polarity need images of three axes; input_shape is {shape}")

    @property
    def model_shape(self) -> tuple[int, ...]:
        """`input_shape` in the order of `layout`."""
        return self.input_shape if self.layout == "NHWC" else (self.input_shape[2], *self.input_shape[:2])

    @property
    def score_count(self) -> int:
        """The number of scores for one image: one for `binary`, else one for each label."""
        return 1 if self.task == BINARY else len(self.labels)

    @property
    def image_form(self) -> ImageForm:
        """How an image of any size is brought to that of the model; see `images.resized`."""
        return self.input_shape, self.resize, self.fit, self.fill

    def as_dict(self) -> JsonObject:
        found = {**asdict(self), "input_shape": list(self.input_shape), "labels": list(self.labels)}
        found["preprocessing"] = self.preprocessing.as_dict()
        defaults = {item.name: item.default for item in fields(self)}
        for name in (*SINCE_FIT, *SINCE_TASK):
            value = found.pop(name)
            if value != defaults[name]:
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def from_dict(cls, value: Any) -> Contract:
        """Read what `as_dict` writes; missing newer fields get their default. Raises ArtifactError for other values."""
        try:
            if not isinstance(value, dict):
                raise InputError("there is none" if value is None else f"{type(value).__name__}, expected an object")
            kind = Numbers if value.get("dtype") == "float32" else Preprocessing
            return cls(
                input_shape=sequence(value["input_shape"]),
                output=value["output"],
                labels=sequence(value["labels"]),
                preprocessing=kind.from_dict(value["preprocessing"]),
                **{name: value[name] for name in SINCE_POLARITY if name in value},
                fit=value.get("fit", "stretch"),
                fill=tuple(value["fill"]) if isinstance(value.get("fill"), list) else value.get("fill", 0),
                task=value.get("task", CLASSIFICATION),
                thresholds=tuple(map(float, sequence(value.get("thresholds", ())))),
                inputs=named_tensors(value.get("inputs", ()), "inputs"),
                outputs=named_tensors(value.get("outputs", ()), "outputs"),
            )
        except InputError as error:
            raise ArtifactError(f"contract: {error}; it is damaged, export the model again") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = "there is no" if isinstance(error, KeyError) else f"{type(error).__name__} at"
            reason = f"{what} {one_line(error, 80)}"
            raise ArtifactError(f"contract: {reason}; it is damaged, export the model again") from None

    def differences(self, other: Contract) -> list[str]:
        """The fields that differ, each with both values."""
        pairs = ((item.name, getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return [
            f"{name} {reprlib.repr(ours)} and {reprlib.repr(theirs)}" for name, ours, theirs in pairs if ours != theirs
        ]


def is_plain(text: str) -> bool:
    """Whether it has no control characters and no surrogates, which UTF-8 cannot encode."""
    codes = map(ord, text)
    return not any(code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000 for code in codes)


def sequence(value: object) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{type(value).__name__}, expected a list")
    return tuple(value)
