"""The object graph of a SavedModel: Keras 2's config, and which variable belongs to which layer. All of it is data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.checkpoints.contents import Weight, shown, weight_of
from fmnist_edge.checkpoints.matching import Given, Source, give, load_layer
from fmnist_edge.checkpoints.parts import Part
from fmnist_edge.errors import CheckpointError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

__all__ = ["ObjectGraph", "config_of", "load_saved", "position"]

KERAS = "_tf_keras_"
LAYER = re.compile(r"layer-(\d+)")
# Children of a layer that repeat what its attributes hold.
REPEATS = re.compile(
    r"(?:trainable_|non_trainable_|state_)?variables|keras_api|_?layers|_?metrics|layer_metrics|"
    r"layer-\d+|layer_with_weights-\d+|(?:layer_)?regularization_losses|_callable_losses|_updates|signatures|"
    r"__call__|_default_save_signature|call_and_return.*|_?random_generator|_?rng|_?seed_generator"
)
MAX_EDGES = 1_000_000
MAX_DEPTH = 30


def config_of(saved_model: SavedModel, metadata_file: Path) -> Any:
    """Keras 2's config, from beside the graph (TensorFlow 2.5 and later) or in it (1.15 to 2.4); None without one."""
    from tensorflow.python.keras.protobuf.saved_metadata_pb2 import SavedMetadata

    texts = []
    if metadata_file.is_file():
        nodes = SavedMetadata.FromString(metadata_file.read_bytes()).nodes
        texts = [node.metadata for node in nodes if node.node_path == "root"]
    for graph in saved_model.meta_graphs[:1]:
        roots = graph.object_graph_def.nodes[:1]
        texts += [node.user_object.metadata for node in roots if node.user_object.identifier.startswith(KERAS)]
    for text in texts:
        try:
            metadata = json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"its config is not JSON ({shown(str(error))}); save the model again") from error
        config = metadata.get("model_config") or metadata if isinstance(metadata, dict) else {}
        if config.get("class_name"):
            return {**config, "config": config.get("config") or {}}
    return None


class ObjectGraph:
    """Objects of a checkpoint by number, and the arrays of those that are variables."""

    def __init__(
        self, nodes: Sequence[TrackableObjectGraph.TrackableObject], tensor: Callable[[str], np.ndarray]
    ) -> None:
        self.nodes = nodes
        self.tensor = tensor
        self.visited = 0

    def children(self, number: int) -> dict[str, int]:
        if not 0 <= number < len(self.nodes):
            raise CheckpointError(f"its object graph speaks of object {number}, which it does not have")
        children = self.nodes[number].children
        self.visited += 1 + len(children)
        if self.visited > MAX_EDGES:
            raise CheckpointError(f"its object graph has more than {MAX_EDGES:,} edges; save the model again")
        return {child.local_name: child.node_id for child in children}

    def key(self, number: int) -> str | None:
        """Where the checkpoint keeps the value of object `number`; None when it is not a variable."""
        if not 0 <= number < len(self.nodes):
            raise CheckpointError(f"its object graph speaks of object {number}, which it does not have")
        attributes = self.nodes[number].attributes
        return next((item.checkpoint_key for item in attributes if item.name == "VARIABLE_VALUE"), None)

    def weight(self, number: int, name: str) -> Weight | None:
        """The array of a variable, called `name`; None for another object."""
        key = self.key(number)
        return None if key is None else weight_of("", "", self.tensor(key), name)

    def source(self, number: int, depth: int = 0, seen: frozenset[int] = frozenset()) -> Source:
        """A layer's variables and those of the layers inside it, in Keras's order where the file tells it."""
        if depth > MAX_DEPTH or number in seen:
            return Source()
        children = self.children(number)
        own: dict[int, Weight] = {}
        inner: dict[str, Source] = {}
        for name, child in children.items():
            if REPEATS.fullmatch(name):
                continue
            weight = self.weight(child, name)
            if weight is not None:
                own.setdefault(child, weight)
            else:
                found = self.source(child, depth + 1, seen | {number})
                if found.all:
                    inner[name] = found
        if inner and all(name.isdigit() for name in inner):
            return Source(listed=[inner[name] for name in sorted(inner, key=int)])
        layers = numbered_layers(children)
        if layers:  # a model inside a layer, such as TimeDistributed's
            sources = [self.source(child, depth + 1, seen | {number}) for child in layers]
            inner["layers"] = Source(listed=[source for source in sources if source.all])
        listed = self.children(children["variables"]) if "variables" in children else {}
        order = [child for _, child in sorted(listed.items(), key=position)]
        ranks = {child: rank for rank, child in enumerate(order)}
        return Source([own[child] for child in sorted(own, key=lambda child: ranks.get(child, len(ranks)))], inner)


def position(item: tuple[str, int]) -> int:
    """Sort key of a list's items, which are called "0", "1", …"""
    return int(item[0]) if item[0].isdigit() else 0


def numbered_layers(children: dict[str, int]) -> list[int]:
    """The objects "layer-0", "layer-1", … of a model, in order."""
    layers = {int(match[1]): child for name, child in children.items() if (match := LAYER.fullmatch(name))}
    return [layers[index] for index in sorted(layers)]


def load_saved(part: Part, graph: ObjectGraph, number: int, depth: int = 0) -> Given:
    """Give a model's layers their variables: the object "layer-3" is its fourth layer."""
    children = graph.children(number)
    numbers = numbered_layers(children)
    parts = part.parts or []
    if len(numbers) != len(parts):
        parts = [inner for inner in parts if inner.class_name != "InputLayer"]
    if part.graph is None and len(numbers) == len(parts) + 1:  # an InputLayer that TensorFlow 1.15's config leaves out
        numbers = numbers[1:]
    if len(numbers) != len(parts) or depth > MAX_DEPTH:
        raise ValueError(f"model {shown(part.name)}: the file holds {len(numbers)} layers, its config {len(parts)}")
    values: Given = {}
    for number, inner in zip(numbers, parts, strict=True):
        if inner.is_model:
            values |= load_saved(inner, graph, number, depth + 1)
        elif inner.layer is not None and hasattr(inner.layer, "_flatten_layers"):
            found = load_layer(inner.layer, graph.source(number), f"layer {shown(inner.name)}")
            give(inner.layer, found)
            values |= found
    return values
