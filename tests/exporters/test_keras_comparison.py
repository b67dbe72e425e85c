"""A float file is kept only if its scores are those of its Keras model."""

import numpy as np
import pytest
from support.keras_models import randomised

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ArtifactError, ExportError, InputError
from fmnist_edge.exporters import onnx_conversion
from fmnist_edge.exporters.findings import Findings
from fmnist_edge.exporters.keras_comparison import check_answers
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.golden import Golden

CONTRACT = Contract((8, 8, 3), "logits", tuple("abc"))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def model_of(scale=1.0, batch=None):
    import keras

    layers = keras.layers
    inputs = keras.Input(batch_shape=(batch, 8, 8, 3))
    x = layers.Rescaling(scale)(layers.Conv2D(2, 3, name="conv")(inputs))
    return randomised(keras.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)), name="own"))


def golden(model, error=0.0):
    scores = np.concatenate(
        [np.asarray(model(np.resize(image / np.float32(255), (2, 8, 8, 3))))[:1] for image in IMAGES]
    )
    scores[3, 1] += error * np.abs(scores).max()
    return Golden(IMAGES, scores, 1e-4, "test")


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize(("name", "limit"), [("float32", 0.002), ("float16", 0.1)])
def test_one_wrong_score_is_enough(name, limit, batch):
    model, precision = model_of(batch=batch), get_precision("onnx", name)
    check_answers(golden(model, limit * 0.9), model, CONTRACT, precision)
    for error in (limit * 1.1, np.nan):
        with pytest.raises(ExportError, match=f"the onnx {name} file gives other scores than the Keras model"):
            check_answers(golden(model, error), model, CONTRACT, precision)


def test_a_model_that_mixes_images_answers_in_batches_as_its_file_does(own, tmp_path):
    """Bincount, or a flip of the batch: what Keras gives for many images at once is another answer, or none."""
    import keras

    inputs = keras.Input((8, 8, 3))
    for mixed in (lambda x: keras.ops.flip(x, axis=0), lambda x: keras.ops.reshape(x, (1, 8, 8, 3))):
        x = keras.layers.Flatten()(mixed(inputs))
        model = randomised(keras.Model(inputs, keras.layers.Dense(3, name="out")(x), name="own"))
        scores = np.concatenate([np.asarray(model(image[None] / np.float32(255))) for image in IMAGES])
        same, other = Golden(IMAGES, scores, 1e-4, "test"), Golden(IMAGES, scores * 1.1, 1e-4, "test")
        check_answers(same, model, CONTRACT, get_precision("onnx", "float32"), batch=1)
        with pytest.raises(ExportError, match="gives other scores than the Keras model"):
            check_answers(other, model, CONTRACT, get_precision("onnx", "float32"), batch=1)


def test_a_model_without_a_row_of_scores_for_each_image_is_refused():
    import keras

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.ops.sum(inputs, axis=(0, 1, 2), keepdims=True)[:, 0, 0], name="own")
    scores = np.ones((5, 3), np.float32)
    with pytest.raises(ExportError, match="neither at once nor in batches of 2"):
        check_answers(Golden(IMAGES, scores, 1e-4, ""), model, CONTRACT, get_precision("onnx", "float32"), batch=2)


def test_integer_files_are_not_compared():
    model = model_of()
    assert check_answers(golden(model, 1.0), model, CONTRACT, get_precision("onnx", "int8")) == []


def test_an_integer_file_that_answers_every_image_alike_is_a_warning(own, tmp_path):
    model, precision = model_of(), get_precision("tflite", "int8")
    exact = golden(model)
    assert len(set(exact.scores.argmax(axis=1))) > 1
    constant = Golden(IMAGES, np.repeat(exact.scores[:1], 5, axis=0), 1e-4, "test")
    (warning,) = check_answers(constant, model, CONTRACT, precision)
    assert "the same scores for every golden image" in warning and "explain" in warning
    # TensorFlow Lite's int8 is constant for such small numbers.
    model.set_weights([weight * 1e-6 * (weight.ndim > 1) for weight in model.get_weights()])
    checkpoint, given = own(model), {"calibration": IMAGES, "golden_images": IMAGES}
    artifact = export(checkpoint, precision, CONTRACT, tmp_path / "out", **given)
    assert any("the tflite int8 file gives the same scores" in line for line in artifact.manifest.warnings)
    with pytest.raises(InputError, match="because of --strict: the tflite int8 file gives the same scores"):
        export(checkpoint, precision, CONTRACT, tmp_path, findings=Findings(), strict=True, **given)


@pytest.fixture
def own(tmp_path):
    def load(model):
        model.save(tmp_path / "own.keras")
        return checkpoints.load(tmp_path / "own.keras")

    return load


@pytest.mark.parametrize("precision", ["float32", "dynamic_int8"])
def test_a_wrong_file_is_not_written(own, tmp_path, monkeypatch, precision):
    """As if tf2onnx had converted a convolution wrongly."""
    convert = onnx_conversion.float_model

    def wrong(*arguments):
        proto = convert(*arguments)
        bias = next(node.input[2] for node in proto.graph.node if node.op_type == "Conv")
        stored = next(item for item in proto.graph.initializer if item.name == bias)
        stored.CopyFrom(type(stored)(name=bias, dims=stored.dims, data_type=1, float_data=[1.0, 2.0]))
        return proto

    monkeypatch.setattr("fmnist_edge.exporters.onnx.float_model", wrong)
    with pytest.raises(ExportError, match="gives other scores than the Keras model"):
        export(own(model_of()), get_precision("onnx", precision), CONTRACT, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_overflow_in_float16_is_named(own, tmp_path):
    with pytest.raises(ArtifactError, match=r"returned NaN or infinity .*\(float16: 65504\)"):
        export(own(model_of(1e7)), get_precision("onnx", "float16"), CONTRACT, tmp_path / "out")
