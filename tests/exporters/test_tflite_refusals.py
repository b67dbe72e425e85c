"""What TensorFlow's converter refuses is said in one line, with op, layer and what to do."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.contracts import contract_for
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.tflite import EXPORTER
from fmnist_edge.exporters.tflite_refusals import explained, named_layers, too_wide
from fmnist_edge.runtime.preprocess import Preprocessing

IMAGES = np.random.default_rng(0).uniform(0, 1, (3, 6, 4)).astype("float32")


def model_of(build, shape=(6, 4)):
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, layers.Flatten()(build(inputs)), name="model")


@pytest.mark.parametrize(
    ("build", "precision", "message"),
    [
        (
            lambda x: layers.Conv1DTranspose(2, 3, dilation_rate=2, name="up")(x),
            "float32",
            "TFLite has no kernel for Conv2DBackpropInput, which layer 'up' needs; leave its dilation_rate at 1",
        ),
        (
            lambda x: ops.erfinv(x),
            "int8",
            "TFLite has no kernel for Erfinv, which layer 'erfinv' needs; write it with other operations; ONNX "
            "lacks it too",
        ),
        (
            lambda x: layers.ELU(name="bend")(x),
            "int16x8",
            "TFLite has no 16-bit kernel for ELU, which layer 'bend' needs; export it as tflite int8, which keeps such "
            "ops in float",
        ),
        (
            lambda x: layers.ELU(name="bend")(x),
            "int8_only",
            "model cannot be integer-only: no integer kernel for ELU (layer 'bend'); export it as tflite int8, which "
            "keeps such ops in float",
        ),
        (
            lambda x: ops.var(x, axis=-1),
            "int16x8",
            "TFLite's kernel does not compute SQUARED_DIFFERENCE, which layer 'var' needs",
        ),
    ],
)
def test_a_refusal_names_op_and_layer(build, precision, message):
    keras.backend.clear_session()  # Keras numbers the names of operations
    with pytest.raises(ExportError) as caught:
        EXPORTER.convert(model_of(build), get_precision("tflite", precision), 1, IMAGES)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_another_message_is_left_to_others():
    error = ValueError("something new")
    assert explained(error, model_of(layers.ReLU()), get_precision("tflite", "int8"), lambda op: ()) is None


def test_a_value_that_calibration_never_reaches():
    text = (
        "Max and min for dynamic tensors should be recorded during calibration: Failed for tensor model_1/re_lu_1/Add"
    )
    error = explained(ValueError(text), model_of(layers.ReLU(name="re_lu")), get_precision("tflite", "int16x8"), list)
    assert "no calibration image reaches Add of layer 're_lu'" in str(error) and "dynamic_int8" in str(error)


def test_many_layers_are_counted():
    assert named_layers(["a", "b", "c", "d", "e"]) == "layer 'a', 'b', 'c' and 2 more"
    assert "operation Div divides" in str(too_wide({"model/Div": ()}))


def test_a_division_by_zero_is_no_fault_of_the_kernel():
    """A file is run once before it is kept, on zeros; what is in the memory of an input is anything."""
    model = model_of(lambda x: ops.floor_divide(x + 1.0, x))
    EXPORTER.convert(model, get_precision("tflite", "float32"), 1, None)


def test_a_refusal_names_layers_as_the_file_does(tmp_path):
    model = model_of(lambda x: layers.ELU(name="Bend me (α)")(x))
    model.save(tmp_path / "own.keras")
    checkpoint = checkpoints.load(tmp_path / "own.keras")
    contract = contract_for(checkpoint, Preprocessing(1.0, 0.0, 1.0), None, "either")
    calibration = Calibration(IMAGES, "test")
    with pytest.raises(ExportError, match=r"ELU, which layer 'Bend me \(α\)' needs"):
        export(checkpoint, get_precision("tflite", "int16x8"), contract, tmp_path, calibration=calibration)
