"""The precisions that each format offers, one record each, with the gate that its files must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.gates import FLOAT16, FLOAT32, INTEGER, Gate
from fmnist_edge.errors import InputError, UnknownNameError
from fmnist_edge.runtime.engine import kind_of

__all__ = ["PRECISIONS", "Precision", "gate_for", "precision_named", "recorded", "select"]

INTEGERS = ("int8", "int16")
CHOICES = {
    "format": tuple(FORMATS),
    "weights": ("float32", "float16", "int8"),
    "activations": ("float32", "float16", "dynamic", *INTEGERS),
    "io": ("float32", *INTEGERS),
    "lrn": ("composed", "blocked", "fitted", "native"),
}


@dataclass(frozen=True)
class Precision:
    """One way to write a model down.

    Attributes:
        format: its name in the catalogue of formats.
        weights, activations: storage and compute type, e.g. "int8"; activations of "dynamic" are quantised on the fly.
        io: dtype of the model's input and output tensors.
        calibrated: needs images to set its activation ranges.
        lrn: how local response normalisation is written: "composed", a convolution, RSQRT and MUL, which is the fastest
            wherever the network around it is float; "blocked", the same with fewer weights where there are many
            channels; "fitted", sigmoids in RSQRT's place, which integer arithmetic has in every engine; "native", one
            op, of which engines have a float32 kernel alone.
        integer_only: a float op left in the file is an error.
        stock: what the converter gives without any of our rewriting, to measure ours against. Exported when named.
        gate: what its files must reach against the Keras model.
        stands_beside: name of the precision of ours that a stock one is measured against.

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
    gate: Gate = field(default=INTEGER, compare=False)
    stands_beside: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        given = asdict(self)
        for name, choices in CHOICES.items():
            if given[name] not in choices:
                raise InputError(f"precision {self.name!r}: {name} is {given[name]!r}; expected {', '.join(choices)}")
        integer = self.activations in INTEGERS
        if self.calibrated is not integer:
            need = "need" if integer else "have no use for"
            raise InputError(
                f"precision {self.name!r}: calibrated is {self.calibrated!r}, and {self.activations} activations "
                f"{need} calibration images"
            )
        if not integer and (self.io in INTEGERS or self.lrn == "fitted" or self.integer_only):
            raise InputError(
                f"precision {self.name!r}: io {self.io}, lrn {self.lrn} and integer_only {self.integer_only} with "
                f"{self.activations} activations; an integer interface, a fitted LRN and integer_only are for "
                f"activations of {' or '.join(INTEGERS)}"
            )

    @property
    def selective(self) -> bool:
        """Whether single layers can be kept in float."""
        able = self.calibrated or FORMATS[self.format].selective_uncalibrated
        return self.weights == "int8" and not self.integer_only and able

    @property
    def kind(self) -> str:
        """What its numbers are: "integer", "half" or "float"."""
        return kind_of(self.weights, self.activations)

    def recipe(self) -> dict[str, Any]:
        """How its files are made, for their manifests."""
        return {name: value for name, value in asdict(self).items() if name not in ("gate", "stands_beside")}

    @property
    def filename(self) -> str:
        return f"{self.name}.{self.format}"


F32: dict[str, Any] = {"weights": "float32", "activations": "float32", "gate": FLOAT32}
F16: dict[str, Any] = {"weights": "float16", "activations": "float32", "gate": FLOAT16}
DYNAMIC: dict[str, Any] = {"weights": "int8", "activations": "dynamic"}
INT8: dict[str, Any] = {"weights": "int8", "activations": "int8", "calibrated": True}
INT16: dict[str, Any] = {"weights": "int8", "activations": "int16", "io": "int16", "calibrated": True}
ONLY: dict[str, Any] = {"io": "int8", "lrn": "fitted", "integer_only": True}
STOCK: dict[str, Any] = {"lrn": "native", "stock": True}

PRECISIONS = (
    Precision("float32", "tflite", **F32, lrn="blocked"),
    Precision("float16", "tflite", **F16, lrn="blocked"),
    Precision("dynamic_int8", "tflite", **DYNAMIC, lrn="blocked"),
    Precision("int8", "tflite", **INT8, io="int8", lrn="fitted"),
    Precision("int8_only", "tflite", **INT8, **ONLY),
    Precision("int16x8", "tflite", **INT16, lrn="fitted", integer_only=True),
    Precision("float32", "onnx", **F32),
    Precision("float16", "onnx", weights="float16", activations="float16", gate=FLOAT16),
    Precision("dynamic_int8", "onnx", **DYNAMIC),
    Precision("int8", "onnx", **INT8),
    Precision("float32", "ncnn", **F32),
    Precision("float16", "ncnn", **F16),
    Precision("float32", "mnn", **F32),
    Precision("float16", "mnn", **F16),
    Precision("dynamic_int8", "mnn", **DYNAMIC),
    Precision("float32", "keras", **F32, stock=True),
    Precision("int8_only", "c-array", **INT8, **ONLY),
    Precision("stock_float32", "tflite", **F32, **STOCK, stands_beside="float32"),
    Precision("stock_dynamic_int8", "tflite", **DYNAMIC, **STOCK, stands_beside="dynamic_int8"),
    Precision("stock_int8", "tflite", **INT8, **STOCK, io="int8", stands_beside="int8"),
    Precision("stock_float32", "onnx", **F32, **STOCK, stands_beside="float32"),
)


def recorded(format: str | None, name: str | None) -> Precision | None:
    """The precision `name` of `format`, None where this version does not have it."""
    return next((item for item in PRECISIONS if (item.format, item.name) == (format, name)), None)


def precision_named(format: str, name: str) -> Precision:
    """The precision `name` of `format`; raises UnknownNameError, which lists those that the format has."""
    offered = {item.name: item for item in PRECISIONS if item.format == format}
    if name not in offered:
        raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(offered)}")
    return offered[name]


def gate_for(precision: str) -> Gate:
    """The gate of the precisions called so, the same in every format. Raises InputError when there are none."""
    gates = {item.name: item.gate for item in PRECISIONS}
    if precision not in gates:
        raise InputError(f"no parity gate for precision {precision!r}; known: {', '.join(gates)}")
    return gates[precision]


def select(format: str, names: Sequence[str] | None = None) -> list[Precision]:
    """The precisions of `format`, or of all formats that are exported by default for "all"; with `names`, only those.

    Without names, stock ones are left out where the format has others.

    Raises UnknownNameError, which lists the choices, when a name fits no precision of the format.
    """
    formats = [name for name, item in FORMATS.items() if name == format or (format == "all" and item.by_default)]
    offered = [item for item in PRECISIONS if item.format in formats]
    choices = list(dict.fromkeys(item.name for item in offered))
    for name in names or ():
        if name not in choices:
            raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(choices)}")
    if names:
        return [item for item in offered if item.name in names]
    return [item for item in offered if not item.stock] or offered
