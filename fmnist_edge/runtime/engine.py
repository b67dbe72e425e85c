"""What the runtime asks of an engine. One file per engine implements it; each pays only for its own import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fmnist_edge.errors import ArtifactError

__all__ = ["Engine", "TensorSpec"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model file, as the file declares it.

    Attributes:
        shape: axis lengths, batch first; None where the file leaves it open.
        dtype: NumPy dtype name.
        scale, zero_point: real = (quantised - zero_point) * scale; None for float tensors (per-tensor only).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """float32 -> this tensor's dtype, rounded to nearest and saturated; integers without a scale count in ones."""
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


class Engine(Protocol):
    """A loaded model file: one image tensor in, one score tensor out.

    Attributes:
        requirement: what pip is asked for on a device, by range; None where no device is given this engine.

    Construct with (path, threads); `threads=None` leaves the engine's own default. Raises UnavailableError when
    the engine is not installed and ArtifactError when it refuses the file. Not safe to share between threads. One that
    cannot be loaded again in a forked child says `survives_fork = False`.
    """

    name: str
    requirement: str | None
    version: str
    input: TensorSpec
    output: TensorSpec

    def __init__(self, path: str, threads: int | None = None) -> None: ...

    def run(self, batch: np.ndarray) -> np.ndarray:
        """`batch` of the input's dtype and shape -> a new array of the output's dtype and shape."""
        ...

    def close(self) -> None:
        """Give the model's memory back; the engine cannot run afterwards."""
        ...


def single(tensors: list[TensorSpec], kind: str, path: str) -> TensorSpec:
    """The only tensor of `tensors`; raises ArtifactError when there are none or several."""
    if len(tensors) != 1:
        raise ArtifactError(f"{path}: the model has {len(tensors)} {kind}s; expected exactly 1")
    return tensors[0]
