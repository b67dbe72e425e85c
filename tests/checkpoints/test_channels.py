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


def head(x, first):
    """Reads values in channels_last order."""
    rank = len(x.shape)
    x = layers.Permute((*range(2, rank), 1))(x) if first and rank > 2 else x
    return layers.Dense(3)(layers.Reshape((-1,))(x))


def lines(x, axis, form):
    x = layers.SeparableConv1D(4, 3, **form)(layers.ZeroPadding1D(2, **form)(layers.Conv1D(3, 3, **form)(x)))
    x = layers.BatchNormalization(axis=axis)(layers.DepthwiseConv1D(3, **form)(x))
    x = layers.Conv1DTranspose(3, 2, **form)(layers.MaxPooling1D(2, **form)(x))
    return layers.AveragePooling1D(2, **form)(x)


def volumes(x, axis, form):
    x = layers.Conv3D(3, 2, padding="same", **form)(layers.UpSampling3D((1, 2, 1), **form)(x))
    x = layers.BatchNormalization(axis=axis)(layers.ZeroPadding3D((1, 2, 0), **form)(x))
    x = layers.Conv3DTranspose(2, 2, **form)(layers.Cropping3D(((1, 0), (0, 2), (1, 1)), **form)(x))
    return layers.GlobalMaxPooling3D(**form)(
        layers.SpatialDropout3D(0.1, **form)(layers.AveragePooling3D(2, **form)(x))
    )


def squeezed(x, axis, form):
    """Squeeze and excitation, and norms along channels."""
    x = layers.RMSNormalization(axis=axis)(layers.LayerNormalization(axis=axis)(layers.Conv2D(4, 3, **form)(x)))
    weights = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(**form)(x))
    return layers.Multiply()([x, layers.Reshape((4, 1, 1) if axis == 1 else (1, 1, 4))(weights)])


def sized(x, axis, form):
    x = layers.Cropping2D(((1, 0), (0, 1)), **form)(layers.Resizing(9, 7, **form)(layers.Rescaling(0.5)(x)))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, **form)(layers.CenterCrop(6, 5, **form)(x))
    return layers.GlobalAveragePooling2D(keepdims=True, **form)(layers.UnitNormalization(axis=axis)(x))


def operations(x, axis, form):
    """Operations: the kernel, a constant whose sizes are all alike, stays as it is."""
    kernel = np.random.default_rng(5).random((2, 2, 2, 2), np.float32)
    x = keras.ops.conv(x, kernel, data_format=form.get("data_format", "channels_last"))
    return keras.ops.concatenate([keras.ops.max_pool(x, 2, **form), keras.ops.average_pool(x, 2, **form)], axis=axis)


BUILDS = {"lines": (12, 2), "volumes": (6, 6, 6, 2), "squeezed": (8, 8, 2), "sized": (8, 8, 2), "operations": (8, 8, 2)}


@pytest.mark.parametrize("name", BUILDS)
def test_whatever_has_a_data_format_answers_as_with_channels_last(name, tmp_path):
    shape, build = BUILDS[name], globals()[name]

    def made(first):
        inputs = keras.Input((shape[-1], *shape[:-1]) if first else shape)
        return keras.Model(inputs, head(build(inputs, 1 if first else -1, FIRST if first else {}), first))

    first, last = made(True), randomised(made(False))
    first.set_weights(last.get_weights())
    first.save(tmp_path / "first.keras")
    loaded = checkpoints.load(tmp_path / "first.keras")
    images = np.random.default_rng(2).random((3, *shape), np.float32)
    assert loaded.model.input_shape == (None, *shape)
    assert distance(answers(loaded.model, images), answers(last, images)) <= 1e-5


def test_weights_that_have_the_images_axes_stay_as_the_file_has_them(tmp_path):
    def made(first):
        inputs = keras.Input((2, 8, 8) if first else (8, 8, 2))
        norm = layers.PReLU(shared_axes=[2, 3] if first else [1, 2])
        return keras.Model(inputs, head(norm(layers.Conv2D(3, 3, **(FIRST if first else {}))(inputs)), first))

    first, last = made(True), randomised(made(False))
    values = last.get_weights()
    first.set_weights([value.transpose(2, 0, 1) if value.shape == (1, 1, 3) else value for value in values])
    first.save(tmp_path / "prelu.h5")
    loaded = checkpoints.load(tmp_path / "prelu.h5")
    assert distance(answers(loaded.model, IMAGES), answers(last, IMAGES)) <= 1e-5


def test_softmax_without_an_axis_reads_along_the_columns_of_channels_first(tmp_path):
    def made(first):
        inputs = keras.Input((2, 8, 8) if first else (8, 8, 2))
        x = layers.Conv2D(3, 3, **(FIRST if first else {}))(inputs)
        x = layers.Activation("softmax")(x) if first else layers.Softmax(axis=2)(x)
        return keras.Model(inputs, head(x, first))

    first, last = made(True), randomised(made(False))
    first.set_weights(last.get_weights())
    first.save(tmp_path / "columns.keras")
    loaded = checkpoints.load(tmp_path / "columns.keras")
    assert distance(answers(loaded.model, IMAGES), answers(last, IMAGES)) <= 1e-5

    image = keras.Input((2, 8, 8))
    inside = layers.Conv2D(3, 3, activation="softmax", name="conv", **FIRST)(image)
    keras.Model(image, head(inside, True)).save(tmp_path / "inside.keras")
    with pytest.raises(CheckpointError, match="layer 'conv' is channels_first and ends in 'softmax'"):
        checkpoints.load(tmp_path / "inside.keras")


def test_layers_whose_channels_are_elsewhere_are_refused(tmp_path):
    image = keras.Input((3, 2, 8, 8))
    x = layers.ConvLSTM2D(2, 3, name="steps", **FIRST)(image)
    keras.Model(image, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "over_time.keras")
    with pytest.raises(CheckpointError, match="'steps', a ConvLSTM2D, is channels_first; build the model with"):
        checkpoints.load(tmp_path / "over_time.keras")
