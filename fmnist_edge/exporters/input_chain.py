"""The operations that a model applies to its input one after another, up to where its graph branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmnist_edge.aliases import Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["Step", "input_chain"]


@dataclass(frozen=True)
class Step:
    """One operation on the chain.

    Attributes:
        operation: a Keras layer or operation.
        arguments: its positional arguments; the chain's tensor among them is None, constants are as they are.
        run: computes its output from values of its input, in inference mode.
    """

    operation: Any
    arguments: tuple[object, ...]
    run: Callable[[Tensor], Tensor]

    @property
    def kind(self) -> str:
        return type(self.operation).__name__

    @property
    def name(self) -> str:
        return str(self.operation.name)


def input_chain(model: keras.Model) -> list[Step]:
    """The operations from the input on, each the only reader of the one before. Models inside `model` are opened."""
    return walk(model)[0]


def walk(model: keras.Model) -> tuple[list[Step], bool]:
    """The chain of one model, and whether it leads to the model's output."""
    model = getattr(model, "_functional", None) or model
    if not hasattr(model, "_nodes_by_depth") or len(model.inputs) != 1 or len(model.outputs) != 1:
        return [], False
    nodes = [node for level in model._nodes_by_depth.values() for node in level]
    tensor = model.inputs[0]
    steps: list[Step] = []
    while tensor is not model.outputs[0]:
        readers = [node for node in nodes if any(item is tensor for item in node.input_tensors)]
        if len(readers) != 1 or any(item is not tensor for item in readers[0].input_tensors):
            return steps, False
        (node,) = readers
        if hasattr(node.operation, "_nodes_by_depth") or getattr(node.operation, "_functional", None):
            inside, complete = walk(node.operation)
            steps += inside
            if not complete:
                return steps, False
        else:
            steps += steps_of(node, tensor)
        if len(node.outputs) != 1:
            return steps, False
        tensor = node.outputs[0]
    return steps, True


def steps_of(node: Any, tensor: Tensor) -> Iterator[Step]:
    operation = node.operation
    if type(operation).__name__ == "Pipeline":  # of preprocessing layers
        yield from (Step(layer, (None,), inference(layer)) for layer in operation.layers)
        return

    def run(values: Tensor) -> Tensor:
        arguments, options = node.arguments.fill_in({id(tensor): values})
        return operation(*arguments, **options)

    yield Step(operation, tuple(None if item is tensor else item for item in node.arguments.args), run)


def inference(layer: Any) -> Callable[[Tensor], Tensor]:
    return lambda values: layer(values, training=False)
