"""ONNX Runtime on CUDA, for `.onnx` files: input and output stay bound to the GPU's memory, with or without a graph."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engines.cuda import Cuda
from fmnist_edge.runtime.engines.native_output import collected
from fmnist_edge.runtime.engines.onnx_session import ASSIGNMENT, ops_by_provider, specs
from fmnist_edge.runtime.placement import Placement

__all__ = ["OnnxRuntimeCudaEngine"]

PROVIDER = "CUDAExecutionProvider"
HOW_TO_GET = "in an environment of its own run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
ERRORS = 3  # log severity: why a library was not loaded is told there and nowhere else
MISSING = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")
SHOWN = ("use_tf32", "enable_cuda_graph", "cudnn_conv_algo_search")


class OnnxRuntimeCudaEngine(Engine):
    """Float32 is computed in float32: TF32, which is the default, is off."""

    def __init__(self, path: str, threads: int | None = None, *, graph: bool = False) -> None:
        """`graph`: as one CUDA graph, captured in the first calls, which launches no kernel by itself."""
        self._graph = graph
        self._library = onnxruntime = library()
        self.version = f"onnxruntime {onnxruntime.__version__} for CUDA"
        self._cuda = Cuda()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS
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
        with collected() as said:
            onnxruntime.preload_dlls()
            try:
                session = onnxruntime.InferenceSession(
                    content, options, providers=[(PROVIDER, wanted), "CPUExecutionProvider"], enable_fallback=0
                )
            except Exception as error:  # its exception classes share no base but Exception
                raise ArtifactError(f"{path}: ONNX Runtime cannot run it on CUDA ({one_line(error, 160)})") from None
            if PROVIDER not in session.get_providers():
                raise UnavailableError(why_not(said()))
        self._session: Any = session
        self.placement = self._placement()
        self.input, self.output = specs(session, path)
        self._bound: dict[int, tuple[Any, Any, Any, Any]] = {}  # by batch size

    def run(self, batch: np.ndarray) -> np.ndarray:
        given, binding, options, made = self._bound.get(len(batch)) or self._bind(batch)
        given.update_inplace(np.ascontiguousarray(batch))
        self._session.run_with_iobinding(binding, options)
        return made.numpy()

    def device_ns(self, batch: np.ndarray) -> int:
        """Nanoseconds that the GPU took for `batch`, which was in its memory before, and the answer stays there."""
        given, binding, options, _ = self._bound.get(len(batch)) or self._bind(batch)
        given.update_inplace(np.ascontiguousarray(batch))
        return self._cuda.timed(lambda: self._session.run_with_iobinding(binding, options))

    def close(self) -> None:
        self._bound.clear()
        self._session = None

    def _placement(self) -> Placement:
        """Raises UnavailableError when nothing of the model runs on the GPU."""
        ops = ops_by_provider(self._session)
        if PROVIDER not in ops:
            raise UnavailableError("ONNX Runtime gave no op of this model to CUDA; all would run on the CPU")
        count = sum(sum(kinds.values()) for kinds in ops.values())
        on_cpu = {kind: number for name, kinds in ops.items() if name != PROVIDER for kind, number in kinds.items()}
        has = self._session.get_provider_options().get(PROVIDER, {})
        settings = {name: str(has[name]) for name in SHOWN if name in has}
        return Placement(self._cuda.name, False, on_cpu, count, settings)

    def _bind(self, batch: np.ndarray) -> tuple[Any, Any, Any, Any]:
        """Memory on the GPU for batches of this size; a graph is captured for each size by itself."""
        value, size = self._library.OrtValue, len(batch)
        given = value.ortvalue_from_numpy(np.ascontiguousarray(batch), "cuda", 0)
        made = value.ortvalue_from_shape_and_type(
            (size, *self.output.shape[1:]), np.dtype(self.output.dtype), "cuda", 0
        )
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self.input.name, given)
        binding.bind_ortvalue_output(self.output.name, made)
        options = self._library.RunOptions()
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(size))
        self._bound[size] = given, binding, options, made
        return self._bound[size]


def library() -> Any:
    """ONNX Runtime built for CUDA; that a build has it says nothing of the machine, that it has not is final."""
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise UnavailableError(f"the onnxruntime that is installed is built without CUDA; {HOW_TO_GET}")
    return onnxruntime


def why_not(said: str) -> str:
    """Why a session has no CUDA although it was asked for, from what was logged meanwhile."""
    missing = MISSING.search(said)
    if missing:
        return f"ONNX Runtime cannot load CUDA: {missing[1]} is missing; {HOW_TO_GET}"
    lines = [line for line in said.splitlines() if "CUDA" in line]
    return f"ONNX Runtime cannot use CUDA: {one_line(RuntimeError(lines[-1] if lines else 'it does not say why'), 160)}"
