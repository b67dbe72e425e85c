"""Fixtures that many tests share: small real models, made once."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from support.devices import device_python
from support.installed import installed
from support.linear import linear_keras, linear_ncnn, linear_onnx, linear_tflite, saved, with_manifest
from support.made_once import made_once

from fmnist_edge import checkpoints
from fmnist_edge.data import fashion_mnist
from fmnist_edge.exporters import mnn
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.runtime.manifest import manifest_path

__all__ = ["device_python"]

pytest_plugins = ["support.serial"]

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
gc.set_threshold(10_000, 10, 10)  # TensorFlow makes objects by the million: looking for cycles took a sixth of the time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would children


@pytest.fixture(scope="module", autouse=True)
def freeze_garbage_collector():
    """Searches for cycles leave out what is there before a file's tests: TensorFlow, for the most part."""
    gc.collect()
    gc.freeze()


@atexit.register
def hide_native_goodbyes() -> None:
    """CompiledModel's library logs its end when the process exits; pytest's summary is to stay the last word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture(scope="module")
def calibration():
    return Calibration(fashion_mnist.calibration_images(100), "100 training images")


@pytest.fixture(scope="module")
def compact():
    return checkpoints.load("compact_cnn")


@pytest.fixture(scope="module")
def compact_web(tmp_path_factory):
    """compact_cnn in the web form."""
    from support.web_models import web_folder

    return web_folder("compact_cnn", tmp_path_factory.mktemp("web"))


@pytest.fixture
def altered_web(compact_web, tmp_path):
    """A copy of its folder, with its manifest beside it, which a test may alter."""
    shutil.copy(manifest_path(compact_web.path), tmp_path)
    return shutil.copytree(compact_web.path, tmp_path / compact_web.path.name)


@pytest.fixture(scope="session")
def linear_models(tmp_path_factory) -> dict[str, Path]:
    """name -> model file with its manifest; they all compute the same scores."""
    folder = made_once(tmp_path_factory, "linear", make_linear_models)
    return {path.name: path for path in folder.iterdir() if path.suffix != ".json"}


def make_linear_models(folder: Path) -> None:
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
    for name, content in contents.items():
        with_manifest(folder / name, content)
