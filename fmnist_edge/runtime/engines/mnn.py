"""The engine for `.mnn` files: MNN on the CPU."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines.native_output import captured_output

if TYPE_CHECKING:
    import MNN

__all__ = ["MNNEngine"]

# Precision "high" computes float files in float32. Memory "low" keeps int8 weights in int8 and quantises their
# activations at run time. Each setting affects only one kind of file.
CONFIG = {"backend": "CPU", "precision": "high", "memory": "low"}
# A MNN::Interpreter::HintMode and its value. Above 2, Winograd tiles are so large that float32 scores differ by 1e-3.
WINOGRAD_MEMORY_LEVEL, SMALL_TILES = 3, 2


class MNNEngine(Engine):
    """MNN. Inputs and outputs are float32; weights may be float16 or int8."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        with captured_output() as printed:  # MNN prints the CPU on import, and reasons of failures on stdout
            import MNN

            self.version = f"mnn {MNN.version()}"
            try:
                interpreter: MNN.Interpreter = MNN.Interpreter(path)
                interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, SMALL_TILES)
                self._session = interpreter.createSession(
                    CONFIG if threads is None else CONFIG | {"numThread": threads}
                )
                inputs, outputs = (
                    interpreter.getSessionInputAll(self._session),
                    interpreter.getSessionOutputAll(self._session),
                )
            except Exception as error:  # MNN raises Exception itself
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(printed(), error)})") from None
        self._interpreter = interpreter
        self.input = single([spec(name, tensor, MNN, path) for name, tensor in inputs.items()], "input", path)
        self.output = single([spec(name, tensor, MNN, path) for name, tensor in outputs.items()], "output", path)
        self._input, self._output = inputs[self.input.name], outputs[self.output.name]
        self._tensor, self._kind = MNN.Tensor, MNN.Halide_Type_Float
        self._output_buffer = self._host_tensor(
            self._output, np.empty(outputs[self.output.name].getShape(), np.float32)
        )

    def run(self, batch: np.ndarray) -> np.ndarray:
        # Through a host tensor: `fromNumpy` of the session's tensor stores other values than it is given.
        self._input.copyFrom(self._host_tensor(self._input, batch))
        code = self._interpreter.runSession(self._session)
        if code:
            raise ArtifactError(f"{self.version} cannot run it (error code {code})")
        self._output.copyToHostTensor(self._output_buffer)
        return self._output_buffer.getNumpyData().copy()  # a copy: the next run overwrites the view

    def _host_tensor(self, like: MNN.Tensor, values: np.ndarray) -> MNN.Tensor:
        """A host tensor with a copy of `values`, in the axis order of the session's tensor `like`."""
        return self._tensor(values.shape, self._kind, values, like.getDimensionType())

    def close(self) -> None:
        self._input = self._output = self._output_buffer = self._session = self._interpreter = None


def spec(name: str, tensor: MNN.Tensor, mnn: ModuleType, path: str) -> TensorSpec:
    if tensor.getDataType() != mnn.Halide_Type_Float:
        raise ArtifactError(f"{path}: {name!r} is not float32; this engine runs float32 only")
    return TensorSpec(name, tuple(tensor.getShape()), "float32")


def reason(printed: str, error: Exception) -> str:
    """The last line that MNN printed, else the first line of the exception."""
    lines = [
        line.strip() for line in printed.splitlines() if line.strip() and not line.startswith(("The device", "MNN use"))
    ]
    return one_line(RuntimeError(lines[-1]) if lines else error, 120)
