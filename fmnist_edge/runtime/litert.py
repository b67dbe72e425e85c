"""The LiteRT engine, for `.tflite` files.

Three packages carry the same Interpreter; the first one installed is used: `ai_edge_litert`, its predecessor
`tflite_runtime`, and the copy inside TensorFlow.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import TensorSpec, single

__all__ = ["LiteRTBuiltinEngine", "LiteRTEngine"]

# (module that holds Interpreter, distribution that names its version)
PROVIDERS = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)
IDENTIFIER = b"TFL3"  # flatbuffer file identifier, bytes 4..8


class LiteRTEngine:
    """See `fmnist_edge.runtime.engine.Engine`."""

    name = "litert"

    def __init__(self, path: str, threads: int | None = None) -> None:
        with open(path, "rb") as file:
            content = file.read()
        if content[4:8] != IDENTIFIER:
            raise ArtifactError(f"{path}: not a TFLite file (no 'TFL3' identifier); export the model again")
        module, self.version = provider()
        try:
            # From memory: the file may be replaced on disk while we run.
            self._interpreter = module.Interpreter(model_content=content, num_threads=threads, **self._kernels(module))
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ArtifactError(f"{path}: LiteRT refuses the file ({one_line(error, 120)})") from None
        self.input = single([spec(item) for item in self._interpreter.get_input_details()], "input", path)
        self.output = single([spec(item) for item in self._interpreter.get_output_details()], "output", path)
        self._input_index = self._interpreter.get_input_details()[0]["index"]
        self._output_index = self._interpreter.get_output_details()[0]["index"]
        self._batch = tuple(self._interpreter.get_input_details()[0]["shape"])

    def run(self, batch: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter
        if batch.shape != self._batch:
            interpreter.resize_tensor_input(self._input_index, batch.shape)
            interpreter.allocate_tensors()
            self._batch = batch.shape
        interpreter.set_tensor(self._input_index, batch)
        interpreter.invoke()
        return interpreter.get_tensor(self._output_index)

    def close(self) -> None:
        self._interpreter = None

    def _kernels(self, module: Any) -> dict[str, Any]:
        """Interpreter arguments that choose the kernels; by default XNNPACK's where it has them."""
        return {}


class LiteRTBuiltinEngine(LiteRTEngine):
    """LiteRT's own kernels, without the XNNPACK delegate: slower, and the same integers as in older releases."""

    name = "litert-builtin"

    def _kernels(self, module: Any) -> dict[str, Any]:
        return {"experimental_op_resolver_type": module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def provider() -> tuple[Any, str]:
    """(module that holds Interpreter, "distribution version") of the first provider that imports."""
    for module, distribution in PROVIDERS:
        try:
            return import_module(module), f"{distribution} {version_of(distribution)}"
        except ImportError:
            continue
    raise UnavailableError("no LiteRT engine is installed; run: pip install ai-edge-litert")


def version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # e.g. tensorflow-cpu provides the module tensorflow
        return "unknown"


def spec(detail: dict[str, Any]) -> TensorSpec:
    """An Interpreter tensor detail as a TensorSpec; -1 in the shape signature is an open axis."""
    scale, zero_point = detail["quantization"]
    quantized = bool(scale)
    return TensorSpec(
        name=detail["name"],
        shape=tuple(None if size < 0 else int(size) for size in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scale) if quantized else None,
        zero_point=int(zero_point) if quantized else None,
    )
