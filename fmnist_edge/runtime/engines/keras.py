"""Engines for `.keras` files with Keras, the reference of every export. They need `fmnist-edge[export]`."""

from __future__ import annotations

import os
from collections.abc import Callable
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
        self.input = TensorSpec(model.inputs[0].name, tuple(model.input_shape), "float32")
        self.output = TensorSpec(model.output_names[0], tuple(model.output_shape), "float32")
        self._forward: Any = self._forward_function(model, tf)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.array(self._forward(batch))

    def close(self) -> None:
        self._forward = None

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        """The function that runs the model on a batch."""
        return lambda batch: model.predict(batch, verbose=0)


class KerasCallEngine(KerasPredictEngine):
    """`model(batch)`, executed eagerly, op by op."""

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        return lambda batch: model(as_inputs(model, batch), training=False)


class KerasFunctionEngine(KerasPredictEngine):
    """`tf.function(model)`: one graph, traced once for all batch sizes."""

    def _forward_function(self, model: keras.Model, tf: ModuleType) -> Callable[[np.ndarray], Tensor]:
        signature = [tf.TensorSpec(model.input_shape, tf.float32)]
        function = tf.function(lambda batch: model(as_inputs(model, batch), training=False), input_signature=signature)
        return lambda batch: function(tf.constant(batch))


def as_inputs(model: keras.Model, batch: Tensor) -> Tensor | list[Tensor]:
    """`batch` in the structure that the model was built with. Keras warns about any other structure."""
    return [batch] if isinstance(model.input, list) else batch


def set_threads(tf: ModuleType, threads: int) -> None:
    """Raises UnavailableError when TensorFlow already runs with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise UnavailableError(
            f"TensorFlow already runs in this process with another number of threads than {threads}; use a new process"
        ) from None
