"""The precisions of each format, one record each, with the gate that its files must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.gates import FLOAT16, FLOAT32, INTEGER, Gate
from fmnist_edge.catalog.runtimes import get_runtime
from fmnist_edge.errors import InputError, UnknownNameError
from fmnist_edge.runtime.engine import kind_of

__all__ = ["DEFAULT", "PRECISIONS", "Precision", "by_default", "find_precision", "gate_for", "get_precision", "select"]

DEFAULT = ("float32", "int8")  # what `export` writes of TFLite and ONNX
ALL = "all"
INTEGERS = ("int8", "int16")
CHOICES = {
    "format": tuple(FORMATS),
    "weights": ("float32", "float16", "int8"),
    "activations": ("float32", "float16", "dynamic", *INTEGERS),
    "io": ("float32", "uint8", *INTEGERS),
    "lrn": ("composed", "blocked", "fitted", "native"),
    "scales": ("per_channel", "per_channel_but_dense", "per_tensor"),
}
ASKED_FOR = ("scales", "opset", "oldest")  # fields that no record sets; `exporters.options` does


@dataclass(frozen=True)
class Precision:
    """One combination of number types and lowering for one format.

    Attributes:
        format: its name in the catalogue of formats.
        weights, activations: storage and compute type, e.g. "int8". "dynamic" activations are quantised at run time.
        io: dtype of the model's input and output tensors.
        calibrated: whether it needs calibration images, which set its activation ranges.
        lrn: how local response normalisation is lowered:
            "composed": a convolution, RSQRT and MUL; the fastest form in a float network;
            "blocked": the same with fewer weights, for layers of many channels;
            "fitted": sigmoids in place of RSQRT; every engine has them in integer arithmetic;
            "native": one op, for which engines have a float32 kernel only.
        integer_only: whether a float op in the file is an error.
        stock: whether the converter runs without our rewriting, as a baseline. Exported only when named.
        gate: the limits within which its files must match the Keras model.
        counterpart: for a stock precision, the name of our precision that it is compared with.
        scales: what has a scale of its own: each output channel of a weight tensor, the same except in Dense layers,
            which have one, or each weight tensor.
        opset: version of the ONNX ops; 0 for the exporter's own choice, and for other formats.
        oldest: name in `catalog.runtimes` of a runtime that must run the file; "" for any.

    Raises InputError for an unknown value, or for fields that contradict each other.
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
    counterpart: str | None = field(default=None, compare=False)
    scales: str = "per_channel"
    opset: int = 0
    oldest: str = ""

    def __post_init__(self) -> None:
        given = asdict(self)
        for name, choices in CHOICES.items():
            if given[name] not in choices:
                raise InputError(f"precision {self.name!r}: {name} is {given[name]!r}; expected {', '.join(choices)}")
        integer = self.activations in INTEGERS
        if self.calibrated is not integer:
            need = "need" if integer else "do not use"
            raise InputError(
                f"precision {self.name!r}: calibrated is {self.calibrated!r}, but {self.activations} activations "
                f"{need} calibration images"
            )
        if not integer and (self.io != "float32" or self.lrn == "fitted" or self.integer_only):
            raise InputError(
                f"precision {self.name!r}: io {self.io}, lrn {self.lrn} and integer_only {self.integer_only} with "
                f"{self.activations} activations; an integer io, a fitted LRN and integer_only need "
                f"{' or '.join(INTEGERS)} activations"
            )
        self._check_asked_for()

    def _check_asked_for(self) -> None:
        """Raises InputError for a setting that the format does not have."""
        format, who = FORMATS[self.format], f"{self.format} {self.name}"
        if self.io not in self.interfaces:
            able = " or ".join(self.interfaces)
            raise InputError(f"{who} cannot have {self.io} as input and output; it can have {able}")
        if self.scales != "per_channel" and not (self.weights == "int8" and format.one_scale):
            raise InputError(f"{who} cannot have one scale per weight tensor")
        if self.opset and self.opset not in format.opsets:
            have = f"expected {format.opsets.start} to {format.opsets.stop - 1}" if format.opsets else "it has no opset"
            raise InputError(f"{who}: opset {self.opset}; {have}")
        if self.oldest and (runs := get_runtime(self.oldest).format) != self.format:
            raise InputError(f"{who}: {self.oldest} runs {runs} files")

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The number types that `io` can be."""
        return FORMATS[self.format].interfaces.get(self.activations, ("float32",))

    @property
    def selective(self) -> bool:
        """Whether export can keep single layers in float."""
        able = self.calibrated or FORMATS[self.format].selective_uncalibrated
        return self.weights == "int8" and not self.integer_only and able

    @property
    def kind(self) -> str:
        """Kind of its numbers: "integer", "half" or "float"."""
        return kind_of(self.weights, self.activations)

    def recipe(self) -> dict[str, Any]:
        """The fields that describe how its files are made, for their manifests.

        A field that only the user sets is there if it is set: older versions do not know it.
        """
        unset = {item.name for item in fields(self) if item.name in ASKED_FOR and self._has_default(item)}
        left_out = {"gate", "counterpart", *unset}
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    def _has_default(self, item: Field[Any]) -> bool:
        return bool(getattr(self, item.name) == item.default)

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
    Precision("int8_only", "c", **INT8, **ONLY),
    Precision("int8_only", "web", **INT8, **ONLY),
    Precision("int8_only", "c-array", **INT8, **ONLY),
    Precision("stock_float32", "tflite", **F32, **STOCK, counterpart="float32"),
    Precision("stock_dynamic_int8", "tflite", **DYNAMIC, **STOCK, counterpart="dynamic_int8"),
    Precision("stock_int8", "tflite", **INT8, **STOCK, io="int8", counterpart="int8"),
    Precision("stock_float32", "onnx", **F32, **STOCK, counterpart="float32"),
)


def find_precision(format: str | None, name: str | None) -> Precision | None:
    """The precision `name` of `format`; None when this version does not have it."""
    return next((item for item in PRECISIONS if (item.format, item.name) == (format, name)), None)


def get_precision(format: str, name: str) -> Precision:
    """The precision `name` of `format`. Raises UnknownNameError, which lists the precisions of the format."""
    offered = {item.name: item for item in PRECISIONS if item.format == format}
    if name not in offered:
        raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(offered)}")
    return offered[name]


def gate_for(precision: str) -> Gate:
    """The gate of a precision, which is the same in every format. Raises InputError for an unknown name."""
    gates = {item.name: item.gate for item in PRECISIONS}
    if precision not in gates:
        raise InputError(f"no parity gate for precision {precision!r}; known: {', '.join(gates)}")
    return gates[precision]


def select(format: str, names: Sequence[str] | None = None) -> list[Precision]:
    """The precisions of `format` called `names`; as a format, "all" means those that are exported by default.

    Without names, and for the name "all": all precisions of the format, but stock ones only when it has no others.

    Raises UnknownNameError, which lists the choices, when the format has no precision of a name.
    """
    formats = [name for name, item in FORMATS.items() if name == format or (format == "all" and item.by_default)]
    offered = [item for item in PRECISIONS if item.format in formats]
    choices = list(dict.fromkeys(item.name for item in offered))
    for name in names or ():
        if name not in (*choices, ALL):
            raise UnknownNameError(f"no precision {name!r} for format {format}; choose from: {', '.join(choices)}, all")
    usual = [item for item in offered if not item.stock] or offered
    if not names:
        return usual
    return [item for item in offered if item.name in names or (ALL in names and item in usual)]


def by_default(format: str) -> list[Precision]:
    """What `export` writes of `format`, or of "all", when no precision is named.

    That is float32 and int8 of TFLite and ONNX. The other formats are for one purpose each: all of their precisions.
    """
    offered = select(format)
    return [item for item in offered if item.name in DEFAULT or not FORMATS[item.format].by_default]
