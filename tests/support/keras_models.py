"""Small models of every kind that files hold, written alike for Keras 2 (tf-keras) and Keras 3: `kinds(k)[name]()`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(1).random((6, *SHAPE)).astype("float32")
Make = Callable[[], Any]


def randomised(model: Any) -> Any:
    """Random weights, so that two layers swapped never answer alike; what was adapted stays."""
    rng = np.random.default_rng(3)
    for variable in model.weights:
        leaf = variable.name.rpartition("/")[2].partition(":")[0]
        if "float" not in str(variable.dtype) or leaf in ("count", "mean", "variance"):
            continue
        shape = tuple(variable.shape)
        one = rng.uniform(0.2, 1.2, shape) if len(shape) == 1 else None
        variable.assign(rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1]) + 1), shape) if one is None else one)
    return model


def answers(model: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    return np.asarray(model(images, training=False)).astype("float64")


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference as a part of the expected answers' range."""
    return float(np.abs(found - expected).max() / (np.ptp(expected) or 1))


def keras_2() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tf_keras

    return tf_keras


def kinds(k: Any) -> dict[str, Make]:
    """What both versions of Keras can write; `k` is keras or tf_keras."""
    return {**nested_kinds(k), **layer_kinds(k), **type_kinds(k)}


def head(k: Any, x: Any) -> Any:
    return k.layers.Dense(5, name="out")(k.layers.GlobalAveragePooling2D()(x))


def body(k: Any, name: str, depth: int = 1) -> Any:
    inputs = x = k.Input(SHAPE)
    for step in range(depth):
        x = k.layers.Conv2D(3, 3, padding="same", name=f"{name}_conv{step}")(x)
        x = k.layers.BatchNormalization(name=f"{name}_norm{step}")(x)
    return k.Model(inputs, x, name=name)


def nested_kinds(k: Any) -> dict[str, Make]:
    layers = k.layers

    def model(build: Callable[[Any], Any]) -> Any:
        inputs = k.Input(SHAPE, name="image")
        return k.Model(inputs, head(k, build(inputs)))

    def partly_frozen() -> Any:
        base = body(k, "base", 3)
        base.layers[1].trainable = base.layers[4].trainable = False
        return model(lambda x: base(x, training=False))

    def frozen() -> Any:
        made = model(body(k, "base", 2))
        made.trainable = False
        return made

    def nested_twice() -> Any:
        inputs = k.Input(SHAPE)
        return model(k.Model(inputs, layers.ReLU()(body(k, "inner")(inputs)), name="middle"))

    def shared_twice() -> Any:
        base, inputs = body(k, "inner"), k.Input(SHAPE)
        twice = layers.Add()([base(inputs), base(layers.Conv2D(3, 1, name="before")(inputs))])
        middle = k.Model(inputs, twice, name="middle")
        return model(lambda x: layers.Concatenate()([middle(x), middle(layers.ReLU()(x))]))

    def shared_layer() -> Any:
        conv = layers.Conv2D(3, 3, padding="same")
        return model(lambda x: conv(conv(x)))

    def equal_names() -> Any:
        def part(name: str) -> Any:
            inputs = k.Input(SHAPE)
            return k.Model(inputs, layers.Conv2D(3, 3, padding="same", name="conv")(inputs), name=name)

        return model(lambda x: part("second")(part("first")(x)))

    return {
        "functional in functional": lambda: model(body(k, "base", 2)),
        "Sequential of functional": lambda: k.Sequential([body(k, "base"), layers.Flatten(), layers.Dense(5)]),
        "Sequential in functional": lambda: model(k.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization()])),
        "partly frozen base": partly_frozen,
        "frozen": frozen,
        "nested twice": nested_twice,
        "shared twice": shared_twice,
        "shared layer": shared_layer,
        "equal names": equal_names,
    }


def layer_kinds(k: Any) -> dict[str, Make]:
    layers = k.layers

    def chain(*steps: Any, dtype: str = "float32") -> Any:
        inputs = x = k.Input(SHAPE, dtype=dtype)
        for step in steps:
            x = step(x)
        return k.Model(inputs, x)

    def adapted() -> Any:
        normalization = layers.Normalization()
        normalization.adapt(IMAGES)
        return normalization

    def attention() -> Any:
        inputs = k.Input(SHAPE)
        x = layers.Reshape((16, 48))(inputs)
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]))
        return k.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))

    def recurrent() -> Any:
        return chain(
            layers.Reshape((16, 48)),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.RNN([layers.GRUCell(3), layers.LSTMCell(4)], return_sequences=True),
            layers.TimeDistributed(layers.Dense(3)),
            layers.GRU(5, recurrent_activation="hard_sigmoid"),
            layers.Dense(4, activation="hard_sigmoid"),
        )

    def over_time() -> Any:
        inner = k.Sequential([k.Input((4, 16, 3)), layers.Conv2D(3, 3), layers.Flatten()])
        rows = (layers.Reshape((4, 4, 16, 3)), layers.TimeDistributed(inner), layers.Flatten())
        return chain(*rows, layers.Dense(4))

    def many() -> Any:
        return chain(
            layers.SeparableConv2D(4, 3, activation="relu6"), layers.PReLU(shared_axes=[1, 2]),
            layers.DepthwiseConv2D(3, depth_multiplier=2), layers.Conv2DTranspose(3, 2, strides=2), layers.ELU(),
            layers.LeakyReLU(0.1), layers.ReLU(max_value=4, negative_slope=0.2, threshold=0.1),
            layers.ZeroPadding2D(((1, 0), (0, 1))), layers.Cropping2D(1), layers.UpSampling2D(2),
            layers.AveragePooling2D(2), layers.SpatialDropout2D(0.2), layers.GaussianNoise(0.1),
            layers.Permute((2, 1, 3)), layers.Resizing(8, 8), layers.CenterCrop(6, 6), layers.GroupNormalization(1),
            layers.LayerNormalization(axis=[1, 2, 3]), layers.Flatten(), layers.Dense(4), layers.Softmax(),
        )  # fmt: skip

    def augmentation() -> Any:
        steps = (layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomContrast(0.1))
        return chain(*steps, layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4))

    return {
        "adapted Normalization": lambda: chain(adapted(), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4)),
        "attention": attention,
        "recurrent": recurrent,
        "model over time": over_time,
        "many layers": many,
        "augmentation": augmentation,
    }


