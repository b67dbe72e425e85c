"""The contract of a model that scales its input itself is read from its first layers."""

from types import SimpleNamespace

import numpy as np
import pytest

from fmnist_edge.exporters.contracts import contradiction, preprocessing_for
from fmnist_edge.exporters.model_input import UNITS, model_input
from fmnist_edge.runtime import Preprocessing

SHAPE = (16, 16, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (50, *SHAPE)).astype("float32") * np.linspace(0.2, 1, 3, dtype="f")
MEAN, DEVIATION = (np.array(item, np.float32) for item in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def model_of(*steps):
    import keras

    inputs = x = keras.Input(SHAPE)
    for step in steps:
        x = step(x)
    x = keras.layers.Conv2D(3, 3, name="conv")(x)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def own(model):
    return SimpleNamespace(model=model, shown_name=lambda name: name)


def adapted(images, axis=-1):
    """What adapt() makes, in less time."""
    import keras

    kept = {-1: (3,), None: ()}.get(axis, axis)
    over = tuple(index for index in range(4) if index not in kept)
    return keras.layers.Normalization(axis, mean=images.mean(over), variance=images.var(over))


def really_adapted(images):
    import keras

    layer = keras.layers.Normalization()
    layer.adapt(images)
    return layer


def batch_norm(mean, variance):
    """A BatchNorm that was trained on images of this mean and variance."""
    import keras

    layer = keras.layers.BatchNormalization()
    layer.build((None, *SHAPE))
    layer.set_weights([np.ones(3), np.zeros(3), np.full(3, mean), np.full(3, variance)])
    return layer


def nested(*steps):
    import keras

    return keras.Sequential([keras.Input(SHAPE), *steps])


def cases():
    import keras

    layers, ops = keras.layers, keras.ops
    rescaling, norm = layers.Rescaling, layers.Normalization
    inside = keras.Input(SHAPE)
    return {
        "Rescaling(1/255)": ("pixels", [rescaling(1 / 255)]),
        "Rescaling(1/256)": ("pixels", [rescaling(1 / 256)]),
        "Rescaling(1/127.5, -1)": ("pixels", [rescaling(1 / 127.5, offset=-1.0)]),
        "Rescaling(1/128, -1)": ("pixels", [rescaling(1 / 128, offset=-1.0)]),
        "Rescaling by channel": ("pixels", [rescaling([1 / 58, 1 / 57, 1 / 57], offset=[-2.1, -2.0, -1.8])]),
        "Rescaling of 0..1": ("unit", [rescaling(2.0, offset=-1.0)]),
        "Rescaling of -1..1": ("signed", [rescaling(0.5, offset=0.5)]),
        "Rescaling of -1..1 to pixels": ("signed", [rescaling(127.5, offset=127.5)]),
        "0..1 made pixels first": ("unit", [rescaling(255.0), rescaling(1 / 255)]),
        "Normalization of pixels": ("pixels", [really_adapted(PIXELS)]),
        "Normalization of each pixel": ("pixels", [adapted(PIXELS, axis=(1, 2, 3))]),
        "Normalization of all pixels": ("pixels", [adapted(PIXELS, axis=None)]),
        "Normalization of 0..1": ("unit", [adapted(PIXELS / 255)]),
        "Normalization of -1..1": ("signed", [adapted(PIXELS / 127.5 - 1)]),
        "ImageNet's of 0..1": ("unit", [norm(mean=MEAN, variance=DEVIATION**2)]),
        "ImageNet's of pixels": ("pixels", [norm(mean=MEAN * 255, variance=(DEVIATION * 255) ** 2)]),
        "Rescaling, Normalization": ("pixels", [rescaling(1 / 255), adapted(PIXELS / 255)]),
        "BatchNorm of pixels": ("pixels", [batch_norm(80, 4000)]),
        "BatchNorm of 0..1": ("unit", [batch_norm(0.3, 0.1)]),
        "BatchNorm of 0..1, trained shortly": (None, [batch_norm(0.1, 0.7)]),
        "BatchNorm, not trained": (None, [batch_norm(0, 1)]),
        "x / 255": ("pixels", [lambda x: x / 255.0]),
        "x * (1 / 255)": ("pixels", [lambda x: (1 / 255) * x]),
        "(x - 127.5) / 127.5": ("pixels", [lambda x: (x - 127.5) / 127.5]),
        "1 - x / 255": ("pixels", [lambda x: 1.0 - x / 255.0]),
        "x * 2 - 1": ("unit", [lambda x: x * 2.0 - 1.0]),
        "x - 0.5": ("unit", [lambda x: x - 0.5]),
        "caffe": ("pixels", [lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")]),
        "torch": ("pixels", [lambda x: (x / 255.0 - MEAN) / DEVIATION]),
        "torch of 0..1": ("unit", [lambda x: (x - MEAN) / DEVIATION]),
        "behind Resizing and augmentation": (
            "pixels",
            [layers.RandomFlip(), layers.RandomRotation(0.1), layers.Resizing(8, 8), rescaling(1 / 255)],
        ),
        "behind a crop": ("pixels", [layers.CenterCrop(8, 8), rescaling(1 / 255)]),
        "behind a Reshape": ("pixels", [layers.Reshape((256, 3)), rescaling(1 / 255), layers.Reshape(SHAPE)]),
        "behind a cast": ("pixels", [lambda x: ops.cast(x, "float32"), rescaling(1 / 255)]),
        "in a Sequential": ("pixels", [nested(layers.RandomFlip(), rescaling(1 / 255))]),
        "in a model": ("pixels", [keras.Model(inside, layers.Conv2D(3, 3)(rescaling(1 / 255)(inside)))]),
        "in a Pipeline": ("pixels", [layers.Pipeline([layers.RandomFlip(), rescaling(1 / 255)])]),
        "grey made colour": ("pixels", [lambda x: layers.Concatenate()([x[..., :1]] * 3), rescaling(1 / 255)]),
        "none": (None, []),
        "Rescaling(1)": (None, [rescaling(1.0)]),
        "behind a convolution": (None, [layers.Conv2D(3, 1), rescaling(1 / 255)]),
        "a branch": (None, [lambda x: rescaling(1 / 255)(x) + layers.Conv2D(3, 1)(x)]),
        "unclear": (None, [rescaling(0.5)]),
    }


def test_the_unit_of_the_input():
    """One test: to make Keras layers is dear before Keras is imported, and cheap afterwards."""
    wrong = {}
    for name, (unit, steps) in cases().items():
        found = model_input(model_of(*steps)).unit
        if found != unit:
            wrong[name] = found
    assert not wrong


@pytest.mark.parametrize(("name", "unit"), [("MobileNetV3Small", "pixels"), ("EfficientNetV2B0", "pixels")])
@pytest.mark.slow
def test_applications_with_and_without_preprocessing(name, unit):
    import keras

    make = getattr(keras.applications, name)
    settings = {"weights": None, "input_shape": (64, 64, 3), "classes": 5}
    assert model_input(make(**settings)).unit == unit
    assert model_input(make(**settings, include_preprocessing=False)).unit is None


class TestDecision:
    def test_the_model_decides(self):
        import keras

        decision = preprocessing_for(own(model_of(keras.layers.Rescaling(1 / 255, name="to unit"))))
        assert (decision.preprocessing, decision.source) == (Preprocessing(1.0), "model")
        assert decision.reason == (
            "input is pixels 0-255 as they are: the model scales it itself by Rescaling 'to unit'"
        )
        assert decision.warnings == ()

    def test_a_normalization_is_judged_by_its_values(self):
        for images, text in (
            (
                PIXELS,
                "pixels 0-255 as they are: the model scales it itself by Normalization 'norm' (mean 76.3, standard ",
            ),
            (PIXELS / 255, "pixels / 255 (0 to 1): the model scales it itself by Normalization 'norm' (mean 0.299, "),
        ):
            layer = adapted(images)
            layer.name = "norm"
            assert text in preprocessing_for(own(model_of(layer))).reason

    def test_pixels_by_255_are_the_default(self):
        decision = preprocessing_for(own(model_of()))
        assert (decision.preprocessing, decision.source, decision.warnings) == (Preprocessing(), "default", ())

    def test_a_step_that_tells_nothing_is_doubted(self):
        import keras

        decision = preprocessing_for(own(model_of(keras.layers.Rescaling(0.5, name="half"))))
        assert (decision.preprocessing, decision.source) == (Preprocessing(), "default")
        assert "Rescaling 'half', which does not show" in decision.warnings[0]

    @pytest.mark.parametrize(
        ("given", "expected", "warned"),
        [
            ({"scale": 1.0}, Preprocessing(1.0), False),
            ({"scale": 0.99}, Preprocessing(0.99), False),
            ({"scale": 1 / 255}, Preprocessing(), True),
            ({"mean": 0.5}, Preprocessing(mean=0.5), True),
        ],
    )
    def test_options_win_and_are_doubted_where_the_model_says_otherwise(self, given, expected, warned):
        import keras

        decision = preprocessing_for(own(model_of(keras.layers.Rescaling(1 / 255, name="first"))), **given)
        assert (decision.preprocessing, decision.source) == (expected, "options")
        assert len(decision.warnings) == warned
        assert not warned or "of pixels 0 to 255, but the model takes pixels 0-255 as they are" in decision.warnings[0]

    def test_options_for_a_model_that_does_not_scale_are_not_doubted(self):
        assert preprocessing_for(own(model_of()), scale=1 / 127.5, mean=1.0).warnings == ()
        assert contradiction(UNITS["signed"].preprocessing, own(model_of())) is None
