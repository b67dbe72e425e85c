"""The cases of tests that run over engines: a model file each, and what it is to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import engines_for
from support.installed import MICRO, NEEDS, needs
from support.linear import BIAS, WEIGHTS

IMAGES = np.random.default_rng(11).integers(0, 256, (19, 28, 28), dtype=np.uint8)

EXPECTED = (IMAGES.reshape(19, 784) / 255) @ WEIGHTS + BIAS

TFLITE = ("float32.tflite", "int8.tflite", "int16x8.tflite")

# (model file, engine); None is the default for the suffix
CASES = (
    *((model, None) for model in (*TFLITE, "dynamic.tflite", "float32.onnx", "batch8.onnx", "dynamic.onnx")),
    ("dynamic.tflite", "litert-compiled"), ("dynamic.tflite", "tflite-micro"),
    ("dynamic.tflite", "numpy"), ("dynamic_int8.tflite", "numpy"),
    *((model, engine) for engine in engines_for(Path("x.tflite"))[1:] for model in TFLITE),
    *((model, engine) for engine in engines_for(Path("x.onnx"))[1:] for model in ("float32.onnx", "dynamic.onnx")),
    ("dynamic.tflite", "openvino"), ("batch8.onnx", "openvino"),
    ("float32.ncnn", "ncnn"), ("float32.mnn", "mnn"),
    *(("float32.keras", engine) for engine in engines_for(Path("x.keras"))),
)  # fmt: skip


def as_parameter(model, engine):
    marks = [needs(NEEDS[engine])] if engine in NEEDS else []
    if engine == "tflite-micro":
        marks = [pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")]
    return pytest.param((model, engine), id="-".join(filter(None, (model, engine))), marks=marks)


TOLERANCE = {"int8.tflite": 0.25, "dynamic_int8.tflite": 0.25, "int16x8.tflite": 0.1}


def load_with_one_thread(path: Path) -> Classifier:
    """For tests of scores: the other cores have other tests. Keras has its threads from the process."""
    return Classifier.load(path, threads=None if path.suffix == ".keras" else 1)


def refused(path, *said, error=ArtifactError, **options):
    with pytest.raises(error) as refusal:
        Classifier.load(path, **options)
    assert "\n" not in str(refusal.value)
    for part in said:
        assert part in str(refusal.value)


def refuses_other_inputs(classify: Classifier) -> None:
    """An int8 engine of 28 x 28 images refuses another shape, another type, and any input once it is closed."""
    for wrong in (np.zeros((1, 27, 28, 1), np.int8), np.zeros((1, 28, 28, 1), np.uint8)):
        with pytest.raises(ArtifactError, match="expected int8"):
            classify.engine.run(wrong)
    classify.close()
    with pytest.raises(ArtifactError, match="closed"):
        classify.engine.run(np.zeros((1, 28, 28, 1), np.int8))
