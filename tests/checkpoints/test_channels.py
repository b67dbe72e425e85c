"""channels_first models answer as their channels_last twins, with transposed weights and images."""

import keras
import numpy as np
import pytest
from keras import layers
from support.keras_models import answers, distance, randomised

from fmnist_edge import checkpoints
from fmnist_edge.errors import CheckpointError

FIRST = {"data_format": "channels_first"}
IMAGES = np.random.default_rng(2).random((3, 8, 8, 2), np.float32)


def twin(first):
    """The model with channels first, or one of the same weights that says what it does with channels last."""
    form = FIRST if first else {}
    axis = 1 if first else -1
    inputs = keras.Input((2, 8, 8) if first else (8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", **form)(inputs)
    norm = layers.BatchNormalization(axis=axis)
    x = layers.ReLU()(norm(x))
    x = layers.Add()([x, norm(layers.Conv2D(4, 1, **form)(x))])
    pooled = layers.MaxPooling2D(2, **form)(x)
    x = layers.Concatenate(axis=axis)([pooled, layers.AveragePooling2D(2, **form)(x)])
    x = layers.SeparableConv2D(4, 3, padding="same", **form)(layers.ZeroPadding2D(1, **form)(x))
    x = layers.Softmax(axis=axis)(layers.SpatialDropout2D(0.1, **form)(x))
    x = layers.UpSampling2D(2, **form)(layers.Conv2DTranspose(3, 2, **form)(x))
    if not first:
        x = layers.Permute((3, 1, 2))(x)  # Reshape reads a channels_first tensor as it is
    x = layers.Dense(6, activation="relu")(layers.Reshape((-1,))(x))
    return keras.Model(inputs, layers.Dense(5)(x))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_channels_first_model_answers_with_channels_last(suffix, tmp_path):
    model, last = twin(True), randomised(twin(False))
    for variable, value in zip(model.weights, last.get_weights(), strict=True):
        variable.assign(value)
    model.save(tmp_path / f"first{suffix}")
    loaded = checkpoints.load(tmp_path / f"first{suffix}")
    assert loaded.model.input_shape == (None, 8, 8, 2)
    assert distance(answers(loaded.model, IMAGES), answers(last, IMAGES)) <= 1e-5


def test_flatten_and_global_pooling_read_as_keras_says(tmp_path):
    def made(form, shape):
        image = keras.Input(shape)
        flat = layers.Flatten(**form)(layers.Conv2D(3, 3, **form)(image))
        means = layers.GlobalAveragePooling2D(**form)(image)
        return keras.Model(image, layers.Dense(4)(layers.Concatenate()([flat, means])))

    first, last = made(FIRST, (2, 8, 8)), randomised(made({}, (8, 8, 2)))
    first.set_weights(last.get_weights())
    first.save(tmp_path / "flat.keras")
    loaded = checkpoints.load(tmp_path / "flat.keras")
    assert distance(answers(loaded.model, IMAGES), answers(last, IMAGES)) <= 1e-5


def test_layers_whose_channels_are_elsewhere_are_refused(tmp_path):
    image = keras.Input((3, 2, 8, 8))
    x = layers.ConvLSTM2D(2, 3, **FIRST)(image)
    keras.Model(image, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "over_time.keras")
    with pytest.raises(CheckpointError, match="'conv_lstm2d', a ConvLSTM2D, is channels_first; build the model with"):
        checkpoints.load(tmp_path / "over_time.keras")
