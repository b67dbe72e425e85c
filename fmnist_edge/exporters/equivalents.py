"""Layers and operations that formats have no kernel for, or a wrong one, written with others that they do have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["equivalents", "formula_layer"]

EVERY, TFLITE = None, "tflite"
Formula = Callable[..., Tensor]  # of the same inputs
# They change images in training alone, but count their calls with a variable, which no inference engine can do.
TRAINING_ONLY = frozenset(
    {
        "AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter",
        "RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur",
        "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation",
        "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
    }
)  # fmt: skip


def equivalents(model: keras.Model, format: str, integer: bool = False) -> dict[str, keras.layers.Layer]:
    """Name of a layer or operation of `model` -> the layer that takes its place in files of this format.

    Args:
        integer: whether activations become integers, with a scale for each tensor.

    The layers have no weights yet where `model` has some.
    """
    import keras

    found: dict[str, keras.layers.Layer] = {}
    for operation in model.layers if isinstance(model, keras.Sequential) else model.operations:
        kind = type(operation).__name__
        if not type(operation).__module__.startswith("keras."):
            continue
        if kind in TRAINING_ONLY:
            found[operation.name] = formula_layer(operation.name, lambda x: x)
        elif kind in FORMULAS and FORMULAS[kind][0] in (EVERY, format):
            formula = FORMULAS[kind][1](operation)
            if formula is not None:
                found[operation.name] = formula_layer(operation.name, formula)
        elif integer and format == TFLITE and kind in CLASSES:
            found[operation.name] = formula_layer(operation.name, ACTIVATIONS[CLASSES[kind]])
        elif integer and format == TFLITE and (name := activation_of(operation)) in ACTIVATIONS:
            found[operation.name] = with_activation(operation, ACTIVATIONS[name])
    return found


def activation_of(operation: Any) -> str:
    """The name of a layer's own activation; empty for a recurrent layer, and for what has none."""
    activation = vars(operation).get("activation")
    module = getattr(activation, "__module__", "")
    return activation.__name__ if module == "keras.src.activations.activations" else ""


def with_activation(layer: keras.layers.Layer, formula: Formula) -> keras.layers.Layer:
    """A copy of a layer, without weights, that computes `formula` in the place of its activation.

    It is of a class of its own, so that copies of it, which Keras makes of its config, do so too.
    """
    kind: Any = type(layer)

    class Split(kind):
        def call(self, inputs: Tensor) -> Tensor:
            return formula(super().call(inputs))

    return Split.from_config({**layer.get_config(), "activation": "linear"})


def unit(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    """`x` with vectors of length 1 along `axis`; a vector of zeros stays one.

    Keras takes x / sqrt(max(Σx², 1e-12)), from which the converter makes x · min(1 / sqrt(Σx²), 1e6): NaN for a black
    image. 1e-12 would be 0 among float16 weights, so a sum of 0 becomes 1.
    """
    from keras import ops

    total = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(total + ops.cast(ops.equal(total, 0.0), x.dtype))


def unit_vectors(operation: Any) -> Formula | None:
    """UnitNormalization, and the operation Normalize if its norm is the Euclidean one."""
    return None if getattr(operation, "order", 2) != 2 else lambda x: unit(x, operation.axis)


def cosine(layer: Any) -> Formula | None:
    """Dot(normalize=True)."""
    from keras import layers

    if not getattr(layer, "normalize", False):  # the operation numpy.Dot
        return None
    axes = [layer.axes] * 2 if isinstance(layer.axes, int) else layer.axes
    plain = layers.Dot(layer.axes)
    return lambda pair: plain([unit(x, axis) for x, axis in zip(pair, axes, strict=True)])


def extreme_index(search: str) -> Callable[[Any], Formula]:
    """Keras looks for negative zeros bit by bit first. It makes no difference to which value is the largest."""

    def of(operation: Any) -> Formula:
        import tensorflow as tf

        def formula(x: Tensor) -> Tensor:
            axis = operation.axis
            y = getattr(tf, search)(tf.reshape(x, [-1]) if axis is None else x, axis=axis or 0, output_type="int32")
            if not operation.keepdims:
                return y
            return tf.expand_dims(y, axis) if axis is not None else tf.reshape(y, [1] * len(x.shape))

        return formula

    return of


def arctan(operation: Any) -> Formula:
    from keras import ops

    return lambda x: ops.arctan2(x, ops.ones_like(x))


def log_of_one_and_exp(x: Tensor) -> Tensor:
    """log(1 + exp(-|x|)), from 0 to log 2: eight bits hold each step of it, and not exp(x) for 0 and for 4."""
    from keras import ops

    return ops.log(1.0 + ops.exp(ops.minimum(x, 0.0) - ops.relu(x)))


def softplus(x: Tensor) -> Tensor:
    from keras import ops

    return ops.relu(x) + log_of_one_and_exp(x)


def log_sigmoid(x: Tensor) -> Tensor:
    from keras import ops

    return ops.minimum(x, 0.0) - log_of_one_and_exp(x)


def mish(x: Tensor) -> Tensor:
    from keras import ops

    return x * ops.tanh(softplus(x))


def selu(x: Tensor) -> Tensor:
    """The exponential function of what is negative alone. The constants are Keras's."""
    from keras import ops

    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return scale * ops.relu(x) + scale * alpha * (ops.exp(ops.minimum(x, 0.0)) - 1.0)


# Activation -> the same for integers, in ops that have integer kernels.
ACTIVATIONS: dict[str, Formula] = {"log_sigmoid": log_sigmoid, "mish": mish, "selu": selu, "softplus": softplus}
CLASSES = {"LogSigmoid": "log_sigmoid", "Selu": "selu", "Softplus": "softplus"}  # of keras.ops

# Class -> the format, EVERY for all, and what makes the formula of a layer or operation of that class; None for
# one that converts as it is.
FORMULAS: dict[str, tuple[str | None, Callable[[Any], Formula | None]]] = {
    "Arctan": (TFLITE, arctan),
    "Argmax": (EVERY, extreme_index("argmax")),
    "Argmin": (EVERY, extreme_index("argmin")),
    "Dot": (TFLITE, cosine),
    "Normalize": (TFLITE, unit_vectors),
    "UnitNormalization": (TFLITE, unit_vectors),
}


def formula_layer(name: str, formula: Formula) -> keras.layers.Layer:
    """A layer that computes `formula`. It accepts the arguments that Keras calls layers with."""
    import keras

    class Equivalent(keras.layers.Layer):
        def call(self, *inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
            return formula(*inputs)

    return Equivalent(name=name)
