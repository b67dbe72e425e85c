"""The precisions each format offers, as frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmnist_edge.errors import InputError, UnknownNameError
from fmnist_edge.lookup import EXPORTERS

__all__ = ["PRECISIONS", "WHEN_NAMED", "Precision", "select"]

INTEGER = ("int8", "int16")
CHOICES = {
    "format": tuple(EXPORTERS),
    "weights": ("float32", "float16", "int8"),
    "activations": ("float32", "float16", "dynamic", *INTEGER),
    "io": ("float32", *INTEGER),
    "lrn": ("composed", "blocked", "fitted", "native"),
}


@dataclass(frozen=True)
class Precision:
    """One way to write a model down.

    Attributes:
        format: exporter registry name.
        weights, activations: storage and compute type, e.g. "int8"; activations of "dynamic" are quantised on the fly.
        io: dtype of the model's input and output tensors.
        calibrated: needs images to set its activation ranges.
        lrn: how local response normalisation is written: "composed", a convolution, RSQRT and MUL, which is the fastest
            wherever the network around it is float; "blocked", the same with fewer weights where there are many
            channels; "fitted", sigmoids in RSQRT's place, which integer arithmetic has in every engine; "native", one
            op, of which engines have a float32 kernel alone.
        integer_only: a float op left in the file is an error.
        stock: what the converter gives without any of our rewriting, to measure ours against. Exported when named.

    Raises InputError for a value that is none of these, or for fields that contradict each other.
    """

    name: str
    format: str
    weights: str
    activations: str
    io: str = "float32"
    calibrated: bool = False
    lrn: str = "composed"
    integer_only: bool = False
    stock: bool = False

    def __post_init__(self) -> None:
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                raise InputError(
                    f"precision {self.name!r}: {field} is {getattr(self, field)!r}; expected {', '.join(choices)}"
                )
        integer = self.activations in INTEGER
        if self.calibrated is not integer:
            need = "need" if integer else "have no use for"
            raise InputError(
                f"precision {self.name!r}: calibrated is {self.calibrated!r}, and {self.activations} activations "
                f"{need} calibration images"
            )
        if not integer and (self.io in INTEGER or self.lrn == "fitted" or self.integer_only):
            raise InputError(
                f"precision {self.name!r}: io {self.io}, lrn {self.lrn} and integer_only {self.integer_only} with "
                f"{self.activations} activations; an integer interface, a fitted LRN and integer_only are for "
                f"activations of {' or '.join(INTEGER)}"
            )

    @property
    def selective(self) -> bool:
        """Whether single layers can be kept in float. TensorFlow's converter has a way only where it calibrates."""
        return self.weights == "int8" and not self.integer_only and (self.calibrated or self.format == "onnx")

    @property
    def filename(self) -> str:
        return f"{self.name}.{self.format}"


INT8: dict[str, Any] = {"weights": "int8", "activations": "int8", "calibrated": True}

PRECISIONS = (
    Precision("float32", "tflite", weights="float32", activations="float32", lrn="blocked"),
    Precision("float16", "tflite", weights="float16", activations="float32", lrn="blocked"),
    Precision("dynamic_int8", "tflite", weights="int8", activations="dynamic", lrn="blocked"),
    Precision("int8", "tflite", **INT8, io="int8", lrn="fitted"),
    Precision("int8_only", "tflite", **INT8, io="int8", lrn="fitted", integer_only=True),
    Precision(
        "int16x8",
        "tflite",
        weights="int8",
        activations="int16",
        io="int16",
        calibrated=True,
        lrn="fitted",
        integer_only=True,
    ),
    Precision("float32", "onnx", weights="float32", activations="float32"),
    Precision("float16", "onnx", weights="float16", activations="float16"),
    Precision("dynamic_int8", "onnx", weights="int8", activations="dynamic"),
    Precision("int8", "onnx", **INT8),
    Precision("float32", "ncnn", weights="float32", activations="float32"),
    Precision("float16", "ncnn", weights="float16", activations="float32"),
    Precision("float32", "mnn", weights="float32", activations="float32"),
    Precision("float16", "mnn", weights="float16", activations="float32"),
    Precision("dynamic_int8", "mnn", weights="int8", activations="dynamic"),
    Precision("float32", "keras", weights="float32", activations="float32", stock=True),
    Precision("int8_only", "c-array", **INT8, io="int8", lrn="fitted", integer_only=True),
    Precision("stock_float32", "tflite", weights="float32", activations="float32", lrn="native", stock=True),
    Precision("stock_dynamic_int8", "tflite", weights="int8", activations="dynamic", lrn="native", stock=True),
    Precision("stock_int8", "tflite", **INT8, io="int8", lrn="native", stock=True),
    Precision("stock_float32", "onnx", weights="float32", activations="float32", lrn="native", stock=True),
)


# Formats of other engines, to compare with, of Keras itself, and sources for firmware: exported when named.
WHEN_NAMED = ("ncnn", "mnn", "keras", "c-array")


def select(format: str, names: Sequence[str] | None = None) -> list[Precision]:
    """The precisions of `format`, or of all formats but WHEN_NAMED for "all"; with `names`, only those.

    Without names, stock ones are left out where the format has others.

    Raises UnknownNameError, which lists the choices, when a name fits no precision of the format.
    """
    offered = [
        item for item in PRECISIONS if item.format == format or (format == "all" and item.format not in WHEN_NAMED)
    ]
    choices = list(dict.fromkeys(item.name for item in offered))
    for name in names or ():
        if name not in choices:
            raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(choices)}")
    if names:
        return [item for item in offered if item.name in names]
    return [item for item in offered if not item.stock] or offered
