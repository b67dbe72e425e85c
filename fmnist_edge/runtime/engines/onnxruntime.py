"""The ONNX Runtime engine, for `.onnx` files, on the CPU."""

from __future__ import annotations

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines.onnx_session import SILENT, specs

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine(Engine):
    """At one of its graph optimisation levels: the last one lays out memory anew, the second last fuses nodes into
    ops of its own, "basic" removes and folds nodes, and "disabled" runs the graph as the file has it."""

    def __init__(self, path: str, threads: int | None = None, *, level: str = "ORT_ENABLE_ALL") -> None:
        """`level`: a member of onnxruntime.GraphOptimizationLevel, by default its own default."""
        import onnxruntime

        self.version = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SILENT
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.__members__[level]
        if threads is not None:
            options.intra_op_num_threads = threads
        with open(path, "rb") as file:
            content = file.read()
        try:
            # From memory: a model that names external data outside itself then finds none.
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception classes share no base but Exception
            raise ArtifactError(f"{path}: ONNX Runtime refuses the file ({one_line(error, 120)})") from None
        self._session = session
        self.input, self.output = specs(session, path)
        self._names = [self.output.name], self.input.name

    def run(self, batch: np.ndarray) -> np.ndarray:
        outputs, name = self._names
        return self._session.run(outputs, {name: batch})[0]

    def close(self) -> None:
        self._session = None
