"""Helpers for formats that are converted from ONNX: make the ONNX file, run the converter in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ExportError
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.endings import Status, last_output
from fmnist_edge.worker.temporary import check_room

if TYPE_CHECKING:
    import keras

__all__ = ["ONNX_PACKAGES", "convert_in_child", "float32_onnx"]

ONNX_PACKAGES = ("tensorflow-cpu", "keras", "tf2onnx", "onnx")
TIMEOUT_S = 600


def float32_onnx(model: keras.Model, batch: int | None) -> bytes:
    """The ONNX file of a lowered model, written by the ONNX exporter in float32."""
    precision = get_precision("onnx", "float32")
    return FORMATS["onnx"].exporter().convert(model, precision, batch, None)


def convert_in_child(command: Sequence[str], folder: Path, output: str) -> bytes:
    """Run `command` in `folder` and return the content of the file `output` that it writes there.

    A child process, because these converters end their process on errors. Raises ExportError with the last line that
    the converter printed.
    """
    end = program(command, timeout_s=TIMEOUT_S, folder=folder)
    path = folder / output
    if end.status is Status.DONE and path.is_file():
        return path.read_bytes()
    check_room()
    raise ExportError(f"the converter: {end.reason or f'it wrote no {output}{last_output(end.value)}'}")
