"""Explain models that are not in the zoo: the findings are right, and `export` accepts the recommendations."""

import numpy as np
import pytest
from support.mobilenet import first_blocks

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import select
from fmnist_edge.explain.explanation import explain
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Contract

pytestmark = pytest.mark.slow  # exports dozens of files

INT8 = [select(format, ["int8"])[0] for format in ("tflite", "onnx")]
COARSE = np.random.default_rng(5).integers(0, 256, (100, 4, 4, 3))
PIXELS = np.kron(COARSE, np.ones((1, 4, 4, 1))).astype(np.uint8)


def sequential():
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((16, 16, 3)),
            layers.ZeroPadding2D(),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.5),
            layers.Dense(4),
        ]
    )


def with_operations():
    """Operations like `x + y` are in the graph, but are not layers."""
    import keras

    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.ReLU(name="first")(layers.Conv2D(8, 3, padding="same", name="conv")(inputs))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv_1")(x)
    y = layers.BatchNormalization(name="norm")(y)
    x = layers.ReLU(name="second")(x + y)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = keras.ops.relu(x * 2.0 + layers.BatchNormalization(name="norm_1")(y))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="dense")(x), name="operations")


def with_shared_layers():
    import keras

    layers = keras.layers
    x = inputs = keras.Input((16, 16, 3))
    shared, relu = layers.Conv2D(3, 3, padding="same", name="shared"), layers.ReLU(name="relu")
    for number in range(2):
        x = relu(layers.BatchNormalization(name=f"norm{number}")(shared(x)))
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(4, name="dense")(x), name="sharing")


def mobile_blocks():
    return first_blocks(4, None)


def mobilenet():
    import keras

    return keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=4, classifier_activation=None)


def checkpoint(make, folder, trained=True):
    """`trained` gives every BatchNorm random statistics; without, it is nearly an identity."""
    import keras

    keras.utils.set_random_seed(3)
    model = make()
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if trained and isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [*rng.uniform(0.5, 1.5, (2, *layer.gamma.shape)), *rng.uniform(0.1, 0.5, (2, *layer.gamma.shape))]
            )
    model.save(folder / "own.keras")
    return checkpoints.load(folder / "own.keras")


def pixels_for(own):
    size = own.model.input_shape[1] // 16
    return PIXELS.repeat(size, axis=1).repeat(size, axis=2)


def exported(own, precision, out, *keep_float):
    contract = Contract(own.model.input_shape[1:], "logits", tuple("abcd"))
    calibration = Calibration(pixels_for(own), "blobs")
    return export(own, precision, contract, out, calibration=calibration, keep_float=keep_float)


def explained(own, precision, out, *keep_float):
    artifact = exported(own, precision, out, *keep_float)
    return explain(artifact, own, pixels_for(own), progress=lambda *_: None)


@pytest.mark.parametrize("precision", INT8, ids=lambda item: item.filename)
@pytest.mark.parametrize("make", [sequential, with_operations, with_shared_layers])
def test_keeping_a_recommended_layer_works_and_helps(make, precision, tmp_path):
    own = checkpoint(make, tmp_path)
    found = explained(own, precision, tmp_path)
    assert found.remedies and found.output.error.sqnr_db > 10
    kept = explained(own, precision, tmp_path / "kept", *found.weakest)
    assert kept.artifact.manifest.keep_float == tuple(found.weakest)
    assert kept.output.error.noise < found.output.error.noise
    assert kept.output.error.max_abs_error < found.output.error.max_abs_error


@pytest.mark.parametrize("precision", INT8, ids=lambda item: item.filename)
@pytest.mark.parametrize(
    ("make", "trained"),
    [
        (with_operations, False),
        (mobile_blocks, True),
        pytest.param(mobilenet, True, marks=pytest.mark.long),
    ],
)
def test_every_keepable_layer_can_be_kept(make, trained, precision, tmp_path):
    own = checkpoint(make, tmp_path, trained)
    found = explained(own, precision, tmp_path)
    keepable = {report.layer for report in found.reports.values() if report.keepable and report.inputs}
    kernels = {layer.name for layer in own.model.layers if any(len(weight.shape) > 1 for weight in layer.weights)}
    assert kernels <= keepable, "MobileNet's padding and BatchNorm are folded into its convolutions"
    exported(own, precision, tmp_path / "kept", *sorted(keepable))


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("make", [sequential, with_operations, with_shared_layers])
def test_every_matched_tensor_is_the_layers_output(make, format, tmp_path):
    """A tensor that is matched with the wrong layer has an SQNR of about 10 dB."""
    own = checkpoint(make, tmp_path)
    found = explained(own, select(format, ["float32"])[0], tmp_path)
    kernels = {layer.name for layer in own.model.layers if any(len(weight.shape) > 1 for weight in layer.weights)}
    assert kernels <= {layer for report in found.reports.values() for layer in report.layers}
    for report in found.reports.values():
        assert report.error.exact or report.error.sqnr_db > 90, report.layers
        assert report.own.exact or report.own.sqnr_db > 90, report.layers


def test_an_operation_fused_with_layers_is_reported_under_the_layer_that_the_file_names(tmp_path):
    """An untrained BatchNorm is nearly an identity: its output matches the convolution, the rest is with the sum."""
    own = checkpoint(with_operations, tmp_path, trained=False)
    tflite, onnx = (explained(own, precision, tmp_path / precision.format).reports["second"] for precision in INT8)
    for report in (tflite, onnx):
        assert report.layers[0] == "norm" and report.layers[1].startswith("add") and report.layers[2:] == ("second",)
    assert (tflite.layer, tflite.keepable) == ("second", True)
    assert not onnx.keepable, "there the sum is an op that no layer has"
