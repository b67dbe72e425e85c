"""Tell a zoo architecture by the order and shapes of its weights, and copy them into ours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.checkpoints.config import layers_of
from fmnist_edge.checkpoints.contents import Contents, Weight, differs

if TYPE_CHECKING:
    import keras

__all__ = ["nearest", "recognise"]

# A file may hold a block as one custom layer, and its layers in another order.
BLOCK = re.compile(r"(?:unit|module)_\d+[ab]?")
SHAPELESS = ("strides", "padding", "dilation_rate", "groups", "data_format")  # settings that no weight shape shows
Placement = list[tuple["keras.Layer", Sequence[Weight]]]


def recognise(contents: Contents) -> keras.Model | None:
    """The zoo model, ending in logits, with the weights of `contents`; None when they are of none or ambiguous."""
    for name in MODELS:
        spec = MODELS[name]
        if contents.elements != spec.parameters:
            continue
        model = spec.build()
        placement = place(model, contents.queues)
        if placement is not None and agrees(placement, contents.config):
            for layer, weights in placement:
                for variable, weight in zip(layer.weights, weights, strict=True):
                    variable.assign(weight.value)
            return model
    return None


def nearest(contents: Contents) -> str | None:
    """The zoo model whose weights nearly are those of `contents`: nine in ten by shape, and as many numbers."""
    theirs = Counter(weight.value.shape for queue in contents.queues for weight in queue)
    for name in MODELS:
        if abs(contents.elements - MODELS[name].parameters) > MODELS[name].parameters / 20:
            continue
        ours = Counter(tuple(variable.shape) for variable in MODELS[name].build().weights)
        if (ours & theirs).total() >= 0.9 * max(ours.total(), theirs.total()):
            return name
    return None


def place(model: keras.Model, queues: list[list[Weight]]) -> Placement | None:
    """Which weights belong to which layer, block by block from the front of a queue; None when they do not fit."""
    rests, placement = list(queues), []
    for block in blocks_of(model):
        count = sum(len(layer.weights) for layer in block)
        for index, rest in enumerate(rests):
            placed = place_block(block, rest[:count])
            if placed is not None:
                placement += placed
                rests[index] = rest[count:]
                break
        else:
            return None
    return None if any(rests) else placement


def blocks_of(model: keras.Model) -> list[list[keras.Layer]]:
    """Layers with weights, those of one residual unit or inception module together."""
    blocks: dict[str, list[keras.Layer]] = {}
    for layer in model.layers:
        if layer.weights:
            match = BLOCK.match(layer.name)
            blocks.setdefault(match.group() if match else layer.name, []).append(layer)
    return list(blocks.values())


def place_block(block: list[keras.Layer], weights: Sequence[Weight]) -> Placement | None:
    """Give each layer the first run of unused weights with its shapes.

    Skip and 1x1 reductions may come anywhere. A file whose 5x5 branch comes first concatenates in that order too, so
    that its channels are not ours: `conv3` must precede `conv5`, as `conv1` must `conv2`.
    """
    placed: Placement = []
    starts: dict[int, str] = {}
    taken: set[int] = set()
    for layer in block:
        size = len(layer.weights)
        for start in range(len(weights) - size + 1):
            run = weights[start : start + size]
            if taken.isdisjoint(range(start, start + size)) and not any(map(differs, layer.weights, run)):
                break
        else:
            return None
        taken.update(range(start, start + size))
        starts[start] = layer.name
        placed.append((layer, run))
    chain = [name for _, name in sorted(starts.items()) if re.search(r"conv\d$", name)]
    return placed if chain == sorted(chain) and len(taken) == len(weights) else None


def agrees(placement: Placement, config: Any) -> bool:
    """Whether the file's config says of each built-in layer what ours in its place has."""
    theirs = layers_of(config)
    for layer, weights in placement:
        said = theirs.get(weights[0].layer, {})
        if said.get("class_name") != type(layer).__name__:
            continue
        ours = layer.get_config()
        for key in SHAPELESS:
            if key in said["config"] and key in ours and said["config"][key] != plain(ours[key]):
                return False
        # "linear" may be followed by an activation layer; the last activation is read from the config.
        activation = said["config"].get("activation")
        if layer.name != "logits" and activation not in (None, "linear", ours.get("activation")):
            return False
    return True


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
