"""Unroll recurrent layers: integer precisions cannot quantise a loop, and TensorFlow's calibrator crashes on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.clone import clone_with

if TYPE_CHECKING:
    import keras

__all__ = ["MAX_STEPS", "unroll"]

MAX_STEPS = 128  # each step repeats the layer's ops: some twenty, and a tenth of a second of conversion


def unroll(model: keras.Model, precision: Precision) -> keras.Model:
    """`model` with its recurrent layers unrolled; `model` itself if it has none.

    Raises ExportError for a layer with more than MAX_STEPS time steps, or with any number of them.
    """
    import keras

    replacements, weights = {}, {}
    for layer in model.layers:
        recurrent, depth = innermost(layer)
        if not isinstance(recurrent, keras.layers.RNN) or recurrent.unroll:
            continue
        steps = time_steps(layer, depth)
        if steps is None or steps > MAX_STEPS:
            raise ExportError(
                f"layer {layer.name!r} ({type(layer).__name__}) has {steps or 'any number of'} time steps; "
                f"{precision.format} {precision.name} needs a recurrent layer unrolled, and at most {MAX_STEPS} steps "
                "are; export it as float32 or dynamic_int8"
            )
        replacements[layer.name] = type(layer).from_config(unrolled_config(layer.get_config()))
        weights[layer.name] = layer.get_weights()
    return clone_with(model, replacements, weights)


def innermost(layer: keras.layers.Layer) -> tuple[keras.layers.Layer, int]:
    """The layer inside wrappers, and how many of them add a time axis in front of its own."""
    import keras

    depth = 0
    while isinstance(layer, keras.layers.Bidirectional | keras.layers.TimeDistributed):
        depth += isinstance(layer, keras.layers.TimeDistributed)
        layer = layer.forward_layer if isinstance(layer, keras.layers.Bidirectional) else layer.layer
    return layer, depth


def time_steps(layer: keras.layers.Layer, depth: int) -> int | None:
    inputs = layer.input[0] if isinstance(layer.input, list | tuple) else layer.input  # then initial states
    steps: int | None = inputs.shape[1 + depth]
    return steps


def unrolled_config(config: JsonObject) -> JsonObject:
    """A layer's config in which every recurrent layer, wrapped ones too, is unrolled."""
    inside = {name: unrolled_config(value) for name, value in config.items() if isinstance(value, dict)}
    return {**config, **inside, **({"unroll": True} if "unroll" in config else {})}
