"""Keras itself, for `.keras` files: what every export is measured against. Needs the whole of `fmnist-edge[export]`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, CheckpointError, UnavailableError
from fmnist_edge.lookup import load
from fmnist_edge.runtime.engine import Engine, TensorSpec

__all__ = ["KerasCallEngine", "KerasFunctionEngine", "KerasPredictEngine"]

# By name: the loader that runs nothing from a file is not installed on devices.
LOADER = "fmnist_edge.checkpoints:load"


class KerasPredictEngine(Engine):
    """`model.predict(batch)`, as in every tutorial.

    TensorFlow's threads are the process's: they are set before its first op, and cannot be changed afterwards.
    """

    def __init__(self, path: str, threads: int | None = None) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            raise UnavailableError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow")
        self.version = f"keras {keras.__version__}, tensorflow {tf.__version__}"
        if threads is not None:
            use_threads(tf, threads)
        try:
            model = load(LOADER)(path).model
        except CheckpointError as error:
            raise ArtifactError(str(error)) from None
        self.input = TensorSpec(model.inputs[0].name, tuple(model.input_shape), "float32")
        self.output = TensorSpec(model.output_names[0], tuple(model.output_shape), "float32")
        self._answer: Any = self._way(model, tf)

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.array(self._answer(batch))

    def close(self) -> None:
        self._answer = None

    def _way(self, model: Any, tf: Any) -> Callable[[np.ndarray], Any]:
        """How the model is asked."""
        return lambda batch: model.predict(batch, verbose=0)


class KerasCallEngine(KerasPredictEngine):
    """`model(batch)`: op by op."""

    def _way(self, model: Any, tf: Any) -> Callable[[np.ndarray], Any]:
        return lambda batch: model(as_inputs(model, batch), training=False)


class KerasFunctionEngine(KerasPredictEngine):
    """`tf.function(model)`: one graph, traced once for all batch sizes."""

    def _way(self, model: Any, tf: Any) -> Callable[[np.ndarray], Any]:
        signature = [tf.TensorSpec(model.input_shape, tf.float32)]
        function = tf.function(lambda batch: model(as_inputs(model, batch), training=False), input_signature=signature)
        return lambda batch: function(tf.constant(batch))


def as_inputs(model: Any, batch: Any) -> Any:
    """`batch` in the structure that the model was built with; Keras warns of another one."""
    return [batch] if isinstance(model.input, list) else batch


def use_threads(tf: Any, threads: int) -> None:
    """Raises UnavailableError when TensorFlow has begun to work with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise UnavailableError(
            f"TensorFlow already runs in this process with another number of threads than {threads}; use a new process"
        ) from None
