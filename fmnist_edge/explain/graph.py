"""A Keras model as a graph of tensors, of which any part can be run from given values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["LayerGraph"]


@dataclass(frozen=True)
class Step:
    """One layer's output: the symbolic tensor, the call that computes it, and the names of its input tensors."""

    layer: str
    tensor: Tensor
    node: Any
    parents: tuple[str, ...]


class LayerGraph:
    """The tensors of a model by name, in topological order.

    A tensor has its layer's name. If a layer computes several, a number is appended from the second on.

    >>> import keras
    >>> image = keras.Input((2,), name="image")
    >>> graph = LayerGraph(keras.Model(image, keras.layers.ReLU(name="relu")(image)))
    >>> list(graph.steps), graph.output
    (['image', 'relu'], 'relu')
    """

    def __init__(self, model: keras.Model) -> None:
        self.steps: dict[str, Step] = {}
        names: dict[int, str] = {}
        stack = [model.outputs[0]]
        while stack:  # depth first; recursion would overflow with a thousand layers
            operation, call, _ = stack[-1]._keras_history
            node = operation._inbound_nodes[call]
            missing = [parent for parent in node.input_tensors if id(parent) not in names]
            if missing:
                stack += reversed(missing)
                continue
            tensor = stack.pop()
            if id(tensor) not in names:
                name = names[id(tensor)] = self._unused_name(operation.name)
                parents = tuple(names[id(parent)] for parent in node.input_tensors)
                self.steps[name] = Step(operation.name, tensor, node, parents)
        self.output = names[id(model.outputs[0])]
        self.input = next(name for name, step in self.steps.items() if not step.parents)

    def _unused_name(self, layer: str) -> str:
        count = sum(step.layer == layer for step in self.steps.values())
        return f"{layer}:{count}" if count else layer

    def needed(self, wanted: Iterable[str], given: Collection[str]) -> list[str]:
        """The tensors to compute for `wanted` if `given` are known, in topological order."""
        found, stack = set(), [name for name in wanted if name not in given]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += [parent for parent in self.steps[name].parents if parent not in given]
        return [name for name in self.steps if name in found]

    def downstream(self, name: str) -> set[str]:
        """The names of all tensors that depend on `name`."""
        found: set[str] = set()
        for other, step in self.steps.items():
            if name in step.parents or not found.isdisjoint(step.parents):
                found.add(other)
        return found

    def evaluate(self, wanted: Iterable[str], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute `wanted` from `given` in inference mode; returns both and the tensors between: float (n, ...)."""
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
