"""The architectures, layer by layer: the five published ones, and our own."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.models.layers import LocalResponseNormalization


def described(name):
    """Every layer as (kind, output shape, parameters, kernel, strides, padding, bias, activation), in order."""
    rows = []
    for layer in MODELS[name].build().layers:
        config = layer.get_config()
        shape = tuple(layer.output.shape[1:])
        extra = tuple(config.get(key) for key in ("kernel_size", "strides", "padding", "use_bias", "activation"))
        rows.append((type(layer).__name__, layer.name, shape, layer.count_params(), *extra))
    return rows


def kinds(rows):
    return [row[0] for row in rows]


def conv(rows, name):
    return next(row[2:] for row in rows if row[1] == name)


PUBLISHED = {
    "tiny_resnet": (1_204_048, 0.9335, 60_000, 5_000),
    "tiny_googlenet": (1_044_240, 0.8954, 60_000, 5_000),
    "wide_cnn": (29_306_282, 0.8994, 20_000, 2_000),
    "tuned_cnn": (421_642, 0.9117, 60_000, 20_000),
    "compact_cnn": (106_991, 0.91, 60_000, 5_000),
    "tiny_resnet_edge": (1_208_576, None, 60_000, 5_000),
    "tiny_googlenet_edge": (1_045_728, None, 60_000, 5_000),
    "wrn_16_2": (693_210, None, 60_000, 5_000),
    "wrn_16_2_20k": (693_210, None, 20_000, 2_000),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    spec = MODELS[name]
    found = (spec.parameters, spec.published_accuracy, spec.train_images, spec.validation_images)
    assert found == PUBLISHED[name]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_what_its_record_says(name):
    spec = MODELS[name]
    model = spec.build()
    assert (spec.name, model.name) == (name, name)
    assert model.count_params() == spec.parameters
    assert (model.input_shape, model.output_shape) == ((None, 28, 28, 1), (None, 10))
    assert "Lambda" not in kinds(described(name))
    assert model.layers[-1].activation.__name__ == "linear"


def test_tiny_resnet():
    rows = described("tiny_resnet")
    assert conv(rows, "stem_conv") == ((28, 28, 16), 160, (3, 3), (1, 1), "same", True, "linear")
    parameters = {}
    for row in rows:
        if row[1].startswith("unit_"):
            parameters[row[1].split("_")[1]] = parameters.get(row[1].split("_")[1], 0) + row[3]
    assert list(parameters.values()) == [14_336, 18_432, 57_344, 73_728, 229_376, 294_912]
    for filters, size in ((32, 14), (64, 7), (128, 4)):
        for unit, stride in (("a", 2), ("b", 1)):
            first, second = (conv(rows, f"unit_{filters}{unit}_conv{n}") for n in (1, 2))
            assert first[0] == second[0] == (size, size, filters)
            assert first[2:] == ((3, 3), (stride, stride), "same", False, "linear")
            assert second[2:] == ((3, 3), (1, 1), "same", False, "linear")
        assert conv(rows, f"unit_{filters}a_skip")[2:] == ((1, 1), (2, 2), "same", False, "linear")
        assert not [row for row in rows if row[1] == f"unit_{filters}b_skip"]
    assert kinds(rows).count("LocalResponseNormalization") == 1 + 3 * 3 + 3 * 2
    assert kinds(rows).count("Add") == 6
    assert [(row[0], row[2]) for row in rows[-5:]] == [
        ("Flatten", (2048,)), ("Dense", (250,)), ("BatchNormalization", (250,)), ("Dropout", (250,)), ("Dense", (10,)),
    ]  # fmt: skip


def test_tiny_googlenet():
    rows = described("tiny_googlenet")
    assert conv(rows, "stem_conv") == ((28, 28, 16), 160, (3, 3), (1, 1), "same", True, "linear")
    for filters, size in ((16, 28), (32, 14), (64, 7), (128, 4)):
        for kernel in (3, 5):
            reduce, wide = conv(rows, f"module_{filters}_reduce{kernel}"), conv(rows, f"module_{filters}_conv{kernel}")
            assert reduce[0] == wide[0] == (size, size, filters)
            assert reduce[2:] == ((1, 1), (1, 1), "same", True, "relu")
            assert wide[2:] == ((kernel, kernel), (1, 1), "same", True, "relu")
        assert conv(rows, f"module_{filters}_concat")[0] == (size, size, 2 * filters)
        assert conv(rows, f"module_{filters}_pool")[0] == (-(-size // 2), -(-size // 2), 2 * filters)
    assert kinds(rows).count("LocalResponseNormalization") == 5
    assert [(row[0], row[2]) for row in rows[-5:]] == [
        ("Flatten", (1024,)), ("Dense", (250,)), ("BatchNormalization", (250,)), ("Dropout", (250,)), ("Dense", (10,)),
    ]  # fmt: skip


def test_wide_cnn():
    assert [(row[0], row[2], row[3]) for row in described("wide_cnn")[1:]] == [
        ("Conv2D", (26, 26, 32), 320), ("MaxPooling2D", (13, 13, 32), 0), ("Dropout", (13, 13, 32), 0),
        ("Flatten", (5408,), 0), ("Dense", (5408,), 29_251_872), ("Dense", (10,), 54_090),
    ]  # fmt: skip


def test_compact_cnn():
    assert [(row[0], row[2], row[3]) for row in described("compact_cnn")[1:]] == [
        ("Conv2D", (26, 26, 34), 340), ("MaxPooling2D", (13, 13, 34), 0), ("Conv2D", (11, 11, 22), 6754),
        ("Conv2D", (9, 9, 12), 2388), ("Flatten", (972,), 0), ("Dropout", (972,), 0), ("Dense", (95,), 92_435),
        ("Dropout", (95,), 0), ("Dense", (40,), 3840), ("Dropout", (40,), 0), ("Dense", (24,), 984),
        ("Dropout", (24,), 0), ("Dense", (10,), 250),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "norms", "more_biases"), [("tiny_resnet", 16, 1120), ("tiny_googlenet", 9, 0)])
def test_edge_twin_is_the_same_network_with_batch_norm_for_lrn(name, norms, more_biases):
    original, twin = described(name), described(f"{name}_edge")
    assert "LocalResponseNormalization" not in kinds(twin)
    assert kinds(twin).count("BatchNormalization") == norms + 1
    weighted = {"Conv2D", "Dense", "MaxPooling2D", "Add", "Concatenate", "Dropout"}
    for mine, theirs in zip(*([row for row in rows if row[0] in weighted] for rows in (twin, original)), strict=True):
        assert (mine[:3], mine[4:7]) == (theirs[:3], theirs[4:7])
    # A folded BatchNorm leaves one bias per filter. Convolutions have one anyway in TFLite, and mostly in the original.
    kernels = {row[1]: row[3] - (row[2][-1] if row[7] else 0) for row in twin if row[0] == "Conv2D"}
    biases = sum(row[2][-1] for row in twin if row[0] == "Conv2D")
    deployed = sum(kernels.values()) + biases + sum(row[3] for row in twin if row[0] == "Dense")
    assert deployed == PUBLISHED[name][0] - 4 * 250 + more_biases


def test_edge_twins_have_batch_norm_after_the_convolutions_that_had_lrn():
    for name in ("tiny_resnet_edge", "tiny_googlenet_edge"):
        model = MODELS[name].build()
        for layer in model.layers:
            if layer.name.endswith("_bn"):
                source = layer.input._keras_history.operation
                assert type(source).__name__ == "Conv2D" and not source.use_bias
                assert source.activation.__name__ == "linear"


def test_wrn_16_2():
    rows = described("wrn_16_2")
    convolutions = [(row[2], row[4], row[5]) for row in rows if row[0] == "Conv2D" and "skip" not in row[1]]
    expected = [((28, 28, 16), (3, 3), (1, 1))]
    for filters, size, stride in ((32, 28, 1), (64, 14, 2), (128, 7, 2)):
        expected += [((size, size, filters), (3, 3), (stride, stride))] + [((size, size, filters), (3, 3), (1, 1))] * 3
    assert convolutions == expected
    assert [(row[2], row[5]) for row in rows if "skip" in row[1]] == [
        ((28, 28, 32), (1, 1)), ((14, 14, 64), (2, 2)), ((7, 7, 128), (2, 2)),
    ]  # fmt: skip
    assert kinds(rows)[-4:] == ["BatchNormalization", "ReLU", "GlobalAveragePooling2D", "Dense"]


@pytest.mark.parametrize("name", ["tiny_resnet", "tiny_googlenet"])
def test_dropout_rates_are_the_published_ones_by_default(name):
    rates = [layer.rate for layer in MODELS[name].build().layers if type(layer).__name__ == "Dropout"]
    assert rates == {"tiny_resnet": [0.25] * 3 + [0.5], "tiny_googlenet": [0.25] * 4 + [0.35]}[name]


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 40), st.integers(0, 8), st.floats(0.5, 3), st.floats(1e-4, 2), st.sampled_from([0.5, 0.75, 1.0]),
    st.integers(0, 999),
)  # fmt: skip
def test_lrn_is_tensorflows(channels, radius, bias, alpha, beta, seed):
    x = np.random.default_rng(seed).normal(0, 3, (2, 3, 2, channels)).astype(np.float32)
    expected = tf.nn.local_response_normalization(x, radius, bias, alpha, beta)
    layer = LocalResponseNormalization(radius, bias, alpha, beta)
    np.testing.assert_allclose(layer(x), expected, rtol=2e-5, atol=1e-6)


def test_lrn_defaults_and_serialisation():
    import keras

    x = np.random.default_rng(0).normal(0, 3, (1, 4, 4, 16)).astype(np.float32)
    np.testing.assert_allclose(LocalResponseNormalization()(x), tf.nn.local_response_normalization(x), rtol=1e-5)
    layer = LocalResponseNormalization(2, 1.5, 0.3, 0.75, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.radius, again.bias, again.alpha, again.beta, again.name) == (2, 1.5, 0.3, 0.75, "mine")
