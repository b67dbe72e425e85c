"""The engine for `.onnx` files: ONNX Runtime on CUDA, with input and output bound to GPU memory."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines.cuda import Cuda
from fmnist_edge.runtime.engines.native_output import captured_output
from fmnist_edge.runtime.engines.onnx_gpu_session import ASSIGNMENT, ops_by_provider, specs
from fmnist_edge.runtime.engines.onnx_session import import_onnxruntime, reason
from fmnist_edge.runtime.placement import Placement

__all__ = ["OnnxRuntimeCudaEngine"]

PROVIDER = "CUDAExecutionProvider"
HOW_TO_GET = "in an environment of its own run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
ERRORS_ONLY = 3  # log severity; only the log says why a library was not loaded
MISSING = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
REPORTED_SETTINGS = ("use_tf32", "enable_cuda_graph", "cudnn_conv_algo_search")
Binding = tuple[Any, Any, Any, Any]  # input OrtValue, IOBinding, RunOptions, output OrtValue


class OnnxRuntimeCudaEngine(Engine):
    """ONNX Runtime on CUDA. TF32, which is on by default, is off: float32 is computed in float32."""

    def __init__(self, path: str, threads: int | None = None, *, graph: bool = False) -> None:
        """`graph`: run as one CUDA graph, captured in the first calls, instead of launching each kernel."""
        self._graph = graph
        self._library = onnxruntime = cuda_onnxruntime()
        self.version = f"onnxruntime {onnxruntime.__version__} for CUDA"
        self._cuda = Cuda()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry(ASSIGNMENT, "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        with open(path, "rb") as file:
            content = file.read()
        wanted = {
            "use_tf32": "0",
            "enable_cuda_graph": str(int(graph)),
            "user_compute_stream": str(self._cuda.stream),
        }
        with captured_output() as log:
            onnxruntime.preload_dlls()
            try:
                session = onnxruntime.InferenceSession(
                    content, options, providers=[(PROVIDER, wanted), "CPUExecutionProvider"], enable_fallback=0
                )
            except Exception as error:  # the only common base of its exceptions
                raise ArtifactError(
                    f"{path}: ONNX Runtime cannot run it on CUDA ({reason(error, self.version)})"
                ) from None
            if PROVIDER not in session.get_providers():
                raise UnavailableError(load_failure(log()))
        self._session: Any = session
        self.placement = self._placement()
        self.input, self.output = specs(session, path)
        self._bindings: dict[int, Binding] = {}  # by batch size

    def run(self, batch: np.ndarray) -> np.ndarray:
        input_value, binding, options, output_value = self._bindings.get(len(batch)) or self._bind(batch)
        input_value.update_inplace(np.ascontiguousarray(batch))
        self._session.run_with_iobinding(binding, options)
        return output_value.numpy()

    def device_ns(self, batch: np.ndarray) -> int:
        """Nanoseconds that the GPU took for `batch`, without copying input and output."""
        input_value, binding, options, _ = self._bindings.get(len(batch)) or self._bind(batch)
        input_value.update_inplace(np.ascontiguousarray(batch))
        return self._cuda.measure_ns(lambda: self._session.run_with_iobinding(binding, options))

    def close(self) -> None:
        self._bindings.clear()
        self._session = None

    def _placement(self) -> Placement:
        """The placement. Raises UnavailableError when no op runs on the GPU."""
        ops = ops_by_provider(self._session)
        if PROVIDER not in ops:
            raise UnavailableError("ONNX Runtime runs no op of this model on CUDA")
        count = sum(sum(kinds.values()) for kinds in ops.values())
        on_cpu = {kind: number for name, kinds in ops.items() if name != PROVIDER for kind, number in kinds.items()}
        provider_options = self._session.get_provider_options().get(PROVIDER, {})
        settings = {name: str(provider_options[name]) for name in REPORTED_SETTINGS if name in provider_options}
        return Placement(self._cuda.name, False, on_cpu, count, settings)

    def _bind(self, batch: np.ndarray) -> Binding:
        """Allocate and bind GPU memory for this batch size. Each size has its own CUDA graph."""
        value, size = self._library.OrtValue, len(batch)
        input_value = value.ortvalue_from_numpy(np.ascontiguousarray(batch), "cuda", 0)
        output_value = value.ortvalue_from_shape_and_type(
            (size, *self.output.shape[1:]), np.dtype(self.output.dtype), "cuda", 0
        )
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self.input.name, input_value)
        binding.bind_ortvalue_output(self.output.name, output_value)
        options = self._library.RunOptions()
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(size))
        self._bindings[size] = input_value, binding, options, output_value
        return self._bindings[size]


def cuda_onnxruntime() -> ModuleType:
    """Import ONNX Runtime. Raises UnavailableError when it is built without CUDA. A GPU may still be missing."""
    onnxruntime = import_onnxruntime()
    if PROVIDER not in onnxruntime.get_available_providers():
        raise UnavailableError(f"the installed onnxruntime is built without CUDA; {HOW_TO_GET}")
    return onnxruntime


def load_failure(log: str) -> str:
    """Why a session does not use CUDA, from the log of its creation."""
    missing = MISSING.search(log)
    if missing:
        return f"ONNX Runtime cannot load CUDA: {missing[1]} is missing; {HOW_TO_GET}"
    lines = [line for line in log.splitlines() if "CUDA" in line]
    return f"ONNX Runtime cannot use CUDA: {one_line(RuntimeError(lines[-1] if lines else 'no reason given'), 160)}"
