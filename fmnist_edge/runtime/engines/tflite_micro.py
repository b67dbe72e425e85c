"""The engine for `.tflite` files: TensorFlow Lite Micro, with the reference kernels of microcontrollers, on the host.

It is a check and not fast. It shows whether a microcontroller has all ops of a model, whether the answers are the same
there, and how large the tensor arena must be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.engines.native_output import STDERR, captured_output

__all__ = ["TFLiteMicroEngine"]

# Far more than any microcontroller has. Unused pages cost nothing; with too little memory the library may crash.
ARENA_BYTES = 64 << 20
SOURCE_LOCATION = re.compile(r"^\S+\.(cc|h)(:\d+)?:? ")  # the place in the library that a message starts with


class TFLiteMicroEngine(Engine):
    """TensorFlow Lite Micro. It has one thread and ignores `threads`."""

    def __init__(self, path: str, threads: int | None = None, *, arena_size: int = ARENA_BYTES) -> None:
        content = tflite_file.read(path)
        from tflite_micro.python.tflite_micro import runtime

        self.version = f"tflite-micro {metadata.version('tflite-micro')}"
        with captured_output(STDERR) as printed:  # the library prints reasons of failures there only
            try:
                self._interpreter: Any = runtime.Interpreter.from_bytes(content, arena_size=arena_size)
            except Exception as error:  # its parser raises anything on a damaged file
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(printed(), error)})") from None
            self.input = only_tensor(self._interpreter.get_input_details, "input", path)
            self.output = only_tensor(self._interpreter.get_output_details, "output", path)

    @property
    def arena(self) -> dict[str, int]:
        """Bytes of the tensor arena, which is all the RAM that a model needs; valid after a run.

        "total" is the sum of "head" (activations) and "tail" (persistent data: pointers and quantisation, smaller with
        32-bit pointers). The numbers are for the reference kernels; optimised kernels may need more scratch memory.
        """
        with captured_output(STDERR) as printed:
            self._interpreter.print_allocations()
            text = printed()
        return {part: int(size) for part, size in re.findall(r"Arena allocation (total|head|tail) (\d+)", text)}

    def run(self, batch: np.ndarray) -> np.ndarray:
        self._interpreter.set_input(batch, 0)
        self._interpreter.invoke()
        return self._interpreter.get_output(0)

    def close(self) -> None:
        self._interpreter = None


def only_tensor(details: Callable[[int], dict[str, Any]], kind: str, path: str) -> TensorSpec:
    """The only input or output. Shapes are fixed: an open batch axis has size 1, as in the file."""
    try:
        details(1)
    except Exception:  # as expected, there is no second one
        return spec(details(0), kind)
    raise ArtifactError(f"{path}: the model has several {kind}s; expected exactly 1")


def spec(detail: dict[str, Any], name: str) -> TensorSpec:
    quantization = detail["quantization_parameters"]
    scales, zero_points = quantization["scales"], quantization["zero_points"]
    return TensorSpec(
        name=name,
        shape=tuple(map(int, detail["shape"])),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(scales[0]) if len(scales) else None,
        zero_point=int(zero_points[0]) if len(scales) else None,
    )


def reason(printed: str, error: Exception) -> str:
    """What the library printed, as one line; the exception's message when it printed nothing."""
    lines = [SOURCE_LOCATION.sub("", line.strip()) for line in printed.splitlines() if line.strip()]
    return one_line(RuntimeError(" ".join(lines) or str(error)), 200)
