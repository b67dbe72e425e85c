"""Keras layers in the names that TensorFlow gives ops: `model_1/dense_1_2/MatMul;model_1/dense_1_2/Relu`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fmnist_edge.errors import ExportError, UnknownNameError

__all__ = ["LayerNames", "check_layers", "check_ops", "output_layer"]


class LayerNames:
    """Reads layers out of names.

    Keras opens every layer's scope twice and TensorFlow makes it unique by a number, so that `dense_1` is the layer
    "dense" even where there is a layer "dense_1", whose scope then is `dense_1_2`. Names without that number are taken
    as they are.

    Args:
        layers: names of a model's layers.
        names: all the names that will be asked about.
        model: the model's name, whose scope is around those of the layers.

    >>> layers = LayerNames(["dense", "dense_1"], ["model_1/dense_1/MatMul", "model_1/dense_1_2/MatMul"])
    >>> layers.of("model_1/dense_1/MatMul"), layers.of("model_1/dense_1_2/MatMul")
    (('dense',), ('dense_1',))
    """

    def __init__(self, layers: Iterable[str], names: Iterable[str], model: str = "") -> None:
        self.layers = set(layers)
        known = {*self.layers, model}
        outermost = [scope for name in names for path in name.split(";") if (scope := scope_in(path, known))]
        self._numbered = bool(outermost) and all(scope != unnumbered(scope) in known for scope in outermost)

    def of(self, name: str) -> tuple[str, ...]:
        """The layers of the ops that were fused under `name`."""
        found = []
        for path in name.split(";"):
            # The outermost one: an op inside may be called like another layer, Keras and TensorFlow both have an `add`.
            scopes = (unnumbered(part) if self._numbered else part for part in path.split("/"))
            found += [scope for scope in scopes if scope in self.layers][:1]
        return tuple(dict.fromkeys(found))


def scope_in(path: str, known: Collection[str]) -> str | None:
    """The first part of a path that is one of `known`, as it is or without its number."""
    return next((part for part in path.split("/") if part in known or unnumbered(part) in known), None)


def unnumbered(part: str) -> str:
    return re.sub(r"_\d+$", "", part)


def output_layer(model: Any) -> str:
    """The layer whose output is the model's."""
    return model.outputs[0]._keras_history.operation.name


def check_layers(model: Any, keep_float: Collection[str], originals: Mapping[str, str] | None = None) -> None:
    """Raises UnknownNameError, with what comes close and the choices, for a name that is no layer of a Keras model.

    `originals`: what layers are called in the file that the model comes from, where that differs.
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
    """Raises ExportError for a layer that is none of `found`, those that ops of the file are named after."""
    for name in keep_float:
        if name not in found:
            raise ExportError(
                f"layer {name!r} cannot be kept in float: no op of the file is its own; "
                f"layers that have some: {', '.join(sorted(found))}"
            )
