"""Export models that are not in the zoo in every precision: colour images, other sizes, other layers and heads."""

import functools

import numpy as np
import pytest
from support.engines import load_with_one_thread
from support.installed import RUNNABLE, exportable
from support.mobilenet import first_blocks

from fmnist_edge import cli
from fmnist_edge.runtime.same_file import same_file

pytestmark = pytest.mark.slow  # exports in every precision


def sequential_rgb():
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(7, activation="softmax"),
        ]
    )


def separable_not_square():
    import keras
    from keras import layers

    inputs = keras.Input((40, 28, 3))
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    for filters in (8, 16):
        x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU(max_value=6.0)(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def residual_grey():
    import keras
    from keras import layers

    inputs = keras.Input((20, 20, 1))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    y = layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    x = layers.AveragePooling2D(2)(layers.Add()([x, y]))
    x = layers.Concatenate()([x, layers.Conv2D(4, 1, activation="swish")(x)])
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling2D()(x)))


def mobilenet():
    import keras

    return keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, weights=None, classes=5, dropout=0.0)


def mobile_blocks():
    return first_blocks(5, "softmax")


# Model -> epochs of training.
MAKERS = {sequential_rgb: 3, separable_not_square: 12, residual_grey: 12, mobile_blocks: 6, mobilenet: 3}
# Each is exported in every precision, which takes a quarter of a minute.
OWN = [pytest.param(maker, marks=[pytest.mark.long] if maker is mobilenet else []) for maker in MAKERS]


@pytest.fixture(scope="module", params=OWN, ids=lambda maker: maker.__name__)
def own(request, tmp_path_factory):
    """(folder with model.keras and calibration.npy, images uint8, the model's scores on them); trained for seconds."""
    import keras

    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp(request.param.__name__)
    model = request.param()
    images, labels = patterns(700, model.input_shape[1:], model.output_shape[-1])
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8
    logits = getattr(model.layers[-1], "activation", None) is keras.activations.linear
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(images[:500] / np.float32(255), labels[:500], batch_size=25, epochs=MAKERS[request.param], verbose=0)
    model.save(folder / "model.keras")
    np.save(folder / "calibration.npy", images[:100])
    expected = model.predict(images[500:] / np.float32(255), verbose=0)
    assert (expected.argmax(1) == labels[500:]).mean() > 0.9, "the test needs a model that has learnt something"
    return folder, images[500:], expected


def patterns(count, shape, classes):
    """Images uint8 (n, *shape) and their classes; an image is a noisy copy of its class's coarse pattern."""
    rng = np.random.default_rng(4)
    height, width, channels = shape
    coarse = rng.integers(40, 216, (classes, -(-height // 4), -(-width // 4), channels))
    clean = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    labels = rng.integers(0, classes, count)
    return np.clip(clean[labels] + rng.normal(0, 30, (count, *shape)), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def exported(own, tmp_path_factory):
    """format -> a folder with the model in all precisions of the format, exported by one command."""
    folder, out = own[0], tmp_path_factory.mktemp("exported")

    @functools.cache
    def export(format):
        arguments = ["--format", format, "--out", str(out / format), "--calibration", str(folder / "calibration.npy")]
        assert cli.main(["export", str(folder / "model.keras"), *arguments, "--precision", "all"]) == 0
        return out / format / "model"

    return export


@pytest.mark.parametrize("precision", exportable(item for item in RUNNABLE if not item.stock))
def test_every_precision_agrees_with_the_model(own, exported, precision):
    _, images, expected = own
    path = exported(precision.format) / precision.filename
    with load_with_one_thread(same_file(path) or path) as classify:
        scores = classify.scores(images)
    assert scores.shape == expected.shape
    agreement = (scores.argmax(1) == expected.argmax(1)).mean()
    assert agreement >= (0.995 if precision.activations == "float32" else 0.97)


@pytest.mark.slow
@pytest.mark.parametrize("own", [sequential_rgb, residual_grey], indirect=True, ids=lambda maker: maker.__name__)
def test_calibration_from_a_folder_of_images(own, tmp_path):
    from PIL import Image

    folder = own[0]
    pictures = tmp_path / "pictures"
    (pictures / "more").mkdir(parents=True)
    array = np.load(folder / "calibration.npy")[:20]
    for index, image in enumerate(array):
        name = f"more/{index:02}.png" if index < 10 else f"{index:02}.PNG"
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(pictures / name)
    (pictures / "notes.txt").write_text("not an image")
    np.save(tmp_path / "same.npy", np.concatenate([array[10:], array[:10]]))  # in path order: capitals and digits first
    for source, out in ((pictures, "a"), (tmp_path / "same.npy", "b")):
        arguments = ["--format", "tflite", "--precision", "int8", "--calibration", str(source)]
        assert cli.main(["export", str(folder / "model.keras"), *arguments, "--out", str(tmp_path / out)]) == 0
    one, other = (tmp_path / out / "model" / "int8.tflite" for out in "ab")
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_folder_without_images_is_refused(own, capsys, tmp_path):
    arguments = ["--precision", "int8", "--format", "tflite", "--calibration", str(tmp_path)]
    assert cli.main(["export", str(own[0] / "model.keras"), *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "no .png, .jpg, .jpeg file in it" in capsys.readouterr().err
