"""Small real models, made once: a linear classifier of 28 x 28 images in every format and number of bits."""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import io
import json
import os
import platform
import signal
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from devices import device_python
from hypothesis import settings

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import PRECISIONS, Precision
from fmnist_edge.data import fashion_mnist
from fmnist_edge.export import mnn
from fmnist_edge.export.calibration_images import Calibration
from fmnist_edge.runtime import Contract

__all__ = ["device_python"]

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would children

LINEAR = Contract((28, 28, 1), "logits", tuple(f"class {index}" for index in range(10)))
WEIGHTS = np.random.default_rng(7).normal(0, 0.2, (784, 10)).astype(np.float32)
BIAS = np.linspace(-1, 1, 10, dtype=np.float32)
# What peer engines and their converters need; the tests of those that are not installed are skipped.
NEEDS = {"openvino": "openvino", "ncnn": "ncnn", "mnn": "MNN"}
CONVERTERS = {"ncnn": ("ncnn", "pnnx"), "mnn": ("MNN",)}
RUNNABLE = tuple(item for item in PRECISIONS if item.format != "c-array")  # that is sources: test_c_array.py
MICRO = sys.platform == "linux" and platform.machine() == "x86_64"  # where tflite-micro has wheels


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skips a test, with the reason, where a module is not installed."""
    missing = [module for module in modules if not installed(module)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def exportable(precisions: Iterable[Precision]) -> list[Any]:
    """Parameters for tests that export each of `precisions`; skipped where the converter is not installed."""
    return [pytest.param(item, id=item.filename, marks=needs(*CONVERTERS.get(item.format, ()))) for item in precisions]


@atexit.register
def hide_native_goodbyes() -> None:
    """CompiledModel's library logs its end when the process exits; pytest's summary is to stay the last word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


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

    from fmnist_edge.export.exporter import quiet

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


@pytest.fixture(scope="module")
def calibration():
    return Calibration(fashion_mnist.calibration_images(100), "100 training images")


@pytest.fixture(scope="module")
def compact():
    return checkpoints.load("compact_cnn")


@pytest.fixture(scope="session")
def linear_models(tmp_path_factory) -> dict[str, Path]:
    """name -> model file with its manifest; they all compute the same scores."""
    folder = tmp_path_factory.mktemp("linear")
    contents = {
        "float32.tflite": linear_tflite("float32"),
        "int8.tflite": linear_tflite("int8"),
        "int16x8.tflite": linear_tflite("int16x8"),
        "dynamic.tflite": linear_tflite("float32", batch=None),
        "dynamic_int8.tflite": linear_tflite("dynamic_int8"),
        "float32.onnx": linear_onnx(1),
        "batch8.onnx": linear_onnx(8),
        "dynamic.onnx": linear_onnx("n"),
        "float32.keras": saved(linear_keras()),
        "float32.ncnn": linear_ncnn(),
    }
    if installed("MNN"):
        contents["float32.mnn"] = mnn.from_onnx(linear_onnx(1), "float32")
    return {name: with_manifest(folder / name, content) for name, content in contents.items()}
