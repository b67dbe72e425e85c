"""Cross-layer equalisation: give the channels of each tensor similar ranges without changing the function.

Nagel et al. 2019 (arXiv:1906.04721), section 4.1: dividing a channel by s where it is made, and multiplying it by s
where it is read, changes nothing while the layers between satisfy f(x / s) = f(x) / s. Here a group of tensors shares
its s: those that ReLU, pooling, padding, dropout and Add connect. Convolutions, Dense, depthwise convolutions and
BatchNorm stand between groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.aliases import Tensor
from fmnist_edge.exporters.batch_norm import normalizes_last_axis
from fmnist_edge.exporters.clipped_relu import clipped_relu
from fmnist_edge.exporters.clone import clone_with
from fmnist_edge.exporters.recovery.simulate import copy_model, is_fused, layer_batches, single_input_model

if TYPE_CHECKING:
    import keras

__all__ = ["apply_scale", "equalise", "groups_of"]

RELU6 = 6.0
# Layers that scale with their input, channel by channel.
BETWEEN = (
    "AveragePooling2D", "Cropping2D", "Dropout", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "LeakyReLU",
    "MaxPooling2D", "PReLU", "SpatialDropout2D", "UpSampling2D", "ZeroPadding2D",
)  # fmt: skip
HOMOGENEOUS = ("linear", "relu", "leaky_relu")  # activations f with f(x / s) = f(x) / s


@dataclass
class Group:
    """Tensors whose channels must be scaled alike.

    Attributes:
        rounded: names of the layers whose output an int8 export rounds.
        makers: layers whose weights scale the tensors.
        readers: layers whose weights scale them back.
        clips: ReLU6 layers between.
        fixed: whether something else makes or reads one of the tensors.
    """

    rounded: list[str] = field(default_factory=list)
    makers: list[keras.layers.Layer] = field(default_factory=list)
    readers: list[keras.layers.Layer] = field(default_factory=list)
    clips: list[keras.layers.Layer] = field(default_factory=list)
    fixed: bool = False


def equalise(model: keras.Model, images: np.ndarray) -> keras.Model:
    """A copy of `model` in which the channels of every tensor have similar ranges. Its function is the same.

    Engines have a scale for each channel of the weights, and one scale for an activation. So what counts is a channel's
    largest activation r over `images`, float32 (n, *input_shape), and its largest share w of the weights of a channel
    behind. With s = sqrt(r / w), the products r · w stay, and both factors get equally large. Weights of depthwise
    convolutions and BatchNorm have nothing to share: there s = r.

    ReLU6 becomes a ReLU that clips each channel at 6 / s. No channel is enlarged beyond 6, so that in int8 the end of
    the range, which is that of `images`, clips in its place (`clipped_relu.with_plain_clips`).
    """
    better = copy_model(model)
    clips: dict[str, keras.layers.Layer] = {}
    groups = [group for group in groups_of(better) if group.rounded and group.readers and not group.fixed]
    largest = largest_activations(better, [name for group in groups for name in group.rounded], images)
    for group in groups:
        scale = scale_of(group, np.max([largest[name] for name in group.rounded], axis=0))
        if scale is None:
            continue
        if apply_scale(group, scale):
            for clip in group.clips:
                clips[clip.name] = clipped_relu()((RELU6 / scale).tolist(), name=clip.name)
    return single_input_model(clone_with(better, clips, {}))


def apply_scale(group: Group, scale: np.ndarray) -> bool:
    """Change the weights of a group's layers; False, and no change, if a BatchNorm's variance became negative."""
    layers = [*group.makers, *group.readers]  # a layer can be both
    before = [layer.get_weights() for layer in layers]
    for change, changed in ((scaled_output, group.makers), (scaled_input, group.readers)):
        for layer in changed:
            layer.set_weights(change(layer, scale))
    sound = all(is_sound(layer) for layer in layers)
    if not sound:
        for layer, weights in zip(layers, before, strict=True):
            layer.set_weights(weights)
    return sound


def groups_of(model: keras.Model) -> list[Group]:
    """The groups of a functional model's tensors, in the order in which they are made."""
    parent: dict[int, int] = {}

    def find(tensor: Tensor) -> int:
        key = parent.setdefault(id(tensor), id(tensor))
        while parent[key] != key:
            key = parent[key]
        return key

    steps = [(operation, operation._inbound_nodes) for operation in model.operations]
    for operation, nodes in steps:
        inputs, outputs = nodes[0].input_tensors, nodes[0].output_tensors
        if len(nodes) == 1 and not has_weights(operation):
            for tensor in connected(operation, inputs):
                parent[find(tensor)] = find(outputs[0])
    groups: dict[int, Group] = {}

    def group(tensor: Tensor) -> Group:
        return groups.setdefault(find(tensor), Group())

    for operation, nodes in steps:
        alone = len(nodes) == 1
        tensors = [tensor for node in nodes for tensor in (*node.input_tensors, *node.output_tensors)]
        inputs, outputs = nodes[0].input_tensors, nodes[0].output_tensors
        if alone and has_weights(operation):
            for tensor, able, layers in ((outputs[0], makes, "makers"), (inputs[0], reads, "readers")):
                if able(operation):
                    getattr(group(tensor), layers).append(operation)
                else:
                    group(tensor).fixed = True
        elif alone and (joined := connected(operation, inputs)):
            for tensor in inputs:
                group(tensor).fixed |= all(tensor is not other for other in joined)
            if is_relu6(operation):
                group(outputs[0]).clips.append(operation)
        else:
            for tensor in tensors:
                group(tensor).fixed = True
        if alone and isinstance(operation, layer_class()) and inputs and not is_fused(operation):
            group(outputs[0]).rounded.append(operation.name)
    for tensor in model.outputs:
        group(tensor).fixed = True
    return list(groups.values())


