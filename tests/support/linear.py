"""A linear classifier of 28 x 28 images in every format and number of bits."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.runtime import Contract

LINEAR = Contract((28, 28, 1), "logits", tuple(f"class {index}" for index in range(10)))
WEIGHTS = np.random.default_rng(7).normal(0, 0.2, (784, 10)).astype(np.float32)
BIAS = np.linspace(-1, 1, 10, dtype=np.float32)


def with_manifest(path: Path, content: bytes, contract: Contract = LINEAR) -> Path:
    """Write a model file and the manifest that vouches for it."""
    path.write_bytes(content)
    manifest = {"schema": 1, "sha256": hashlib.sha256(content).hexdigest(), "contract": contract.as_dict()}
    path.with_name(path.name + ".json").write_text(json.dumps(manifest))
    return path


def linear_onnx(batch: int | str) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("Gemm", ["flat", "w", "b"], ["scores"])],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 28, 28, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def linear_keras(batch: int | None = None) -> Any:
    import keras

    inputs = keras.Input((28, 28, 1), batch_size=batch)
    dense = keras.layers.Dense(10)
    model = keras.Model(inputs, dense(keras.layers.Flatten()(inputs)))
    dense.set_weights([WEIGHTS, BIAS])
    return model


def saved(model: Any) -> bytes:
    """A Keras model as the bytes of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return (Path(folder) / "model.keras").read_bytes()


def linear_tflite(precision: str, batch: int | None = 1) -> bytes:
    import tensorflow as tf

    from fmnist_edge.exporters.exporter import quiet

    model = linear_keras(batch)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision in ("int8", "int16x8"):
        rng = np.random.default_rng(3)
        converter.representative_dataset = lambda: ([rng.random((1, 28, 28, 1), np.float32)] for _ in range(50))
        converter.inference_input_type = converter.inference_output_type = tf.int8 if precision == "int8" else tf.int16
    if precision == "int16x8":
        kind = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [kind]
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own
        return converter.convert()


def linear_ncnn() -> bytes:
    """Written by hand: ncnn's two files, as its wiki describes them."""
    param = (
        "7767517\n3 3\n"
        "Input image 0 1 image -23330=4,3,1,28,28\n"
        "Flatten flat 1 1 image flat\n"
        "InnerProduct dense 1 1 flat scores 0=10 1=1 2=7840 -23330=4,1,10,1,1\n"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.param", param)
        archive.writestr("model.bin", bytes(4) + WEIGHTS.T.tobytes() + BIAS.tobytes())  # tag 0: float32 weights
    return file.getvalue()
