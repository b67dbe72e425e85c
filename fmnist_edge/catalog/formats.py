"""The formats that export writes, one record each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fmnist_edge.errors import InputError
from fmnist_edge.lookup import Catalog, load

if TYPE_CHECKING:
    from fmnist_edge.explain.probe import Probe
    from fmnist_edge.exporters.exporter import Exporter

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """One format. Its name is also its file suffix.

    Attributes:
        implementation: "module:object" of its exporter, see `exporters.exporter.Exporter`.
        embed: "module:function" that writes the contract into a file; None when the format has no place for it.
        tool_metadata: "module:function" that adds what other vendors' tools read, made of the contract; None for none.
        confidence: "module:function" that writes a fitted confidence into the folder of sources; None for none.
        probe: "module:class" that reads a file's tensors for `explain`; None when there is none.
        by_default: whether `export` writes it when no format is named. The other formats are for peer engines, for
            Keras itself, or for C sources.
        selective_uncalibrated: whether its converter can keep single layers in float without calibration. TensorFlow's
            converter cannot.
        contains: for a folder of sources, the format of the file inside it; None for any other format.
        takes_tflite: whether `export` also makes it of a finished `.tflite` file.
        interfaces: activations of a calibrated precision -> the number types that its input and output can have.
        one_scale: whether its converter can give a weight tensor one scale for all channels.
        opsets: the versions of its ops that can be asked for; empty if there is no choice.
    """

    name: str
    implementation: str
    embed: str | None = None
    tool_metadata: str | None = None
    confidence: str | None = None
    probe: str | None = None
    by_default: bool = False
    selective_uncalibrated: bool = False
    contains: str | None = None
    takes_tflite: bool = False
    interfaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    one_scale: bool = False
    opsets: range = range(0)

    @property
    def file(self) -> Format:
        """The format of the model file: this one, or the one inside the sources."""
        return self if self.contains is None else FORMATS[self.contains]

    def exporter(self) -> Exporter:
        return load(self.implementation)

    def probe_class(self) -> type[Probe]:
        """The class that reads a file's tensors. Raises InputError when the format has none."""
        if self.probe is None:
            able = ", ".join(name for name, item in FORMATS.items() if item.probe)
            raise InputError(f"cannot read the layers of a {self.name} file; formats with readable layers: {able}")
        return load(self.probe)


FORMATS: Catalog[Format] = Catalog(
    "format",
    (
        Format(
            "tflite",
            "fmnist_edge.exporters.tflite:EXPORTER",
            embed="fmnist_edge.exporters.tflite_metadata:embed",
            tool_metadata="fmnist_edge.exporters.tool_metadata:add",
            probe="fmnist_edge.explain.tflite:TFLiteProbe",
            by_default=True,
            interfaces={"int8": ("int8", "uint8", "float32"), "int16": ("int16", "float32")},
            one_scale=True,
        ),
        Format(
            "onnx",
            "fmnist_edge.exporters.onnx:EXPORTER",
            embed="fmnist_edge.exporters.onnx_metadata:embed",
            probe="fmnist_edge.explain.onnx:OnnxProbe",
            by_default=True,
            selective_uncalibrated=True,
            interfaces={"int8": ("float32", "uint8")},
            one_scale=True,
            opsets=range(13, 19),  # per-channel DequantizeLinear exists since 13; tf2onnx writes up to 18
        ),
        Format("ncnn", "fmnist_edge.exporters.ncnn:EXPORTER"),
        Format("mnn", "fmnist_edge.exporters.mnn:EXPORTER"),
        Format("keras", "fmnist_edge.exporters.keras:EXPORTER"),
        Format(
            "c",
            "fmnist_edge.exporters.c.exporter:EXPORTER",
            confidence="fmnist_edge.exporters.c.confidence:with_confidence",
            contains="tflite",
            takes_tflite=True,
            interfaces={"int8": ("int8",)},
            one_scale=True,
        ),
        Format(
            "web",
            "fmnist_edge.exporters.web.exporter:EXPORTER",
            contains="tflite",
            takes_tflite=True,
            interfaces={"int8": ("int8",)},
            one_scale=True,
        ),
        Format(
            "c-array",
            "fmnist_edge.exporters.c_array:EXPORTER",
            contains="tflite",
            interfaces={"int8": ("int8", "uint8")},
            one_scale=True,
        ),
    ),
)
