"""TensorFlow Lite Micro, for `.tflite` files: the reference kernels that microcontrollers run, here on the host.

It is a check, not a way to be fast: does a model consist of ops that a microcontroller has, does it answer the same
there, and how large a tensor arena does it need?
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
from fmnist_edge.runtime.engines.native_output import STDERR, collected

__all__ = ["TFLiteMicroEngine"]

# Far more than any microcontroller has; untouched pages cost nothing. With too little the library may crash.
ARENA_BYTES = 64 << 20
SOURCE = re.compile(r"^\S+\.(cc|h)(:\d+)?:? ")  # where in the library a message comes from


class TFLiteMicroEngine(Engine):
    """It has one thread, whatever `threads` says."""

    def __init__(self, path: str, threads: int | None = None, *, arena_size: int = ARENA_BYTES) -> None:
        content = tflite_file.read(path)
        from tflite_micro.python.tflite_micro import runtime

        self.version = f"tflite-micro {metadata.version('tflite-micro')}"
        with collected(STDERR) as said:  # the library gives its reasons there, and only there
            try:
                self._interpreter: Any = runtime.Interpreter.from_bytes(content, arena_size=arena_size)
            except Exception as error:  # its parser raises anything on a damaged file
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(said(), error)})") from None
            self.input = only_tensor(self._interpreter.get_input_details, "input", path)
            self.output = only_tensor(self._interpreter.get_output_details, "output", path)

    @property
    def arena(self) -> dict[str, int]:
        """Bytes of the tensor arena, which is all the RAM a model takes: "total", of which "head" holds activations
        and "tail" what lasts (pointers and quantisation; smaller where pointers have 32 bits). Ask after a run.

        Of the reference kernels; optimised ones may want scratch buffers on top.
        """
        with collected(STDERR) as said:
            self._interpreter.print_allocations()
            text = said()
        return {part: int(size) for part, size in re.findall(r"Arena allocation (total|head|tail) (\d+)", text)}

    def run(self, batch: np.ndarray) -> np.ndarray:
        self._interpreter.set_input(batch, 0)
        self._interpreter.invoke()
        return self._interpreter.get_output(0)

    def close(self) -> None:
        self._interpreter = None


def only_tensor(details: Callable[[int], dict[str, Any]], kind: str, path: str) -> TensorSpec:
    """The only input or output. Shapes are fixed here: an open batch axis is the 1 that the file starts with."""
    try:
        details(1)
    except Exception:  # there is no second one, as it should be
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


def reason(said: str, error: Exception) -> str:
    """The library's own words in one line, or the exception's where it said nothing."""
    lines = [SOURCE.sub("", line.strip()) for line in said.splitlines() if line.strip()]
    return one_line(RuntimeError(" ".join(lines) or str(error)), 200)
