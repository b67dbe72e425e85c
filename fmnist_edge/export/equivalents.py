"""Layers and operations that formats have no kernel for, or a wrong one, written with others that they do have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["equivalents", "formula_layer"]

EVERY, TFLITE = None, "tflite"
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
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


def equivalents(model: keras.Model, format: str) -> dict[str, keras.layers.Layer]:
    """Name of a layer or operation of `model` -> the layer that takes its place in files of this format."""
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
    return found


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


def selu(layer: Any) -> Formula | None:
    """Activation("selu") of ELU and ReLU: λα · elu(x) + λ(1 - α) · relu(x).

    The converter composes SELU of EXP, SUB and SELECT. In int8, six layers of them lost 4.8 pp of a small CNN.
    """
    from keras import activations, ops

    if layer.activation is not activations.selu:
        return None
    return lambda x: SELU_SCALE * SELU_ALPHA * ops.elu(x) + SELU_SCALE * (1 - SELU_ALPHA) * ops.relu(x)


# Class -> the format, EVERY for all, and what makes the formula of a layer or operation of that class; None for
# one that converts as it is.
FORMULAS: dict[str, tuple[str | None, Callable[[Any], Formula | None]]] = {
    "Activation": (TFLITE, selu),
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
