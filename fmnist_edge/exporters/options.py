"""What the user asks of the files beyond their precision: interface, scales, opset, oldest runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision, get_precision
from fmnist_edge.catalog.runtimes import Runtime, get_runtime
from fmnist_edge.errors import InputError

__all__ = ["Options"]

DEFAULT_OPSET = 17  # of an ONNX file, unless an older runtime or the user asks for another


@dataclass(frozen=True)
class Options:
    """Settings that hold for all files of an export that can have them. None and False leave a precision as it is.

    Attributes:
        io: number type of input and output of integer files.
        per_tensor: whether each weight tensor has one scale.
        opset: version of the ONNX ops.
        oldest: names in the catalogue of runtimes, at most one per format: the file must run there.

    Raises UnknownNameError for an unknown runtime, InputError for two runtimes of one format.
    """

    io: str | None = None
    per_tensor: bool = False
    opset: int | None = None
    oldest: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        formats = [runtime.format for runtime in self.runtimes]
        if len(set(formats)) < len(formats):
            raise InputError(f"--oldest names two runtimes of one format: {', '.join(self.oldest)}; keep the older one")

    @property
    def runtimes(self) -> list[Runtime]:
        return [get_runtime(name) for name in self.oldest]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Options:
        """From the fields, after a way through JSON."""
        return cls(**{**value, "oldest": tuple(value["oldest"])})

    @classmethod
    def of(cls, precision: Precision) -> Options:
        """The options that make `precision` of the one of its name in the catalogue."""
        plain = get_precision(precision.format, precision.name)
        found = cls(
            precision.io if precision.io != plain.io else None,
            precision.scales == "per_tensor",
            oldest=(precision.oldest,) if precision.oldest else (),
        )
        same = found.applied_to(plain).opset == precision.opset
        return found if same else replace(found, opset=precision.opset)

    def arguments(self) -> list[str]:
        """For the command line of `export`."""
        words = [f"--io={self.io}"] if self.io else []
        words += ["--per-tensor"] if self.per_tensor else []
        words += [f"--opset={self.opset}"] if self.opset is not None else []
        return words + [f"--oldest={name}" for name in self.oldest]

    def check(self, precisions: Sequence[Precision]) -> None:
        """Raises InputError for a setting that none of the precisions can have."""
        names = ", ".join(item.filename for item in precisions)
        if self.io and not any(map(has_interfaces, precisions)):
            raise InputError(f"--io {self.io} is for calibrated precisions, such as int8; not for {names}")
        if self.per_tensor and not any(map(has_scales, precisions)):
            raise InputError(f"--per-tensor is for tflite and onnx precisions with int8 weights; not for {names}")
        if self.opset is not None and not any(map(has_opset, precisions)):
            raise InputError(f"--opset is for onnx files; not for {names}")
        for runtime in self.runtimes:
            if not any(item.format == runtime.format for item in precisions):
                raise InputError(f"--oldest {runtime.name} runs {runtime.format} files; not {names}")

    def applied_to(self, precision: Precision) -> Precision:
        """`precision` with those settings that are for it.

        Stock precisions are baselines and stay as they are, except that they are held against the oldest runtime.
        Raises InputError for a setting that is for it, and that it cannot have.
        """
        changed: dict[str, Any] = {}
        if self.io and has_interfaces(precision):
            changed["io"] = self.io
        if self.per_tensor and has_scales(precision):
            changed["scales"] = "per_tensor"
        if self.opset is not None and has_opset(precision):
            changed["opset"] = self.opset
        for runtime in self.runtimes:
            if runtime.format == precision.format:
                changed |= {"oldest": runtime.name, **settings_for(runtime, precision, changed)}
        return replace(precision, **changed)


def settings_for(runtime: Runtime, precision: Precision, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, besides those that the user chose, with which a file of `precision` can run in `runtime`."""
    if has_opset(precision) and "opset" not in chosen and runtime.opset < DEFAULT_OPSET:
        return {"opset": max(runtime.opset, FORMATS[precision.format].opsets.start)}
    if runtime.format == "tflite" and has_scales(precision) and "scales" not in chosen:
        hybrid = precision.activations == "dynamic"
        known = runtime.op_version("FULLY_CONNECTED") >= HYBRID_PER_CHANNEL if hybrid else runtime.per_channel_dense
        return {} if known else {"scales": "per_channel_but_dense"}
    return {}


HYBRID_PER_CHANNEL = 12  # version of a FULLY_CONNECTED with float activations and one weight scale per channel


def has_interfaces(precision: Precision) -> bool:
    return precision.calibrated and not precision.stock


def has_scales(precision: Precision) -> bool:
    return precision.weights == "int8" and FORMATS[precision.format].one_scale and not precision.stock


def has_opset(precision: Precision) -> bool:
    return bool(FORMATS[precision.format].opsets) and not precision.stock
