"""The precisions each format offers, as frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmnist_edge.errors import UnknownNameError

__all__ = ["PRECISIONS", "Precision", "select"]


@dataclass(frozen=True)
class Precision:
    """One way to write a model down.

    Attributes:
        format: exporter registry name.
        weights, activations: storage and compute type, e.g. "int8"; activations of "dynamic" are quantised on the fly.
        io: dtype of the model's input and output tensors.
        calibrated: needs images to set its activation ranges.
        lrn: how local response normalisation is written: "native", the format's own float32 kernel, or "composed",
            a convolution, RSQRT and MUL. Measured per precision: composed is faster wherever the network around it
            is float; in int8 RSQRT is a slow scalar kernel, so the native kernel stays a float island.
    """

    name: str
    format: str
    weights: str
    activations: str
    io: str = "float32"
    calibrated: bool = False
    lrn: str = "composed"

    @property
    def filename(self) -> str:
        return f"{self.name}.{self.format}"


PRECISIONS = (
    Precision("float32", "tflite", weights="float32", activations="float32"),
    Precision("float16", "tflite", weights="float16", activations="float32"),
    Precision("dynamic_int8", "tflite", weights="int8", activations="dynamic"),
    Precision("int8", "tflite", weights="int8", activations="int8", io="int8", calibrated=True, lrn="native"),
    Precision("float32", "onnx", weights="float32", activations="float32"),
)


def select(format: str, names: Sequence[str] | None = None) -> list[Precision]:
    """The precisions of `format`, or of all formats for "all"; with `names`, only those.

    Raises UnknownNameError, which lists the choices, when a name fits no precision of the format.
    """
    offered = [item for item in PRECISIONS if format in ("all", item.format)]
    choices = list(dict.fromkeys(item.name for item in offered))
    for name in names or ():
        if name not in choices:
            raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(choices)}")
    return [item for item in offered if not names or item.name in names]
