"""Engines for `.keras` files with Keras, the reference of every export. They need `fmnist-edge[export]`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.errors import ArtifactError, CheckpointError, UnavailableError
from fmnist_edge.lookup import load
from fmnist_edge.runtime.engine import Engine, TensorSpec

if TYPE_CHECKING:
    import keras

__all__ = ["KerasCallEngine", "KerasFunctionEngine", "KerasPredictEngine"]

# Imported by name: devices do not have this loader, which runs no code from a file.
LOADER = "fmnist_edge.checkpoints:load"


class KerasPredictEngine(Engine):
    """`model.predict(batch)`, as in most tutorials.

    TensorFlow has one number of threads per process. It cannot be changed after the first op.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise UnavailableError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow")
        self.version = f"keras {keras.__version__}, tensorflow {tf.__version__}"
        if threads is not None:
            set_threads(tf, threads)
        try:
            model = load(LOADER)(path).model
        except CheckpointError as error:
            raise ArtifactError(str(error)) from None
        self._input_specs, self._output_specs = specs(model.inputs), specs(model.outputs)
        self.input, self.output = self._input_specs[0], self._output_specs[0]
        self._flatten: Any = keras.tree.flatten
        self._forward: Any = self._forward_function(model, tf)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.array(self._forward(batch))

    def run_all(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        given = arrays[0] if len(arrays) == 1 else list(arrays)
        return [np.array(output) for output in self._flatten(self._forward(given))]

    def close(self) -> None:
        self._forward = None

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        """The function that runs the model on a batch."""
        return lambda batch: model.predict(as_inputs(model, batch), verbose=0)


class KerasCallEngine(KerasPredictEngine):
    """`model(batch)`, executed eagerly, op by op."""

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        return lambda batch: model(as_inputs(model, batch), training=False)


class KerasFunctionEngine(KerasPredictEngine):
    """`tf.function(model)`: one graph, traced once for all batch sizes."""

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        signature = [[tf.TensorSpec(tuple(tensor.shape), tf.float32) for tensor in model.inputs]]
        function = tf.function(lambda given: model(as_inputs(model, given), training=False), input_signature=signature)
        return lambda given: function(list(map(tf.constant, given if isinstance(given, list) else [given])))


def as_inputs(model: keras.Model, given: Tensor | list[Tensor]) -> Any:
    """The inputs, one or a list, in the structure that the model was built with. Keras warns about any other one."""
    import keras

    tensors = given if isinstance(given, list) else [given]
    return keras.tree.pack_sequence_as(model.input, tensors)


def specs(tensors: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(item._keras_history.operation.name, tuple(item.shape), "float32") for item in tensors)


def set_threads(tf: ModuleType, threads: int) -> None:
    """Raises UnavailableError when TensorFlow already runs with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise UnavailableError(
            f"TensorFlow already runs in this process with another number of threads than {threads}; use a new process"
        ) from None
