"""MNN, for `.mnn` files, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engines.native_output import collected

__all__ = ["MNNEngine"]

# "high" computes float files in float32; with "low" memory, int8 weights stay int8 and the activations that they meet
# are quantised on the fly. Neither changes the other's files.
CONFIG = {"backend": "CPU", "precision": "high", "memory": "low"}
# Of MNN::Interpreter::HintMode. Above 2, its Winograd tiles are so large that float32 scores are off by 1e-3.
WINOGRAD_MEMORY_LEVEL, SMALL_TILES = 3, 2


class MNNEngine(Engine):
    """It runs float32 in, float32 out; weights may be float16 or int8."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        with collected() as said:  # it announces the CPU on import, and gives its reasons on stdout
            import MNN

            self.version = f"mnn {MNN.version()}"
            try:
                interpreter: Any = MNN.Interpreter(path)
                interpreter.setSessionHint(WINOGRAD_MEMORY_LEVEL, SMALL_TILES)
                self._session = interpreter.createSession(
                    CONFIG if threads is None else CONFIG | {"numThread": threads}
                )
                inputs, outputs = (
                    interpreter.getSessionInputAll(self._session),
                    interpreter.getSessionOutputAll(self._session),
                )
            except Exception as error:  # that very class is what it raises
                raise ArtifactError(f"{path}: {self.version} refuses the file ({reason(said(), error)})") from None
        self._interpreter = interpreter
        self.input = single([spec(name, tensor, MNN, path) for name, tensor in inputs.items()], "input", path)
        self.output = single([spec(name, tensor, MNN, path) for name, tensor in outputs.items()], "output", path)
        self._input, self._output = inputs[self.input.name], outputs[self.output.name]
        self._tensor, self._kind = MNN.Tensor, MNN.Halide_Type_Float
        self._answer = self._host(self._output, np.empty(outputs[self.output.name].getShape(), np.float32))

    def run(self, batch: np.ndarray) -> np.ndarray:
        # By a tensor in between: what the session's own tensor takes `fromNumpy` is not what was given.
        self._input.copyFrom(self._host(self._input, batch))
        code = self._interpreter.runSession(self._session)
        if code:
            raise ArtifactError(f"{self.version} cannot run it (error code {code})")
        self._output.copyToHostTensor(self._answer)
        return self._answer.getNumpyData().copy()  # the view is the next run's too

    def _host(self, like: Any, values: np.ndarray) -> Any:
        """A plain tensor that holds a copy of `values`, its axes in the order of the session's tensor `like`."""
        return self._tensor(values.shape, self._kind, values, like.getDimensionType())

    def close(self) -> None:
        self._input = self._output = self._answer = self._session = self._interpreter = None


def spec(name: str, tensor: Any, mnn: Any, path: str) -> TensorSpec:
    if tensor.getDataType() != mnn.Halide_Type_Float:
        raise ArtifactError(f"{path}: {name!r} is not float32, which is all that MNN runs here")
    return TensorSpec(name, tuple(tensor.getShape()), "float32")


def reason(said: str, error: Exception) -> str:
    """MNN's own last line where it printed one, else the exception's first."""
    lines = [
        line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("The device", "MNN use"))
    ]
    return one_line(RuntimeError(lines[-1]) if lines else error, 120)
