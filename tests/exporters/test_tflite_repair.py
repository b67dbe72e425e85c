"""What TensorFlow's converter writes wrongly into a `.tflite` file is repaired."""

import numpy as np
import pytest
from support.keras_models import randomised

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.flatbuffer import op_kinds, unpack
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Classifier, Contract

SHAPE = (4, 4, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def one_pixel(tmp_path_factory):
    """A residual block over one pixel, as MobileNetV2 has for images of 32 x 32."""
    import keras
    from keras import layers

    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 4, activation="relu")(inputs)
    x = layers.add([x, layers.Conv2D(8, 1)(x)])
    x = layers.Conv2D(8, 1, activation="relu")(x)
    model = randomised(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="own"))
    path = tmp_path_factory.mktemp("one_pixel") / "own.keras"
    model.save(path)
    return checkpoints.load(path)


def exported(checkpoint, format, name, folder):
    contract = Contract(SHAPE, "logits", tuple("abc"))
    return export(checkpoint, get_precision(format, name), contract, folder, calibration=IMAGES).path


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic_int8", "int8_only"])
def test_a_sum_of_single_pixels_keeps_its_batch_axis(one_pixel, name, tmp_path):
    path = exported(one_pixel, "tflite", name, tmp_path)
    model = unpack(path.read_bytes())
    assert "ADD" in op_kinds(model) and "RESHAPE" not in op_kinds(model)
    with Classifier.load(path, engine="litert") as classifier:
        expected = np.asarray(one_pixel.model(IMAGES / np.float32(255)))
        assert np.abs(classifier.scores(IMAGES) - expected).max() < {"float32": 1e-4}.get(name, 0.1) * np.ptp(expected)


def test_it_runs_as_c_with_the_same_bits(one_pixel, tmp_path):
    scores = []
    for format, engine in (("tflite", "numpy"), ("c", "c")):
        with Classifier.load(exported(one_pixel, format, "int8_only", tmp_path), engine=engine) as classifier:
            scores.append(classifier.scores(IMAGES))
    assert np.array_equal(*scores)
