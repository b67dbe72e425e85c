"""A Keras model as the graph of its tensors: run any part of it from given values on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LayerGraph"]


@dataclass(frozen=True)
class Step:
    """One layer's output: the symbolic tensor, the call that makes it, the tensors it takes."""

    layer: str
    tensor: Any
    node: Any
    parents: tuple[str, ...]


class LayerGraph:
    """Tensors by name, in topological order: the layer's name, with a number behind where it makes several.

    >>> import keras
    >>> image = keras.Input((2,), name="image")
    >>> graph = LayerGraph(keras.Model(image, keras.layers.ReLU(name="relu")(image)))
    >>> list(graph.steps), graph.output
    (['image', 'relu'], 'relu')
    """

    def __init__(self, model: Any) -> None:
        self.steps: dict[str, Step] = {}
        names: dict[int, str] = {}
        stack = [model.outputs[0]]
        while stack:  # depth first, and not by recursion, which a thousand layers would exhaust
            operation, call, _ = stack[-1]._keras_history
            node = operation._inbound_nodes[call]
            missing = [parent for parent in node.input_tensors if id(parent) not in names]
            if missing:
                stack += reversed(missing)
                continue
            tensor = stack.pop()
            if id(tensor) not in names:
                name = names[id(tensor)] = self._free(operation.name)
                parents = tuple(names[id(parent)] for parent in node.input_tensors)
                self.steps[name] = Step(operation.name, tensor, node, parents)
        self.output = names[id(model.outputs[0])]
        self.input = next(name for name, step in self.steps.items() if not step.parents)

    def _free(self, layer: str) -> str:
        count = sum(step.layer == layer for step in self.steps.values())
        return f"{layer}:{count}" if count else layer

    def needed(self, wanted: Iterable[str], given: Collection[str]) -> list[str]:
        """What has to be computed for `wanted` when `given` is known already, in order."""
        found, stack = set(), [name for name in wanted if name not in given]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += [parent for parent in self.steps[name].parents if parent not in given]
        return [name for name in self.steps if name in found]

    def behind(self, name: str) -> set[str]:
        """Everything that depends on `name`."""
        found: set[str] = set()
        for other, step in self.steps.items():
            if name in step.parents or not found.isdisjoint(step.parents):
                found.add(other)
        return found

    def evaluate(self, wanted: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
        """`given` and `wanted`, and what lies between them, as the layers compute it in inference: float (n, ...)."""
        import keras

        values = dict(given)
        tensors = {id(self.steps[name].tensor): value for name, value in given.items()}
        for name in self.needed(wanted, given):
            step = self.steps[name]
            arguments, options = step.node.arguments.fill_in(tensors)
            outputs = keras.tree.flatten(step.node.operation(*arguments, **options))
            values[name] = outputs[step.tensor._keras_history.tensor_index]
            tensors[id(step.tensor)] = values[name]
        return values
