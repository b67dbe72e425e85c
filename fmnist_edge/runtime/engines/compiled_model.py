"""Engines for `.tflite` files with LiteRT 2's CompiledModel: on the CPU, and on a GPU through WebGPU."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import metadata
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.engines.native_output import captured_output, without_log
from fmnist_edge.runtime.placement import Placement

if TYPE_CHECKING:
    from ai_edge_litert.compiled_model import CompiledModel

__all__ = ["CompiledModelEngine", "LiteRTGpuEngine"]

SIGNATURE = 0
# LiteRT reports the device and the ops that fall back to the CPU only in its log.
ADAPTER = re.compile(r"Selected adapter: (.+?), arch=.*adapterType=(.+)")
SPLIT = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
UNSUPPORTED_OP = re.compile(r"^([A-Z][A-Z0-9_]+): ", re.MULTILINE)  # an op and the reason, below HEADING
HEADING = "not supported by GPU delegate:"


class CompiledModelEngine(Engine):
    """CompiledModel on the CPU."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        content = tflite_file.read(path)
        from ai_edge_litert.compiled_model import CompiledModel

        self.version = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
        try:
            with without_log():
                self.input, self.output = specs(content, path)
                model: CompiledModel = self._compile(CompiledModel, content, threads)
                self._inputs = model.create_input_buffers(SIGNATURE)
                self._outputs = model.create_output_buffers(SIGNATURE)
                zeros = np.zeros([size or 1 for size in self.input.shape], self.input.dtype)
                self._inputs[0].write(zeros.view(np.int8))  # the first one logs too
        except (ValueError, RuntimeError, TypeError) as error:
            raise ArtifactError(f"{path}: CompiledModel refuses the file ({one_line(error, 120)})") from None
        self._model = model
        self._output_type = np.dtype(self.output.dtype), tuple(size or 1 for size in self.output.shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        # As bytes: the buffers hold any dtype, but the Python API does not accept int16.
        self._inputs[0].write(np.ascontiguousarray(batch).view(np.int8))
        self._model.run_by_index(SIGNATURE, self._inputs, self._outputs)
        dtype, shape = self._output_type
        # run_by_index may return before the answer is ready; read waits for it.
        return self._outputs[0].read(prod(shape) * dtype.itemsize, np.int8).view(dtype).reshape(shape)

    def close(self) -> None:
        with without_log():
            self._inputs = self._outputs = self._model = None

    def _compile(self, compiled_model: type[CompiledModel], content: bytes, threads: int | None) -> CompiledModel:
        return compiled_model.from_buffer(content, **options(threads))


class LiteRTGpuEngine(CompiledModelEngine):
    """CompiledModel on a GPU. Ops that the GPU does not support run on the CPU.

    A file with float16 weights is computed in float16, any other file in float32. LiteRT's default is float16 for all.
    """

    def _compile(self, compiled_model: type[CompiledModel], content: bytes, threads: int | None) -> CompiledModel:
        from ai_edge_litert.options import CpuOptions, GpuOptions, HardwareAccelerator, Options

        half = has_half_weights(content)
        chosen = Options(
            HardwareAccelerator.GPU | HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads or 1),
            gpu_options=GpuOptions(enforce_f32=not half),
        )
        with captured_output() as log:
            try:
                model = compiled_model.from_buffer(content, options=chosen)
            except RuntimeError:
                if "No adapters found" in log():
                    raise UnavailableError("WebGPU finds no GPU (no Vulkan driver that it can use)") from None
                raise
            self.placement = placement_from(log(), model.is_fully_accelerated(), {"enforce_f32": str(not half).lower()})
        return model


def placement_from(log: str, on_gpu_only: bool, settings: dict[str, str]) -> Placement:
    """The placement, from LiteRT's log of the load. Raises UnavailableError when no op runs on the GPU."""
    adapter, split = ADAPTER.search(log), SPLIT.search(log)
    if adapter is None or (not on_gpu_only and split is None):
        raise UnavailableError("LiteRT runs no op of this model on the GPU")
    software = "CPU" in adapter[2]
    if on_gpu_only or split is None:
        return Placement(adapter[1], software, settings=settings)
    on_gpu, on_cpu = map(int, split.groups())
    kinds = dict.fromkeys(UNSUPPORTED_OP.findall(log[log.find(HEADING) : split.start()]))
    # More ops fall back than are listed as unsupported. The log gives their number, but not their types.
    return Placement(adapter[1], software, {f"for want of {' and '.join(kinds)}": on_cpu}, on_gpu + on_cpu, settings)


def has_half_weights(content: bytes) -> bool:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    return any(detail["dtype"] is np.float16 for detail in interpreter.get_tensor_details())


def specs(content: bytes, path: str) -> tuple[TensorSpec, TensorSpec]:
    """Input and output, from an Interpreter that never runs: CompiledModel does not tell scales and zero points.

    An open batch axis has size 1, as in the file. CompiledModel can resize inputs, but does not resize the output.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return single(list(map(fixed, inputs)), "input", path), single(list(map(fixed, outputs)), "output", path)


def fixed(detail: dict[str, Any]) -> TensorSpec:
    return replace(tflite_file.spec(detail), shape=tuple(map(int, detail["shape"])))


def options(threads: int | None) -> dict[str, object]:
    """Arguments of CompiledModel.from_buffer. Its default is one thread on the CPU."""
    if threads is None:
        return {}
    try:
        from ai_edge_litert.options import CpuOptions, Options
    except ImportError:
        raise UnavailableError("this ai-edge-litert is too old to set CompiledModel's threads; upgrade it") from None
    return {"options": Options(cpu_options=CpuOptions(num_threads=threads))}
