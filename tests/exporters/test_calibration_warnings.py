"""Calibration images that cannot be right are said, and good ones are not."""

import numpy as np
import pytest
from support.small_model import CONTRACT as SMALL

from fmnist_edge.errors import InputError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.calibration_warnings import calibration_warnings
from fmnist_edge.exporters.first_layer import first_layer_warning
from fmnist_edge.runtime import Contract, Preprocessing

SHAPE = (12, 12, 3)
CONTRACT = Contract(SHAPE, "logits", tuple("abc"))
rng = np.random.default_rng(0)
# Blobs, darker than light: mean 0.27 of white, so that the inverted ones differ.
IMAGES = (np.kron(rng.random((60, 4, 4, 3)) ** 2.5, np.ones((1, 3, 3, 1))) * 255).astype(np.uint8)
UNIT = (IMAGES / np.float32(255)).astype(np.float32)


def trained(values, first=None, filters=8):
    """A model whose BatchNorm behind the first convolution has seen `values`, float32 (n, *SHAPE)."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(filters, 3, name="conv")(inputs if first is None else first(inputs))
    outputs = keras.Model(inputs, x)(values)
    x = layers.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    seen = np.asarray(outputs)
    model.get_layer("norm").moving_mean.assign(seen.mean((0, 1, 2)))
    model.get_layer("norm").moving_variance.assign(seen.var((0, 1, 2)))
    return model


@pytest.fixture(scope="module")
def model():
    """Trained on 0..1."""
    return trained(UNIT)


def warnings_for(model, images, contract=CONTRACT):
    return calibration_warnings(Calibration(images, "mine"), contract, model)


def test_good_images_are_not_doubted(model):
    assert warnings_for(model, IMAGES) == warnings_for(model, UNIT) == warnings_for(model, IMAGES[:10]) == []


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:1], "calibration (mine): 1 image, whose values alone set the range of every layer; give some hundred"),
        (IMAGES[[3] * 50], "all 50 images are the same"),
        (IMAGES[:5], "5 images for layers of up to 8 channels: the next image will leave the range of about 3 of these "
         "channels; give at least 10 images"),
        (IMAGES[[0, 1] * 20], "2 different images for layers of up to 8 channels"),
        (np.arange(0, 240, 6, dtype=np.uint8)[:, None, None, None] + np.zeros(SHAPE, np.uint8),
         "40 of 40 images are of one colour"),
        ((IMAGES / 255).round().astype(np.uint8), "uint8 values up to 1, where white is 255: they were divided by 255"),
        (UNIT / 255, "where white is 1: they were divided by 255 before"),
        (UNIT / 255, "times 255, they would fit: they were divided by 255 before"),
        (255 - IMAGES, "inverted, they would fit"),
        (rng.integers(0, 2, IMAGES.shape, dtype=np.uint8) * 255, "unlike the model's training data: at 'norm'"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_right(model, images, message):
    found = warnings_for(model, images)
    assert any(message in line for line in found), found
    assert all("\n" not in line and line.startswith("calibration (mine): ") for line in found)


def test_some_black_frames_are_no_reason_to_warn(model):
    images = IMAGES.copy()
    images[::4] = 0
    assert not [line for line in warnings_for(model, images) if "one colour" in line]


@pytest.mark.parametrize("filters", [300, 3000])
def test_more_channels_need_more_images(filters):
    import keras

    wide = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(filters, 1), keras.layers.Flatten()])
    needed = {300: 30, 3000: 100}[filters]
    many = np.concatenate([IMAGES, 255 - IMAGES])
    assert f"give at least {needed} images" in warnings_for(wide, many[: needed - 1])[0]
    assert warnings_for(wide, many[:needed]) == []


class TestUnits:
    """The contract makes the unit; a model that was trained on another one is seen at its first BatchNorm."""

    @pytest.mark.parametrize(
        ("values", "preprocessing", "remedy"),
        [
            (UNIT * 2 - 1, Preprocessing(), "pixels / 127.5 - 1 (-1 to 1) would fit: export with --preprocess tf"),
            (UNIT * 2 - 1, Preprocessing(1.0), "pixels / 127.5 - 1 (-1 to 1) would fit"),
            (UNIT * 255, Preprocessing(), "pixels 0-255 as they are would fit: export with --preprocess 0..255"),
            (UNIT, Preprocessing(1.0), "pixels / 255 (0 to 1) would fit"),
            ((UNIT - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), Preprocessing(), "--preprocess imagenet"),
            (UNIT[..., ::-1] * 255 - (103.939, 116.779, 123.68), Preprocessing(), "--preprocess caffe"),
        ],
    )
    def test_the_unit_that_would_fit_is_named(self, values, preprocessing, remedy):
        contract = Contract(SHAPE, "logits", tuple("abc"), preprocessing)
        (found,) = warnings_for(trained(values.astype(np.float32)), IMAGES, contract)
        assert remedy in found
        right = Contract(SHAPE, "logits", tuple("abc"), Preprocessing(1 / 127.5, 1.0))
        assert "-1 to 1" not in remedy or warnings_for(trained((UNIT * 2 - 1).astype("f")), IMAGES, right) == []

    def test_zeros_and_ones_are_meant_with_a_scale_of_1(self):
        masks = (IMAGES > 60).astype(np.uint8)
        contract = Contract(SHAPE, "logits", tuple("abc"), Preprocessing(1.0))
        assert warnings_for(trained(masks.astype("f")), masks, contract) == []

    def test_zeros_and_ones_are_wrong_for_a_model_that_scales_itself(self):
        import keras

        own = trained(UNIT * 255, keras.layers.Rescaling(1 / 255))
        contract = Contract(SHAPE, "logits", tuple("abc"), Preprocessing(1.0))
        assert warnings_for(own, IMAGES, contract) == []
        assert "they were divided by 255 before" in warnings_for(own, (IMAGES > 60).astype(np.uint8), contract)[0]

    def test_a_normalization_of_other_images(self):
        import keras

        layer = keras.layers.Normalization()
        layer.adapt(UNIT)
        own = trained(UNIT, layer)
        assert warnings_for(own, IMAGES) == []
        assert "divided by 255 before" in warnings_for(own, (UNIT / 255).astype("f"))[0]

    def test_images_that_the_contract_refuses(self, model):
        for images, message in (
            (UNIT * 2 - 1, r"mine.*float image spans -1 to 0\.9.*give the pixels, before any scaling"),
            (UNIT * 255, r"mine.*float image spans 0 to 25.*pass uint8.*astype\('uint8'\) makes them so"),
        ):
            with pytest.raises(InputError, match=message) as error:
                warnings_for(model, images)
            assert "\n" not in str(error.value)


class TestNoFalseAlarm:
    def test_a_batch_norm_that_was_never_trained(self):
        import keras

        layers = [keras.Input(SHAPE), keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()]
        assert warnings_for(keras.Sequential([*layers, keras.layers.Flatten()]), IMAGES) == []

    def test_one_image_is_not_compared_as_strictly_as_many(self, model):
        assert all(len(warnings_for(model, IMAGES[[index]])) == 1 for index in range(5))

    @pytest.mark.parametrize("name", ["tiny_resnet_edge", "tiny_googlenet_edge"])
    def test_the_zoo(self, name):
        from fmnist_edge import checkpoints
        from fmnist_edge.data import fashion_mnist

        contract = Contract((28, 28, 1), "logits", fashion_mnist.LABELS)
        zoo, images = checkpoints.load(name), fashion_mnist.calibration_images()
        assert calibration_warnings(Calibration(images, "Fashion-MNIST"), contract, zoo.model) == []
        train = fashion_mnist.load("train")
        for label in (0, 5, 7):  # 7 is the least like the others
            of_one_class = train.images[train.labels == label][:50]
            assert first_layer_warning(zoo.model, contract, of_one_class, "one class") is None
        assert "inverted, they would fit" in str(first_layer_warning(zoo.model, contract, 255 - images, "inverted"))

    def test_a_model_without_statistics(self):
        import keras

        plain = keras.Sequential([keras.Input(SMALL.input_shape), keras.layers.Conv2D(4, 3), keras.layers.Flatten()])
        noise = rng.integers(0, 256, (20, *SMALL.input_shape), dtype=np.uint8)
        assert warnings_for(plain, noise, SMALL) == []
