"""What the formats share that a converter makes from an ONNX file: that file, and the converter in its own process."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import precision_named
from fmnist_edge.errors import ExportError

__all__ = ["ONNX_PACKAGES", "convert_in_child", "float32_onnx"]

ONNX_PACKAGES = ("tensorflow-cpu", "keras", "tf2onnx", "onnx")
TIMEOUT_S = 600


def float32_onnx(model: Any, batch: int | None) -> bytes:
    """The ONNX file of a model that has been lowered already, as the exporter of that format writes it."""
    precision = precision_named("onnx", "float32")
    return FORMATS["onnx"].exporter().convert(model, precision, batch, None)


def convert_in_child(command: Sequence[str], folder: Path, wanted: str) -> bytes:
    """The file `wanted` that `command` leaves in `folder`. These converters end their process when something is wrong.

    Raises ExportError with the last line that the converter printed.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{Path(command[0]).name} was not done after {TIMEOUT_S} s") from None
    made = folder / wanted
    if done.returncode or not made.is_file():
        said = (done.stdout.decode(errors="replace").strip().splitlines() or ["no message"])[-1].strip()
        raise ExportError(f"the converter ended with code {done.returncode} ({said[:160]})")
    return made.read_bytes()
