"""The engine for `.tflite` files in NumPy. It needs no other package and is a reference for other engines."""

from __future__ import annotations

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.engines import tflite_file
from fmnist_edge.runtime.engines.numpy.model import Tensor, read_model
from fmnist_edge.runtime.engines.numpy.program import Program, program_of
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["NumpyEngine"]


class NumpyEngine(Engine):
    """NumPy. It accepts any number of images, whatever the batch size of the file.

    Integer ops are bit for bit like TensorFlow Lite's reference kernels (`litert-reference`). Float ops may differ from
    them by the order of their sums. A damaged or hostile file raises an ArtifactError, and costs little memory and
    time. `threads` has no effect. Threads may share an engine.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        self.version = f"numpy {np.__version__}"
        try:
            self._program: Program | None = program_of(read_model(tflite_file.read(path)))
            self.input, self.output = spec(self._program.input), spec(self._program.output)
        except RefusedError as reason:
            raise ArtifactError(f"{path}: the numpy engine refuses the file ({reason})") from None
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:  # a check is missing
            raise ArtifactError(f"{path}: the numpy engine cannot read the file ({one_line(error, 120)})") from None

    def run(self, batch: np.ndarray) -> np.ndarray:
        if self._program is None:
            raise ArtifactError("the engine is closed; load the file again")
        return self._program.run(batch)

    def close(self) -> None:
        self._program = None


def spec(tensor: Tensor) -> TensorSpec:
    shape = (None, *tensor.shape[1:])
    if tensor.dtype == "float32":
        return TensorSpec(tensor.name, shape, tensor.dtype)
    if tensor.dtype not in ("int8", "uint8", "int16"):
        raise RefusedError(f"tensor {tensor.name!r} is {tensor.dtype}; expected float32, int8, uint8 or int16")
    quantization = tensor.per_tensor()
    return TensorSpec(tensor.name, shape, tensor.dtype, quantization.scale, quantization.zero_point)