def type_kinds(k: Any) -> dict[str, Make]:
    layers = k.layers
    switch = k.mixed_precision.set_global_policy if hasattr(k, "mixed_precision") else k.config.set_dtype_policy

    def trained_in(policy: str) -> Make:
        def make() -> Any:
            switch(policy)
            try:
                inputs = k.Input(SHAPE)
                x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs)))
                return k.Model(inputs, layers.Dense(4, dtype="float32")(layers.Flatten()(x)))
            finally:
                switch("float32")

        return make

    def taking(dtype: str, *steps: Any) -> Any:
        inputs = x = k.Input(SHAPE, dtype=dtype)
        for step in (*steps, layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4)):
            x = step(x)
        return k.Model(inputs, x)

    return {
        **{name: trained_in(name) for name in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")},
        "uint8 input": lambda: taking("uint8", layers.Rescaling(1 / 255)),
        "float64 input": lambda: taking("float64"),
    }


def keras_2_kinds(k: Any) -> dict[str, Make]:
    """What Keras 2 alone writes: TensorFlow's functions as layers, its own classes and names."""
    import tensorflow as tf

    layers = k.layers

    def functions() -> Any:
        inputs = k.Input(SHAPE)
        x = tf.nn.relu(1.0 - (inputs * 2.0 - 1.0)) + 0.1
        x = tf.cast(tf.concat([x, inputs], axis=-1), "float32")[:, 1:, :, ::2]
        x = tf.transpose(tf.squeeze(tf.reduce_mean(x, axis=[1], keepdims=True), 1), [0, 2, 1])
        x = tf.sqrt(tf.clip_by_value(tf.reshape(x, [-1, 48]), 0.0, 1.0) + 1e-3)
        x = tf.pad(tf.stack(tf.split(x, 2, axis=1), axis=1), [[0, 0], [1, 1], [0, 0]])
        x = tf.tanh(tf.math.divide(x, 2.0) ** 2.0) / (1.0 + tf.abs(tf.maximum(x, 0.01) * tf.exp(-x)))
        return k.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))

    def image_functions() -> Any:
        inputs = k.Input(SHAPE)
        x = tf.nn.softmax(tf.nn.elu(tf.nn.leaky_relu(inputs - 0.5, alpha=0.3)), axis=-1)
        x = tf.nn.max_pool2d(tf.image.resize(x, (8, 8)), 2, 2, "VALID")
        x = tf.nn.gelu(tf.nn.swish(tf.nn.avg_pool2d(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")))
        x = tf.math.rsqrt(tf.nn.space_to_depth(tf.expand_dims(x, 1)[:, 0], 2) + 1.0)
        x = tf.nn.lrn(tf.tile(tf.nn.bias_add(x, tf.ones(12)), [1, 2, 1, 1]), depth_radius=2)
        return k.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))

    def cast_input() -> Any:
        inputs = k.Input(SHAPE, dtype="uint8")
        return k.Model(inputs, head(k, layers.Conv2D(3, 3)(tf.cast(inputs, tf.float32) / 255.0)))

    def names() -> Any:
        inputs = k.Input(SHAPE, name="in put")
        x = inputs
        for name in ("a/b", "x>y", "a_b", "x.0/z", "n" * 300):
            x = layers.Conv2D(3, 3, name=name)(x)
        return k.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)))

    def old_classes() -> Any:
        norm = layers.experimental.SyncBatchNormalization()
        steps = (k.Input(SHAPE), layers.Conv2D(3, 3), norm, layers.ThresholdedReLU(0.2), layers.Flatten())
        return k.Sequential([*steps, layers.Dense(3)])

    return {
        "TensorFlow's functions": functions,
        "functions of images": image_functions,
        "uint8 cast": cast_input,
        "names": names,
        "old classes": old_classes,
    }


def keras_3_kinds(k: Any) -> dict[str, Make]:
    """What Keras 3 alone writes: operations, and names with any letters."""
    layers = k.layers

    def operations() -> Any:
        ops, inputs = k.ops, k.Input(SHAPE)
        x = ops.concatenate([1.0 - ops.relu(inputs * 2.0 - 1.0), inputs], axis=-1)[:, 1:, ...]
        x = ops.reshape(ops.cast(ops.cast(x, "float16"), "float32"), (-1, 15 * 16 * 6))
        x = ops.stack(ops.split(x, 2, axis=1), axis=1)
        x = ops.pad(ops.einsum("bij,bkj->bik", x, ops.where(x > 0.1, x, 0.0)), [[0, 0], [1, 1], [0, 0]])
        return k.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))

    def names() -> Any:
        inputs = k.Input(SHAPE, name="in put")
        x = inputs
        for name in ("a b", "Größe+1", "x:0", "a_b", "n" * 200):
            x = layers.Conv2D(3, 3, name=name)(x)
        return k.Model(inputs, layers.Dense(3, name="out")(layers.Flatten()(x)))

    return {"operations": operations, "names": names}
