"""LiteRT 2's CompiledModel, for `.tflite` files: on the CPU, and on a GPU through WebGPU."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import metadata
from math import prod
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.engines.native_output import collected
from fmnist_edge.runtime.placement import Placement

__all__ = ["CompiledModelEngine", "LiteRTGpuEngine"]

SIGNATURE = 0
# What its log says, and nothing else does: the device, and what falls back.
ADAPTER = re.compile(r"Selected adapter: (.+?), arch=.*adapterType=(.+)")
SHARED = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU")
REFUSED = re.compile(r"^([A-Z][A-Z0-9_]+): ", re.MULTILINE)  # an op, and why; below this heading:
HEADING = "not supported by GPU delegate:"


class CompiledModelEngine(Engine):
    """On the CPU."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        content = tflite_file.read(path)
        from ai_edge_litert.compiled_model import CompiledModel

        self.version = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
        try:
            self.input, self.output = specs(content, path)
            model: Any = self._compiled(CompiledModel, content, threads)
            self._inputs, self._outputs = model.create_input_buffers(SIGNATURE), model.create_output_buffers(SIGNATURE)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ArtifactError(f"{path}: CompiledModel refuses the file ({one_line(error, 120)})") from None
        self._model = model
        self._answer = np.dtype(self.output.dtype), tuple(size or 1 for size in self.output.shape)

    def run(self, batch: np.ndarray) -> np.ndarray:
        # As bytes: the buffers hold any dtype, and the Python API lets through those it knows, of which int16 is none.
        self._inputs[0].write(np.ascontiguousarray(batch).view(np.int8))
        self._model.run_by_index(SIGNATURE, self._inputs, self._outputs)
        dtype, shape = self._answer
        # It may return before the answer is there; read waits for it.
        return self._outputs[0].read(prod(shape) * dtype.itemsize, np.int8).view(dtype).reshape(shape)

    def close(self) -> None:
        self._inputs = self._outputs = self._model = None

    def _compiled(self, compiled_model: Any, content: bytes, threads: int | None) -> Any:
        return compiled_model.from_buffer(content, **options(threads))


class LiteRTGpuEngine(CompiledModelEngine):
    """On a GPU; ops that it has not run on the CPU. A file with float16 weights is computed in float16, which is
    LiteRT's default for every file, others in float32."""

    def _compiled(self, compiled_model: Any, content: bytes, threads: int | None) -> Any:
        from ai_edge_litert.options import CpuOptions, GpuOptions, HardwareAccelerator, Options

        half = has_half_weights(content)
        chosen = Options(
            HardwareAccelerator.GPU | HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads or 1),
            gpu_options=GpuOptions(enforce_f32=not half),
        )
        with collected() as said:
            try:
                model = compiled_model.from_buffer(content, options=chosen)
            except RuntimeError:
                if "No adapters found" in said():
                    raise UnavailableError("WebGPU finds no GPU (no Vulkan driver that it can use)") from None
                raise
            self.placement = placed(said(), model.is_fully_accelerated(), {"enforce_f32": str(not half).lower()})
        return model


def placed(said: str, fully: bool, settings: dict[str, str]) -> Placement:
    """Where it runs, from LiteRT's log of the load; raises UnavailableError when that is the CPU alone."""
    adapter, shared = ADAPTER.search(said), SHARED.search(said)
    if adapter is None or (not fully and shared is None):
        raise UnavailableError("LiteRT gave no op of this model to the GPU; all would run on the CPU")
    software = "CPU" in adapter[2]
    if fully or shared is None:
        return Placement(adapter[1], software, settings=settings)
    on_gpu, on_cpu = map(int, shared.groups())
    kinds = dict.fromkeys(REFUSED.findall(said[said.find(HEADING) : shared.start()]))
    # More fall back than are refused: it tells their number, and not what they are.
    return Placement(adapter[1], software, {f"for want of {' and '.join(kinds)}": on_cpu}, on_gpu + on_cpu, settings)


def has_half_weights(content: bytes) -> bool:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    return any(detail["dtype"] is np.float16 for detail in interpreter.get_tensor_details())


def specs(content: bytes, path: str) -> tuple[TensorSpec, TensorSpec]:
    """Input and output. CompiledModel does not tell scales and zero points; an Interpreter that never runs does.

    An open batch axis is the 1 that the file starts with: CompiledModel resizes inputs, and not the output with them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    return single(list(map(fixed, inputs)), "input", path), single(list(map(fixed, outputs)), "output", path)


def fixed(detail: dict[str, Any]) -> TensorSpec:
    return replace(tflite_file.spec(detail), shape=tuple(map(int, detail["shape"])))


def options(threads: int | None) -> dict[str, Any]:
    """Arguments of CompiledModel.from_buffer; its default is one thread on the CPU."""
    if threads is None:
        return {}
    try:
        from ai_edge_litert.options import CpuOptions, Options
    except ImportError:
        raise UnavailableError("this ai-edge-litert's CompiledModel takes no number of threads; upgrade it") from None
    return {"options": Options(cpu_options=CpuOptions(num_threads=threads))}
