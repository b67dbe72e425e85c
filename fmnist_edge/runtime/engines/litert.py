"""The engine for `.tflite` files with the LiteRT Interpreter.

Three packages contain the same Interpreter; the first one installed is used: `ai_edge_litert`, its predecessor
`tflite_runtime`, and the copy inside TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.engines.native_output import without_log
from fmnist_edge.runtime.engines.tflite_faults import known_fault, missing_op

__all__ = ["LiteRTEngine"]

# Package -> (module that holds Interpreter, distribution that names its version).
PROVIDERS = {
    "ai_edge_litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite_runtime": ("tflite_runtime.interpreter", "tflite-runtime"),
    "tensorflow": ("tensorflow.lite.python.interpreter", "tensorflow"),
}


class LiteRTEngine(Engine):
    """The Interpreter. It uses XNNPACK's kernels where they exist, unless `kernels` chooses others."""

    def __init__(
        self,
        path: str,
        threads: int | None = None,
        *,
        packages: Sequence[str] = tuple(PROVIDERS),
        kernels: str | None = None,
        preserve_all_tensors: bool = False,
    ) -> None:
        """
        Args:
            packages: names in PROVIDERS; the first that can be imported is used.
            kernels: a member of the Interpreter's OpResolverType.
            preserve_all_tensors: keep the intermediate tensors, so that they can be read after a run.
        """
        content = tflite_file.read(path)
        module, self.version = provider(packages)
        fault = known_fault(content, self.version)
        if fault:
            raise ArtifactError(f"{path}: {self.version} {fault}")
        chosen: dict[str, object] = {}
        if kernels is not None:
            chosen["experimental_op_resolver_type"] = module.OpResolverType[kernels]
        if preserve_all_tensors:
            chosen["experimental_preserve_all_tensors"] = True
        try:
            with without_log():
                self._interpreter = module.Interpreter(model_content=content, num_threads=threads, **chosen)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, TypeError) as error:
            missing = missing_op(error, self.version) or f"refuses the file ({one_line(error, 120)})"
            raise ArtifactError(f"{path}: {self.version} {missing}") from None
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if not inputs or not outputs:
            raise ArtifactError(f"{path}: the model has {len(inputs)} inputs and {len(outputs)} outputs; expected some")
        self._input_specs, self._output_specs = (tuple(map(tflite_file.spec, items)) for items in (inputs, outputs))
        self.input, self.output = self._input_specs[0], self._output_specs[0]
        self._input_indices = [item["index"] for item in inputs]
        self._output_indices = [item["index"] for item in outputs]
        self._input_index, self._output_index = self._input_indices[0], self._output_indices[0]
        self._batch = tuple(inputs[0]["shape"])
        self._shapes = [tuple(item["shape"]) for item in inputs]

    def run(self, batch: np.ndarray) -> np.ndarray:
        interpreter = self._interpreter
        if batch.shape != self._batch:
            self._shapes, self._batch = [], ()  # until it succeeds: a refused size leaves the tensors unallocated
            interpreter.resize_tensor_input(self._input_index, batch.shape)
            interpreter.allocate_tensors()
            self._batch = batch.shape
            self._shapes = [batch.shape]
        interpreter.set_tensor(self._input_index, batch)
        interpreter.invoke()
        return interpreter.get_tensor(self._output_index)

    def run_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        interpreter, shapes = self._interpreter, [array.shape for array in arrays]
        if shapes != self._shapes:
            self._shapes, self._batch = [], ()
            for index, shape in zip(self._input_indices, shapes):
                interpreter.resize_tensor_input(index, shape)
            interpreter.allocate_tensors()
            self._shapes, self._batch = shapes, shapes[0]
        for index, array in zip(self._input_indices, arrays):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._output_indices]

    def close(self) -> None:
        self._interpreter = None


def provider(packages: Sequence[str]) -> tuple[ModuleType, str]:
    """(module that holds Interpreter, "distribution version") of the first package that can be imported.

    Raises ModuleNotFoundError if none is installed, else the exception of the first that is.
    """
    broken: Exception | None = None
    for package in packages:
        module, distribution = PROVIDERS[package]
        try:
            return import_module(module), f"{distribution} {version_of(module, distribution)}"
        except Exception as error:
            from fmnist_edge.runtime.engine_failures import is_missing

            if not is_missing(error):
                broken = broken or error
    raise broken or ModuleNotFoundError(name=packages[0])


def version_of(module: str, distribution: str) -> str:
    """The module's __version__, else the installed distribution's, whose lookup takes a few MB of memory."""
    known = getattr(import_module(module.partition(".")[0]), "__version__", None)
    if isinstance(known, str):
        return known
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # e.g. tensorflow-cpu provides the module tensorflow
        return "unknown"
