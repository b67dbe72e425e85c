"""What a device must know to use a model file: its input, its labels, what its scores mean.

Export writes it into the manifest beside the file (`int8.tflite` + `int8.tflite.json`) and, see `embedded`, into the
file itself; devices read it here.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from fmnist_edge.errors import ArtifactError, InputError, one_line
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["Contract"]

MOST_AXES, MOST_VALUES = 6, 1 << 24  # of an image: a device is not to reserve gigabytes because a file says so


CHOICES: dict[str, tuple[str | None, ...]] = {
    "output": ("logits", "probabilities"),
    "dtype": ("uint8",),
    "layout": ("NHWC", "NCHW"),
    "polarity": (None, "light-on-dark", "dark-on-light"),
    "resize": ("nearest", "box", "bilinear", "bicubic", "lanczos"),
}
SINCE_POLARITY = ("dtype", "layout", "polarity", "resize")  # not in manifests that were written before


@dataclass(frozen=True)
class Contract:
    """How to feed a model and read its answer.

    Attributes:
        input_shape: one image, (height, width, channels).
        output: "logits" (the runtime applies softmax) or "probabilities".
        labels: one name per class, in output order.
        preprocessing: what pixels become: scale, mean, std.
        dtype: of the pixels that preprocessing starts from: "uint8", 0..255.
        layout: axes of the model's own input: "NHWC", or "NCHW", into which images are turned.
        polarity: how the images look that it was trained on, "light-on-dark" as in Fashion-MNIST or "dark-on-light";
            None where either may come.
        resize: how an image file of another size becomes (height, width): Pillow's filter of that name, stretched.

    Raises ArtifactError for a value that is none of these.

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

    def __post_init__(self):
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
        if not self.labels or any(not isinstance(label, str) or not is_plain(label) for label in self.labels):
            raise ArtifactError(
                "contract: labels must be a non-empty list of strings without control characters; "
                f"found {reprlib.repr(self.labels)}"
            )
        if len(shape) != 3 and (self.layout != "NHWC" or self.polarity):
            raise ArtifactError(f"contract: layout and polarity are of images; input_shape {shape} has not three axes")

    @property
    def model_shape(self) -> tuple[int, ...]:
        """`input_shape` in the order of the model's own input."""
        return self.input_shape if self.layout == "NHWC" else (self.input_shape[2], *self.input_shape[:2])

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "input_shape": list(self.input_shape), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, value: Any) -> Contract:
        """Raises ArtifactError when `value` is not what `as_dict` writes. Fields that came later have their default."""
        try:
            numbers = {key: float(value["preprocessing"][key]) for key in ("scale", "mean", "std")}
            return cls(
                input_shape=sequence(value["input_shape"]),
                output=value["output"],
                labels=sequence(value["labels"]),
                preprocessing=Preprocessing(**numbers),
                **{name: value[name] for name in SINCE_POLARITY if name in value},
            )
        except InputError as error:
            raise ArtifactError(f"contract: {error}; it is damaged, export the model again") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__} at {one_line(error, 80)}"
            raise ArtifactError(f"contract: {reason}; it is damaged, export the model again") from None

    def differences(self, other: Contract) -> list[str]:
        """The fields that are not the same in both, each with both values."""
        pairs = ((item.name, getattr(self, item.name), getattr(other, item.name)) for item in fields(self))
        return [
            f"{name} {reprlib.repr(ours)} and {reprlib.repr(theirs)}" for name, ours, theirs in pairs if ours != theirs
        ]


def is_plain(text: str) -> bool:
    """Nothing in it that a terminal would obey, or that UTF-8 has no bytes for."""
    codes = map(ord, text)
    return not any(code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000 for code in codes)


def sequence(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a list belongs")
    return tuple(value)