def layer_class() -> type[keras.layers.Layer]:
    import keras

    return keras.layers.Layer


def kind(operation: Any) -> str:
    return type(operation).__name__ if type(operation).__module__.startswith("keras.") else ""


def has_weights(layer: Any) -> bool:
    """Whether weights of `layer` can scale its input or output channels, which are the last axis of both."""
    if kind(layer) == "BatchNormalization":
        return normalizes_last_axis(layer)
    able = kind(layer) in ("Conv2D", "Dense", "DepthwiseConv2D")
    return able and getattr(layer, "data_format", "") != "channels_first"


def makes(layer: Any) -> bool:
    """Whether weights of `layer`, which `has_weights`, can scale its output's channels."""
    return kind(layer) == "BatchNormalization" or activation_of(layer) in HOMOGENEOUS


def reads(layer: Any) -> bool:
    """Whether weights of `layer`, which `has_weights`, can scale its input's channels back."""
    return getattr(layer, "groups", 1) == 1


def connected(operation: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Those inputs with whose channels the output's channels scale. Channels are the last axis of all."""
    if getattr(operation, "data_format", "") == "channels_first" or not inputs:
        return []
    if kind(operation) == "Add":  # a layer, or the operation x + y
        return inputs if len(inputs) > 1 and len({tuple(tensor.shape) for tensor in inputs}) == 1 else []
    if kind(operation) == "Multiply":  # by a gate, such as that of squeeze-and-excite
        image, *gates = sorted(inputs, key=lambda tensor: -size_of(tensor))
        return [image] if gates and all(gate is not image for gate in gates) and size_of(image) else []
    return inputs if scales(operation) else []


def size_of(tensor: Tensor) -> int:
    """The number of a tensor's values for one image; 0 if it is open."""
    shape = tensor.shape[1:]
    return 0 if None in shape else int(np.prod(shape))


def scales(operation: Any) -> bool:
    """Whether f(x / s) = f(x) / s for the channels of a layer's input."""
    if kind(operation) == "Activation":
        return activation_of(operation) in HOMOGENEOUS or is_relu6(operation)
    if kind(operation) == "ReLU":
        return is_relu6(operation) or (operation.max_value is None and not operation.threshold)
    return kind(operation) in BETWEEN


def activation_of(layer: Any) -> str:
    return getattr(layer.activation, "__name__", "")


def is_relu6(operation: Any) -> bool:
    if kind(operation) == "Activation":
        return activation_of(operation) == "relu6"
    return (
        kind(operation) == "ReLU"
        and operation.max_value == RELU6
        and not operation.threshold
        and not operation.negative_slope
    )


def largest_activations(model: keras.Model, names: list[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """(channels,) for each of these layers: the largest |activation| of a channel over `images`."""
    found: dict[str, np.ndarray] = {}
    for outputs in layer_batches(model, names, images) if names else ():
        for name, output in zip(names, outputs, strict=True):
            largest = np.abs(output).max(axis=tuple(range(output.ndim - 1)))
            found[name] = np.maximum(found.get(name, 0), largest)
    return found


def scale_of(group: Group, largest: np.ndarray) -> np.ndarray | None:
    """float32 (channels,): what to divide the channels of a group by; None if no scale would help.

    `largest`: their largest activations.
    """
    if not largest.any() or (group.clips and largest.max() > RELU6):
        return None
    shares = [share for reader in group.readers if (share := weight_shares(reader)) is not None]
    weight = np.max(shares, axis=0) if shares else np.ones_like(largest)
    alive = (largest > 0) & (weight > 0)
    ratio = largest[alive] / weight[alive]
    scale = np.ones_like(largest)
    scale[alive] = np.sqrt(ratio) if shares else ratio
    if group.clips:  # the largest scale is 1, and no channel gets beyond 6
        scale[alive] /= scale[alive].max(initial=1e-30)
        scale = np.maximum(scale, largest / RELU6)
    else:  # a factor that all channels share has no effect
        scale[alive] /= np.exp(np.log(scale[alive]).mean()) if alive.any() else 1
    return scale.astype(np.float32)


def weight_shares(reader: keras.layers.Layer) -> np.ndarray | None:
    """(channels,): the largest weight of each input, where the largest of an output is 1; None if inputs share none."""
    if kind(reader) in ("BatchNormalization", "DepthwiseConv2D"):
        return None
    weights = np.abs(reader.get_weights()[0])
    weights = weights.reshape(-1, *weights.shape[-2:]).max(axis=0)  # (inputs, outputs)
    return np.asarray((weights / np.maximum(weights.max(axis=0), 1e-30)).max(axis=1))


def scaled_output(layer: keras.layers.Layer, scale: np.ndarray) -> list[np.ndarray]:
    """The weights of a layer whose output channels are divided by `scale`."""
    if kind(layer) == "BatchNormalization":
        return scaled_norm(layer, 1 / scale, beta=1 / scale)
    kernel, *bias = layer.get_weights()
    shape = kernel.shape[2:] if kind(layer) == "DepthwiseConv2D" else kernel.shape[-1:]
    return [kernel / scale.reshape(shape), *(part / scale for part in bias)]


def scaled_input(layer: keras.layers.Layer, scale: np.ndarray) -> list[np.ndarray]:
    """The weights of a layer whose output stays the same for an input whose channels were divided by `scale`."""
    if kind(layer) == "BatchNormalization":
        return scaled_norm(layer, scale, mean=1 / scale)
    kernel, *bias = layer.get_weights()
    return [kernel * scale[:, None], *bias]


def scaled_norm(
    norm: keras.layers.Layer, gain: np.ndarray, *, beta: np.ndarray | None = None, mean: np.ndarray | None = None
) -> list[np.ndarray]:
    """The weights of a BatchNorm with factors for its gain, beta and mean. Without gamma, the variance has the gain."""
    weights = dict(zip((weight.name for weight in norm.weights), norm.get_weights(), strict=True))
    if norm.scale:
        weights["gamma"] = weights["gamma"] * gain
    else:
        weights["moving_variance"] = (weights["moving_variance"] + norm.epsilon) / gain**2 - norm.epsilon
    if beta is not None and norm.center:
        weights["beta"] = weights["beta"] * beta
    if mean is not None:
        weights["moving_mean"] = weights["moving_mean"] * mean
    return list(weights.values())


def is_sound(layer: keras.layers.Layer) -> bool:
    """Whether a layer's weights are finite and, of a BatchNorm, the variance is not negative."""
    weights = layer.get_weights()
    variance = weights[-1] if kind(layer) == "BatchNormalization" else np.zeros(1)
    return bool(variance.min() >= 0) and all(np.isfinite(part).all() for part in weights)
