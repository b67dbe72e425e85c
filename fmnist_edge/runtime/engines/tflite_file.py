"""Shared by the engines for `.tflite` files: read the file, and describe an Interpreter's tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["read", "spec"]

IDENTIFIER = b"TFL3"  # flatbuffer file identifier, bytes 4..8


def read(path: str) -> bytes:
    """The file's content. Engines load from memory, because the file on disk may be replaced while they run.

    Raises ArtifactError when it is not a TFLite file.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[4:8] != IDENTIFIER:
        raise ArtifactError(f"{path}: not a TFLite file (no 'TFL3' identifier); export the model again")
    return content


def spec(detail: dict[str, Any]) -> TensorSpec:
    """An Interpreter's tensor details as a TensorSpec. -1 in the shape signature is an open axis."""
    scale, zero_point = detail["quantization"]
    quantized = bool(scale)
    return TensorSpec(
        name=detail["name"],
        shape=tuple(None if size < 0 else int(size) for size in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) if quantized else None,
        zero_point=int(zero_point) if quantized else None,
    )
