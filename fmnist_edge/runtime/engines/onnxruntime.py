"""The engine for `.onnx` files: ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines.onnx_session import SILENT, all_specs, import_onnxruntime, reason

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime at one of its graph optimisation levels.

    ORT_DISABLE_ALL runs the graph as it is in the file. ORT_ENABLE_BASIC also removes and folds nodes,
    ORT_ENABLE_EXTENDED also fuses nodes into ONNX Runtime's own ops, and ORT_ENABLE_ALL also changes memory layouts.
    """

    def __init__(self, path: str, threads: int | None = None, *, level: str = "ORT_ENABLE_ALL") -> None:
        """`level`: a member of onnxruntime.GraphOptimizationLevel. The default is ONNX Runtime's."""
        onnxruntime = import_onnxruntime()
        self.version = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SILENT
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.__members__[level]
        if threads is not None:
            options.intra_op_num_threads = threads
        with open(path, "rb") as file:
            content = file.read()
        try:
            # From memory, so that a model cannot read external data from other files.
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the only common base of its exceptions
            raise ArtifactError(f"{path}: ONNX Runtime refuses the file ({reason(error, self.version)})") from None
        self._session = session
        self._input_specs, self._output_specs = all_specs(session, path)
        self.input, self.output = self._input_specs[0], self._output_specs[0]
        self._names = [self.output.name], self.input.name

    def run(self, batch: np.ndarray) -> np.ndarray:
        outputs, name = self._names
        return self._session.run(outputs, {name: batch})[0]

    def run_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        named = {spec.name: array for spec, array in zip(self._input_specs, arrays)}
        return list(self._session.run([spec.name for spec in self._output_specs], named))

    def close(self) -> None:
        self._session = None
