"""Small untrained models with every op that the numpy engine has, as `.tflite` bytes in every precision."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

SHAPE = (14, 14, 8)
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8_only", "int16x8")
# int16 SOFTMAX is not among the engine's ops, and no artifact of the zoo has it.
CASES = [(model, precision) for model in ("windows", "branches") for precision in PRECISIONS
         if (model, precision) != ("windows", "int16x8")] + [("activations", "int8_only")]  # fmt: skip


def images(count: int = 24, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(8).normal(0, 1, (count, *shape)).astype(np.float32)


def windows() -> Any:
    """Strides, dilation, padding, depthwise convolutions with one and two outputs a channel; ReLU6; probabilities."""
    import keras
    from keras import layers

    lively = keras.initializers.RandomNormal(stddev=2.0)  # answers that hardly differ would compare nothing
    image = keras.Input(SHAPE, batch_size=1)
    x = layers.DepthwiseConv2D(3, padding="same", strides=2, activation="relu6")(image)
    x = layers.Conv2D(12, 3, dilation_rate=2, padding="same")(x)
    x = layers.AveragePooling2D(3, strides=2, padding="same")(x)
    x = layers.ZeroPadding2D(((1, 0), (2, 1)))(x)
    x = layers.Activation("sigmoid")(layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer=lively)(x))
    x = layers.Dense(7, activation="softmax", kernel_initializer=lively)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


def branches() -> Any:
    """Concatenation, broadcast multiplication, addition, both poolings, dense layers of both signs."""
    import keras
    from keras import layers

    image = keras.Input(SHAPE, batch_size=1)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)  # 3 x 3 of 16 channels: winograd.h of AVX2 too
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(3, strides=2, padding="same")(x))
    x = layers.Concatenate()([x, layers.Conv2D(4, 1)(x)])
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Add()([layers.ReLU()(layers.Multiply()([x, mean])), layers.Activation("sigmoid")(x)])
    x = layers.Dense(20, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(7)(x))


def activations() -> Any:
    """Activations and sums that the engine has in int8 only, each with scales of its own."""
    import keras
    from keras import layers

    image = keras.Input(SHAPE, batch_size=1)
    slopes = keras.initializers.RandomNormal(0.3, 0.2)
    x = layers.Conv2D(6, 3, strides=2)(image)
    a = layers.Subtract()([layers.LeakyReLU()(x), layers.PReLU(slopes, shared_axes=[1, 2])(x)])
    b = layers.Maximum()([layers.Activation("gelu")(x), layers.Activation("hard_silu")(x)])
    c = layers.Minimum()([layers.Activation("silu")(x), layers.ReLU(6.0)(layers.MaxPooling2D(1)(x))])
    d = layers.Multiply()([layers.Activation("tanh")(x), keras.ops.exp(layers.Activation("tanh")(x))])
    x = layers.Conv2D(5, 3)(layers.Concatenate()([layers.Add()([a, b]), layers.Add()([c, d])]))
    lively = keras.initializers.RandomNormal(stddev=2.0)
    return keras.Model(image, layers.Dense(7, kernel_initializer=lively)(layers.Flatten()(x)))


def photos() -> Any:
    """A larger image: 3 x 3 convolutions in several parts, pooling of whole vectors of channels."""
    import keras
    from keras import layers

    lively = keras.initializers.RandomNormal(stddev=2.0)
    image = keras.Input((40, 40, 3), batch_size=1)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, padding="same", activation="relu")(x))
    x = layers.AveragePooling2D(2)(layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 1)(x))
    return keras.Model(image, layers.Dense(7, kernel_initializer=lively)(x))


def converted(name: str, precision: str, ends: str = "int8") -> bytes:
    """`ends`: the type of input and output of int8_only."""
    import keras
    import tensorflow as tf

    from fmnist_edge.exporters.exporter import quiet

    keras.utils.set_random_seed(9)
    builders = {"windows": windows, "branches": branches, "activations": activations, "photos": photos}
    model = builders[name]()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision.startswith("int"):
        converter.representative_dataset = lambda: ([image[None]] for image in images(shape=model.input_shape[1:]))
        sets = tf.lite.OpsSet
        wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8 if precision == "int8_only" else wide]
        converter.inference_input_type = tf.as_dtype(ends) if precision == "int8_only" else tf.int16
        converter.inference_output_type = converter.inference_input_type
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own
        return converter.convert()
