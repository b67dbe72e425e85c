"""Fold BatchNormalization into layers where converters do not, or where they make int8 worse."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.exporters.clone import Weights, clone_with
from fmnist_edge.exporters.equivalents import formula_layer

if TYPE_CHECKING:
    import keras

__all__ = ["as_depthwise", "fold_batch_norm", "normalizes_last_axis", "scale_and_shift"]

Layers = dict[str, "keras.layers.Layer"]


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Fold each BatchNorm between Dense(relu) and Dense, and each one behind a depthwise convolution, into the layers.

    The layers stay in the model, and a folded BatchNorm returns its input. The function stays the same up to rounding.

    - Between Dense layers, converters fold the scale into the second layer. There each input's weights get their own
      range, and one int8 weight scale has to cover them all: measured on tiny_googlenet, that costs 0.5 pp. The first
      layer has a weight scale for each output, so |scale| costs nothing there. ReLU allows the move, as
      relu(a·x) = a·relu(x) for a > 0, and the activations between the layers get unit variance.
      Cf. cross-layer equalisation, Nagel et al. 2019 (arXiv:1906.04721).
    - Behind a depthwise convolution, tf2onnx leaves a Mul and an Add. In int8 their inputs have one scale for channels
      whose ranges differ up to a hundredfold.
    """
    replaced: Layers = {}
    weights: Weights = {}
    for norm in model.layers:
        if (ends := adjacent_dense(norm)) is not None:
            fold_between(norm, *ends, weights)
        elif (depthwise := depthwise_before(norm)) is not None:
            replaced[depthwise.name] = fold_into(norm, depthwise, weights)
        else:
            continue
        replaced[norm.name] = formula_layer(norm.name, lambda x: x)
    return clone_with(model, replaced, weights)


def as_depthwise(model: keras.Model) -> keras.Model:
    """`model` with a depthwise 1×1 convolution for each BatchNorm of images that no converter folds.

    Such a BatchNorm stands behind Add, Concatenate, padding or pooling, or its input has other readers. Converters
    write a multiplication and an addition, whose product gets one int8 scale for all channels. A depthwise convolution
    has a weight scale for each channel, and adds the shift with 32 bits.
    """
    replaced = {norm.name: formula_layer(norm.name, depthwise_of(norm)) for norm in model.layers if is_lone(norm)}
    return clone_with(model, replaced, {})


def depthwise_of(norm: keras.layers.Layer) -> Callable[[Tensor], Tensor]:
    """A BatchNorm as a function of images, float (n, height, width, channels)."""
    from keras import ops

    scale, shift = scale_and_shift(norm)
    kernel = scale.reshape(1, 1, -1, 1)
    return lambda x: ops.depthwise_conv(x, ops.convert_to_tensor(kernel, x.dtype), padding="valid") + shift


def is_lone(norm: keras.layers.Layer) -> bool:
    from keras import layers

    if type(norm) is not layers.BatchNormalization or len(norm._inbound_nodes) != 1:
        return False
    if len(norm.input.shape) != 4 or not normalizes_last_axis(norm):
        return False
    before = neighbour(norm, "parents")
    kernels = (layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)
    return not (isinstance(before, kernels) and is_linear(before) and neighbour(before, "children") is norm)


def fold_between(
    norm: keras.layers.Layer, first: keras.layers.Layer, second: keras.layers.Layer, weights: Weights
) -> None:
    scale, shift = scale_and_shift(norm)
    kernel1, bias1 = weights_of(first, weights)
    kernel2, bias2 = weights_of(second, weights)
    weights[first.name] = [kernel1 * np.abs(scale), bias1 * np.abs(scale)]
    # NumPy's sum, not BLAS: the last bit of a BLAS product depends on the arrays' memory addresses.
    shift_bias = (shift[:, None].astype(np.float64) * kernel2).sum(axis=0)
    weights[second.name] = [kernel2 * np.sign(scale)[:, None], (bias2 + shift_bias).astype(np.float32)]


def fold_into(norm: keras.layers.Layer, depthwise: keras.layers.Layer, weights: Weights) -> keras.layers.Layer:
    """The depthwise convolution with a bias that takes the place of `depthwise`; adds its weights to `weights`."""
    scale, shift = scale_and_shift(norm)
    kernel, *bias = depthwise.get_weights()  # (height, width, channels, multiplier)
    shift = shift + bias[0] * scale if bias else shift
    weights[depthwise.name] = [kernel * scale.reshape(kernel.shape[2:]), shift.astype(np.float32)]
    return type(depthwise).from_config({**depthwise.get_config(), "use_bias": True})


def adjacent_dense(norm: keras.layers.Layer) -> tuple[keras.layers.Layer, keras.layers.Layer] | None:
    """The Dense(relu) before and the Dense after a BatchNorm, with only dropout between; None for other patterns."""
    import keras

    layers = keras.layers
    if not isinstance(norm, layers.BatchNormalization):
        return None
    first: keras.layers.Layer = neighbour(norm, "parents")
    second: keras.layers.Layer = neighbour(norm, "children")
    while isinstance(second, layers.Dropout):
        second = neighbour(second, "children")
    if type(first) is not layers.Dense or type(second) is not layers.Dense:
        return None
    fits = first.activation is keras.activations.relu and first.use_bias and second.use_bias
    alone = neighbour(first, "children") is norm and len(second._inbound_nodes) == 1
    return (first, second) if fits and alone and normalizes_last_axis(norm) else None


def depthwise_before(norm: keras.layers.Layer) -> keras.layers.Layer | None:
    """The depthwise convolution without activation whose only reader a BatchNorm of its channels is; None otherwise."""
    from keras import layers

    if type(norm) is not layers.BatchNormalization or len(norm._inbound_nodes) != 1:
        return None
    before: keras.layers.Layer = neighbour(norm, "parents")
    if type(before) is not layers.DepthwiseConv2D or not is_linear(before) or before.data_format != "channels_last":
        return None
    return before if neighbour(before, "children") is norm and normalizes_last_axis(norm) else None


def is_linear(layer: keras.layers.Layer) -> bool:
    from keras import activations

    return layer.activation is activations.linear


def normalizes_last_axis(norm: keras.layers.Layer) -> bool:
    """Whether a BatchNormalization normalises the last axis, which holds a kernel's channels."""
    axes = len(norm.input.shape)
    return norm.axis % axes == axes - 1


def neighbour(layer: keras.layers.Layer, side: str) -> keras.layers.Layer | None:
    """The only layer that feeds `layer` (`side` "parents") or reads it ("children"); None for none or several."""
    if side == "parents":
        found = [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]
    else:
        found = [node.operation for node in layer._outbound_nodes]
    return found[0] if len(found) == 1 and len(layer._inbound_nodes) == 1 else None


def scale_and_shift(norm: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """The float32 vectors by which a BatchNorm multiplies and that it adds then, one value per channel."""
    mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
    gamma = np.asarray(norm.gamma) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta) if norm.center else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def weights_of(layer: keras.layers.Layer, changed: Weights) -> list[np.ndarray]:
    return changed.get(layer.name) or layer.get_weights()
