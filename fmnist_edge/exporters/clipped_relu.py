"""ReLU6 behind equalised channels: a ReLU with a maximum for each channel, and its form in int8 files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import JsonObject, Tensor
from fmnist_edge.exporters.clone import clone_with

if TYPE_CHECKING:
    import keras

__all__ = ["clipped_relu", "with_plain_clips"]


@cache
def clipped_relu() -> type[keras.layers.Layer]:
    import keras
    from keras import ops

    class ClippedReLU(keras.layers.Layer):
        """min(max(x, 0), maximum of the channel): ReLU6 behind equalised channels."""

        def __init__(self, max_values: list[float], **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.max_values = max_values

        def call(self, x: Tensor) -> Tensor:
            return ops.minimum(ops.relu(x), ops.convert_to_tensor(self.max_values, x.dtype))

        def get_config(self) -> JsonObject:
            return {**super().get_config(), "max_values": self.max_values}

    return ClippedReLU


def with_plain_clips(model: keras.Model) -> keras.Model:
    """`model` with one maximum, the smallest, for all channels of each ClippedReLU.

    In an int8 file it computes the same: channels with another maximum were enlarged to the smallest one at most, and
    beyond what calibration images cause, a tensor is clipped in any case. ReLU6 costs nothing, a maximum per channel
    another op.
    """
    from keras import layers

    plain = {
        layer.name: layers.ReLU(max_value=min(layer.max_values), name=layer.name)
        for layer in model.layers
        if isinstance(layer, clipped_relu())
    }
    return clone_with(model, plain, {})
