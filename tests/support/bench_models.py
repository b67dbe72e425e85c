"""Two tiny real models, 784 -> 10, with their manifests: what the benchmark tests run."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.data.fashion_mnist import LABELS
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.manifest import Manifest

CONTRACT = Contract(input_shape=(28, 28, 1), output="logits", labels=LABELS)
WEIGHTS = np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32)


def write(path: Path, content: bytes) -> Path:
    import hashlib

    sections = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "contract": CONTRACT.as_dict(),
        "model": {"name": "linear", "sha256": "0" * 64},
        "precision": "float32",
        "format": path.suffix[1:],
    }
    return Artifact.write(path, content, Manifest.of(path.name, sections)).path


def write_onnx(path: Path, batch: int = 1) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 28, 28, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return write(path, model.SerializeToString())


def write_tflite(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own
        import keras
        import tensorflow as tf

        inputs = keras.Input((28, 28, 1), batch_size=1)
        model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
        model.layers[-1].set_weights([WEIGHTS, np.zeros(10, np.float32)])
        return write(path, tf.lite.TFLiteConverter.from_keras_model(model).convert())
