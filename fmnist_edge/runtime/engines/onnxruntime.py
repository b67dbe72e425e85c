"""The ONNX Runtime engine, for `.onnx` files, on the CPU."""

from __future__ import annotations

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engines.onnx_session import SILENT, specs

__all__ = ["OnnxRuntimeBasicEngine", "OnnxRuntimeDisabledEngine", "OnnxRuntimeEngine", "OnnxRuntimeExtendedEngine"]


class OnnxRuntimeEngine:
    """See `fmnist_edge.runtime.engine.Engine`."""

    name = "onnxruntime"
    requirement = "onnxruntime>=1.19,<2"
    level = "ORT_ENABLE_ALL"  # of onnxruntime.GraphOptimizationLevel; this one is its default

    def __init__(self, path: str, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UnavailableError("ONNX Runtime is not installed; run: pip install onnxruntime") from None
        self.version = f"onnxruntime {onnxruntime.__version__}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = SILENT
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, self.level)
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


class OnnxRuntimeExtendedEngine(OnnxRuntimeEngine):
    """Without the last level's memory layouts."""

    name = "onnxruntime-extended"
    level = "ORT_ENABLE_EXTENDED"


class OnnxRuntimeBasicEngine(OnnxRuntimeEngine):
    """Nodes removed and folded, none fused into ONNX Runtime's own ops."""

    name = "onnxruntime-basic"
    level = "ORT_ENABLE_BASIC"


class OnnxRuntimeDisabledEngine(OnnxRuntimeEngine):
    """The graph as the file has it, node by node."""

    name = "onnxruntime-disabled"
    level = "ORT_DISABLE_ALL"
