"""Types of a model's numbers: which inputs may come as float32 instead."""

from __future__ import annotations

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.graph import references
from fmnist_edge.checkpoints.parts import Part
from fmnist_edge.checkpoints.refusals import ConfigRefusedError

__all__ = ["check_input_type"]

CASTS = ("Rescaling", "Cast", "Embedding", "CategoryEncoding", "Discretization")  # begin by casting what they take


def check_input_type(part: Part, root: Part) -> None:
    """Raises ConfigRefusedError for an input of integers that some layer does not cast before it computes."""
    kind = str(part.node["config"].get("dtype") or "float32")
    if kind == "float32":
        return
    for reader in readers_of(part, root):
        what = reader.node["config"].get("function", "").rpartition(".")[2]
        node = reader.node["config"].get("node_def") or {}
        if reader.class_name not in CASTS and what != "cast" and node.get("op") != "Cast":
            raise ConfigRefusedError(
                f"its input {shown(part.name)} is {kind} and goes to {shown(reader.name)}, a {reader.class_name}, "
                "which does not cast it",
                "let the model begin with Rescaling or a cast to float32, and save it again",
            )


def readers_of(part: Part, model: Part) -> list[Part]:
    """The layers, at any depth, that take what an input takes."""
    parts = model.parts or []
    if model.graph is None:
        rest = [inner for inner in parts if inner.node["class_name"] != "InputLayer"]
        found = rest[:1]
        position = 0
    else:
        by_name = {inner.name: inner for inner in parts}
        found, position = [], 0
        for name in model.graph.order:
            for call in model.graph.calls[name]:
                for place, ref in enumerate(references([call.args, call.kwargs])):
                    if ref.layer == part.name:
                        found.append(by_name[name])
                        position = place
    return [reader for inner in found for reader in inside(inner, position)]


def inside(reader: Part, position: int) -> list[Part]:
    if not reader.is_model:
        return [reader]
    if reader.graph is None:
        return readers_of(reader, reader)
    by_name = {inner.name: inner for inner in reader.parts or ()}
    if position >= len(reader.graph.inputs):
        return [reader]
    return readers_of(by_name[reader.graph.inputs[position].layer], reader)
