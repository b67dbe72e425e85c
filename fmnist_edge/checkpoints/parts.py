"""A clean config as a tree of parts: models, the layers in them, and what each will be called."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.graph import Graph, graph_of, name_of
from fmnist_edge.checkpoints.names import Labels, safe
from fmnist_edge.checkpoints.refusals import ConfigRefusedError

if TYPE_CHECKING:
    import keras

__all__ = ["Part", "Plan", "leaves_of", "plan_of", "snake"]

MAX_DEPTH = 20


@dataclass
class Part:
    """A layer of a config, or a model in it.

    Attributes:
        name: in the file.
        class_name: in the file, which names groups of weights after it.
        node: its clean config.
        label: what the rebuilt layer is called.
        graph: of a functional model.
        parts: of a model, in the file's order.
        lies_last: whether the layer was made for tensors with channels last where the file says first.
        layer: the Keras layer, once it is made; None for models, TensorFlow's functions, and inputs inside.
    """

    name: str
    class_name: str
    node: dict[str, Any]
    label: str = ""
    graph: Graph | None = None
    parts: list[Part] | None = None
    layer: keras.Layer | None = None
    called: int = 0
    lies_last: bool = False

    @property
    def is_model(self) -> bool:
        return self.parts is not None


@dataclass
class Plan:
    """What a config asks for, before anything is made."""

    root: Part
    labels: Labels = field(default_factory=Labels)


def plan_of(config: dict[str, Any]) -> Plan:
    """Read a clean config's calls and label its layers, outer ones and safe names first: they keep theirs."""
    plan = Plan(part_of(config, 0))
    level: list[tuple[tuple[str, ...], Part]] = [((), plan.root)]
    while level:
        inside = [((*path, part.name), part, model) for path, model in level for part in model.parts or ()]
        named = [item for item in inside if not item[1].is_model and labelled(item[1], item[2] is plan.root)]
        for path, part, _ in sorted(named, key=lambda item: safe(item[1].name) != item[1].name):
            part.label = plan.labels.of(path, snake(part.class_name))
        level = [(path, part) for path, part, _ in inside if part.is_model]
    return plan


def labelled(part: Part, outside: bool) -> bool:
    """Whether a part becomes a layer: the inputs of models inside do not."""
    return outside or part.node["class_name"] != "InputLayer"


def part_of(node: dict[str, Any], depth: int) -> Part:
    if depth > MAX_DEPTH:
        raise ConfigRefusedError(f"its models are nested more than {MAX_DEPTH} deep")
    part = Part(name_of(node), node.get("written", node["class_name"]), node)
    if node["module"] == "keras" or node["module"].startswith("keras.src.models"):
        part.parts = [part_of(layer, depth + 1) for layer in layers_in(node)]
        if node["class_name"] == "Functional":
            part.graph = graph_of(node["config"])
    return part


def layers_in(node: dict[str, Any]) -> list[dict[str, Any]]:
    layers = node["config"].get("layers")
    if not isinstance(layers, list) or not all(isinstance(item, dict) and "module" in item for item in layers):
        raise ConfigRefusedError(f"model {shown(name_of(node))} has no list of layers")
    return layers


def snake(class_name: str) -> str:
    """Keras's name for the first layer of a class: "Conv2DTranspose" -> "conv2d_transpose"."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def leaves_of(part: Part) -> list[Part]:
    """The layers of a model and of those in it, in the file's order."""
    return [leaf for inner in part.parts for leaf in leaves_of(inner)] if part.parts is not None else [part]
