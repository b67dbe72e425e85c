"""The LiteRT Interpreter, for `.tflite` files.

Three packages carry the same Interpreter; the first one installed is used: `ai_edge_litert`, its predecessor
`tflite_runtime`, and the copy inside TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import single
from fmnist_edge.runtime.engines import tflite_file

__all__ = ["LiteRTBuiltinEngine", "LiteRTEngine", "LiteRTReferenceEngine", "TFLiteRuntimeEngine"]

# (module that holds Interpreter, distribution that names its version)
PROVIDERS = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)


class LiteRTEngine:
    """See `fmnist_edge.runtime.engine.Engine`."""

    name = "litert"
    requirement: str | None = "ai-edge-litert>=2.1,<3"
    providers: tuple[tuple[str, str], ...] = PROVIDERS
    how_to_get = "no LiteRT engine is installed; run: pip install ai-edge-litert"

    def __init__(self, path: str, threads: int | None = None) -> None:
        content = tflite_file.read(path)
        module, self.version = self._provider()
        try:
            self._interpreter = module.Interpreter(model_content=content, num_threads=threads, **self._kernels(module))
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            raise ArtifactError(f"{path}: {self.version} refuses the file ({one_line(error, 120)})") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.input = single([tflite_file.spec(item) for item in inputs], "input", path)
        self.output = single([tflite_file.spec(item) for item in outputs], "output", path)
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        self._batch = tuple(inputs[0]["shape"])

    def run(self, batch: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter
        if batch.shape != self._batch:
            self._batch = ()  # whatever comes of it: a refused size leaves the tensors unallocated
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

    def _provider(self) -> tuple[Any, str]:
        """(module that holds Interpreter, "distribution version") of the first provider that imports."""
        for module, distribution in self.providers:
            try:
                return import_module(module), f"{distribution} {version_of(module, distribution)}"
            except ImportError:
                continue
        raise UnavailableError(self.how_to_get)


class LiteRTBuiltinEngine(LiteRTEngine):
    """LiteRT's own kernels, without the XNNPACK delegate: slower, and the same integers as in older releases."""

    name = "litert-builtin"

    def _kernels(self, module: Any) -> dict[str, Any]:
        return {"experimental_op_resolver_type": module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


class LiteRTReferenceEngine(LiteRTEngine):
    """TensorFlow Lite's reference kernels: slow, and what integer kernels are held against.

    Its LOCAL_RESPONSE_NORMALIZATION is not to be: it leaves the last channel of each window out (LiteRT 2.3).
    """

    name = "litert-reference"

    def _kernels(self, module: Any) -> dict[str, Any]:
        return {"experimental_op_resolver_type": module.OpResolverType.BUILTIN_REF}


class TFLiteRuntimeEngine(LiteRTEngine):
    """`tflite_runtime` and nothing else: the package that devices had before `ai_edge_litert`; 2.14 is its last."""

    name = "tflite-runtime"
    requirement = None  # needs a NumPy that the other engines are past
    providers = PROVIDERS[1:2]
    how_to_get = (
        "tflite-runtime is not installed; in an environment of its own run: pip install tflite-runtime 'numpy<2'"
    )


def version_of(module: str, distribution: str) -> str:
    """What the package says itself, else what was installed, which takes some MB to find out."""
    known = getattr(import_module(module.partition(".")[0]), "__version__", None)
    if isinstance(known, str):
        return known
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # e.g. tensorflow-cpu provides the module tensorflow
        return "unknown"
