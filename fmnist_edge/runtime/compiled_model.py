"""LiteRT 2's CompiledModel, for `.tflite` files, on the CPU: the API that also drives its GPU and NPU."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from math import prod
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime import tflite_file
from fmnist_edge.runtime.engine import TensorSpec, single

__all__ = ["CompiledModelEngine"]

SIGNATURE = 0


class CompiledModelEngine:
    """See `fmnist_edge.runtime.engine.Engine`."""

    name = "litert-compiled"
    requirement = "ai-edge-litert>=2.1,<3"

    def __init__(self, path: str, threads: int | None = None) -> None:
        content = tflite_file.read(path)
        try:
            from ai_edge_litert.compiled_model import CompiledModel
        except ImportError:
            raise UnavailableError("CompiledModel is not installed; run: pip install 'ai-edge-litert>=2.1'") from None
        self.version = f"ai-edge-litert {metadata.version('ai-edge-litert')}"
        try:
            self.input, self.output = specs(content, path)
            model: Any = CompiledModel.from_buffer(content, **options(threads))
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
