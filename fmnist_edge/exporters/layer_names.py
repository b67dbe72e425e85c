"""Find Keras layers in TensorFlow's op names, e.g. `model_1/dense_1_2/MatMul;model_1/dense_1_2/Relu`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from fmnist_edge.errors import ExportError, UnknownNameError

if TYPE_CHECKING:
    import keras

__all__ = ["LayerNames", "check_layers", "check_ops", "layer_of", "operation_names"]


class LayerNames:
    """Finds the layers in op names.

    Keras opens every layer's scope twice and TensorFlow appends a number to make it unique. So `dense_1` is the layer
    "dense", even if the model has a layer "dense_1": the scope of that one is `dense_1_2`. If the names carry no such
    numbers, scopes are read as they are.

    Args:
        layers: names of a model's layers.
        names: all op names of the file; they show whether scopes are numbered.
        model: the model's name; its scope encloses those of the layers.

    >>> layers = LayerNames(["dense", "dense_1"], ["model_1/dense_1/MatMul", "model_1/dense_1_2/MatMul"])
    >>> layers.of("model_1/dense_1/MatMul"), layers.of("model_1/dense_1_2/MatMul")
    (('dense',), ('dense_1',))
    """

    def __init__(self, layers: Iterable[str], names: Iterable[str], model: str = "") -> None:
        self.layers = set(layers)
        known = {*self.layers, model}
        outer_scopes = [scope for name in names for path in name.split(";") if (scope := first_scope(path, known))]
        self._numbered = bool(outer_scopes) and all(scope != without_number(scope) in known for scope in outer_scopes)

    def of(self, name: str) -> tuple[str, ...]:
        """The layers of the ops that are fused in the op called `name`, each once."""
        found = []
        for path in name.split(";"):
            # The outermost scope counts. An op inside it may have the name of another layer, such as `add`.
            scopes = (without_number(part) if self._numbered else part for part in path.split("/"))
            found += [scope for scope in scopes if scope in self.layers][:1]
        return tuple(dict.fromkeys(found))


def first_scope(path: str, known: Collection[str]) -> str | None:
    """The first part of a path that is in `known`, with or without its number."""
    return next((part for part in path.split("/") if part in known or without_number(part) in known), None)


def without_number(part: str) -> str:
    return re.sub(r"_\d+$", "", part)


def operation_names(model: keras.Model) -> list[str]:
    """The names of a model's layers, and of the operations between them, such as `keras.ops.exp`, in its order."""
    import keras

    return [item.name for item in (model.layers if isinstance(model, keras.Sequential) else model.operations)]


def layer_of(tensor: keras.KerasTensor) -> str:
    """The name of the layer or operation whose output a tensor of a Keras model is."""
    return str(tensor._keras_history.operation.name)


def check_layers(model: keras.Model, keep_float: Collection[str], originals: Mapping[str, str] | None = None) -> None:
    """Raises UnknownNameError for a name in `keep_float` that is not a layer of a Keras model.

    The message suggests a similar name and lists all layers. `originals`: what layers are called in the file that the
    model comes from, where that differs.
    """
    known = [layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"]
    layers = [(originals or {}).get(name, name) for name in known]
    for name in keep_float:
        if name not in known:
            close = difflib.get_close_matches(name, layers, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise UnknownNameError(
                f"{model.name} has no layer {name!r} to keep in float. {hint}It has: {', '.join(layers)}"
            )


def check_ops(keep_float: Collection[str], found: Collection[str]) -> None:
    """Raises ExportError for a layer in `keep_float` that is not in `found`, the layers that have ops in the file."""
    for name in keep_float:
        if name not in found:
            raise ExportError(
                f"layer {name!r} cannot be kept in float: the file has no op of its own for it; "
                f"layers with ops: {', '.join(sorted(found))}"
            )
