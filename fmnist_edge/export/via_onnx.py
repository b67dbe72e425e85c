"""What the formats share that a converter makes from an ONNX file: that file, and the converter in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ExportError
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.endings import Status, last_output
from fmnist_edge.worker.temporary import check_room

__all__ = ["ONNX_PACKAGES", "convert_in_child", "float32_onnx"]

ONNX_PACKAGES = ("tensorflow-cpu", "keras", "tf2onnx", "onnx")
TIMEOUT_S = 600


def float32_onnx(model: Any, batch: int | None) -> bytes:
    """The ONNX file of a model that has been lowered already, as the exporter of that format writes it."""
    precision = get_precision("onnx", "float32")
    return FORMATS["onnx"].exporter().convert(model, precision, batch, None)


def convert_in_child(command: Sequence[str], folder: Path, wanted: str) -> bytes:
    """The file `wanted` that `command` leaves in `folder`. These converters end their process when something is wrong.

    Raises ExportError with the last line that the converter printed.
    """
    end = program(command, timeout_s=TIMEOUT_S, folder=folder)
    made = folder / wanted
    if end.status is Status.DONE and made.is_file():
        return made.read_bytes()
    check_room()
    raise ExportError(f"the converter: {end.reason or f'it wrote no {wanted}{last_output(end.value)}'}")
