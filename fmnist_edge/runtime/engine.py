"""The interface of an engine. Each engine is one file in `engines/`, and imports only its own library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.placement import Placement

__all__ = ["Engine", "TensorSpec", "kind_of"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model file, as the file declares it.

    Attributes:
        shape: axis lengths, batch first; None for an axis that the file leaves open.
        dtype: NumPy dtype name.
        scale, zero_point: real = (quantised - zero_point) * scale; None for float tensors (per-tensor only).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """float32 -> this tensor's dtype, rounded to nearest and saturated. The default scale of integers is 1."""
        if self.scale is None and np.dtype(self.dtype).kind == "f":
            return values.astype(self.dtype, copy=False)
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / np.float32(self.scale or 1)) + np.float32(self.zero_point or 0)
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """This tensor's dtype -> float32."""
        if self.scale is None:
            return values.astype(np.float32, copy=False)
        return (values.astype(np.float32) - np.float32(self.zero_point or 0)) * np.float32(self.scale)


class Engine(ABC):
    """A loaded model file: one image tensor in, one score tensor out, as a rule. Do not share it between threads.

    The constructor takes (path, threads) and the `settings` of its record in `engine_catalog`; `threads=None` leaves
    the engine's default. It imports the engine's library and does not catch the ImportError when that is not installed.
    It raises ArtifactError when the engine refuses the file.

    Attributes:
        name, survives_fork: from its record; `EngineRecord.load` sets them.
        version: name and version of the library.
        input, output: the first of each; of a model with one, the only one.
        placement: for an engine on a GPU, which device runs which op.
        arena: bytes of memory that a microcontroller needs, by part; None for an engine that cannot tell. Valid after
            a run.
    """

    name: str = ""
    survives_fork: bool = True
    version: str
    input: TensorSpec
    output: TensorSpec
    placement: Placement | None = None
    _input_specs: tuple[TensorSpec, ...] = ()  # of engines that run models with several
    _output_specs: tuple[TensorSpec, ...] = ()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All inputs, in the file's order."""
        return self._input_specs or (self.input,)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._output_specs or (self.output,)

    def run_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """An array for each input, of its dtype and shape -> a new array for each output."""
        return [self.run(arrays[0])]

    @abstractmethod
    def run(self, batch: np.ndarray) -> np.ndarray:
        """`batch` of the input's dtype and shape -> a new array of the output's dtype and shape."""

    @abstractmethod
    def close(self) -> None:
        """Free the model's memory. The engine cannot run afterwards."""

    def device_ns(self, batch: np.ndarray) -> int | None:
        """Nanoseconds that the device took for `batch`; None when the engine cannot tell."""
        return None

    @property
    def arena(self) -> dict[str, int] | None:
        return None


def single(tensors: list[TensorSpec], kind: str, path: str) -> TensorSpec:
    """The only tensor of `tensors`; raises ArtifactError when there are none or several."""
    if len(tensors) != 1:
        raise ArtifactError(f"{path}: the model has {len(tensors)} {kind}s; expected exactly 1")
    return tensors[0]


def kind_of(weights: str, activations: str) -> str:
    """Kind of a precision: "integer", "half" or "float", by the types of its weights and activations.

    >>> kind_of("int8", "dynamic"), kind_of("float16", "float32"), kind_of("float32", "float32")
    ('integer', 'half', 'float')
    """
    if weights == "int8" or activations in ("int8", "int16"):
        return "integer"
    return "half" if "float16" in (weights, activations) else "float"
