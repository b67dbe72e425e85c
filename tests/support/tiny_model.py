"""An architecture that is not of the zoo, for tests that train: it is traced in a moment."""

from fmnist_edge.models.spec import ModelSpec


def build(*, dense_dropout: float = 0.1):
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(inputs)
    x = layers.Dropout(dense_dropout, name="dropout")(layers.Flatten(name="flatten")(x))
    x = layers.Dense(32, activation="relu", name="dense")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="tiny")


TINY = ModelSpec("tiny", build, parameters=22_034, published_accuracy=None)
