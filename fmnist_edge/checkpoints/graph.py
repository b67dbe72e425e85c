"""The calls in a model's config: which layer takes which tensors. Keras 2 and Keras 3 write them differently."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.refusals import AGAIN, ConfigRefusedError

__all__ = ["Call", "Graph", "Ref", "graph_of", "references"]

CONSTANT = "_CONSTANT_VALUE"  # how Keras 2 marks a first argument that is no tensor
SILENT = {"training": (None, False), "mask": (None,), "name": ...}  # arguments of a call that change nothing
MAX_CONSTANT = 1 << 20  # numbers in one constant


class Ref(NamedTuple):
    """One output tensor of one call of a layer."""

    layer: str
    call: int
    tensor: int


@dataclass
class Call:
    """A layer called once: positional and named arguments, with a Ref for every tensor."""

    args: list[Any]
    kwargs: dict[str, Any]


@dataclass
class Graph:
    """The calls of a functional model by layer name, in the file's order, and its ends."""

    calls: dict[str, list[Call]]
    inputs: list[Ref]
    outputs: list[Ref]
    order: list[str] = field(default_factory=list)


def graph_of(config: dict[str, Any]) -> Graph:
    """Read the inner config of a functional model. Raises ConfigRefusedError when it is not one graph."""
    layers = config.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ConfigRefusedError("a functional model has no list of layers")
    names = [name_of(layer) for layer in layers]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigRefusedError(f"two layers of one model are called {shown(twice)}")
    known = set(names)
    calls = {
        name: [call_of(node, known, name) for node in layer.get("inbound_nodes") or []]
        for name, layer in zip(names, layers, strict=True)
    }
    ends = [refs_in(config.get(key), known) for key in ("input_layers", "output_layers")]
    if not ends[0] or not ends[1]:
        raise ConfigRefusedError("a functional model has no inputs or no outputs")
    graph = Graph(calls, ends[0], ends[1], names)
    number_calls(graph)
    return graph


def name_of(layer: dict[str, Any]) -> str:
    """The name by which other layers speak of this one."""
    name = layer.get("name")
    if not isinstance(name, str):
        config = layer.get("config")
        name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""


class ArgumentError(ValueError):
    """A layer is called with what is neither a tensor of its model nor a constant. The message is what it is."""


def call_of(node: Any, known: set[str], layer: str) -> Call:
    try:
        if isinstance(node, dict):  # Keras 3
            args, kwargs = revived(node.get("args") or [], known), revived(node.get("kwargs") or {}, known)
        else:
            args, kwargs = keras_2_arguments(node, known)
    except ArgumentError as error:
        raise ConfigRefusedError(f"layer {shown(layer)} is called with {error}", AGAIN) from error
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        raise ConfigRefusedError(f"layer {shown(layer)} is called with {shown(node)}", AGAIN)
    kept = {key: value for key, value in kwargs.items() if key not in SILENT or not silent(key, value)}
    if isinstance(node, dict):
        kept.pop("training", None)  # in inference Keras 3 overrules it, Keras 2 obeys it
    if kept.get("training"):
        raise ConfigRefusedError(
            f"layer {shown(layer)} is called with training=True, which answers differently each time; "
            "call it without and save again"
        )
    return Call(list(args), kept)


def silent(key: str, value: Any) -> bool:
    neutral: Any = SILENT[key]
    return neutral is ... or any(value is item for item in neutral)


def keras_2_arguments(node: Any, known: set[str]) -> tuple[list[Any], dict[str, Any]]:
    """`[["x", 0, 0, {...}], …]`, or one of its items alone: the first argument; the named ones stand in each item."""
    kwargs: dict[str, Any] = {}

    def first(item: Any) -> Any:
        if isinstance(item, list) and len(item) in (3, 4) and isinstance(item[0], str) and not isinstance(item[1], str):
            if len(item) == 4:
                kwargs.update(item[3] or {})
            if item[0] == CONSTANT:
                return constant(item[2])
            return ref_of(item, known)
        if isinstance(item, list):
            return [first(part) for part in item]
        if isinstance(item, dict):
            return {key: first(part) for key, part in item.items()}
        raise ArgumentError(shown(item))

    argument = first(node)
    if isinstance(argument, list) and len(argument) == 1 and not isinstance(argument, Ref):
        argument = argument[0]
    return [argument], {key: with_refs(value, known) for key, value in kwargs.items()}


def with_refs(value: Any, known: set[str]) -> Any:
    """A named argument of Keras 2, in which `["x", 0, 0]` is a tensor when there is a layer "x"."""
    if is_ref(value, known):
        return ref_of(value, known)
    if isinstance(value, list):
        return [with_refs(item, known) for item in value]
    return revived(value, known) if isinstance(value, dict) else value


def revived(value: Any, known: set[str]) -> Any:
    """Keras 3's JSON of an argument as what it was: tensors, slices, arrays, tuples."""
    if isinstance(value, list):
        return [revived(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"start", "stop", "step"}:  # Keras 2's slice
        return slice(*(with_refs(value[key], known) for key in ("start", "stop", "step")))
    kind, config = value.get("class_name"), value.get("config")
    if not isinstance(kind, str) or not {"config", "items"} & set(value):
        return {str(key): revived(item, known) for key, item in value.items()}
    if kind == "__keras_tensor__" and isinstance(config, dict):
        return ref_of(config.get("keras_history"), known)
    if kind == "__tuple__":
        return tuple(revived(config if config is not None else value.get("items"), known))
    if kind == "__ellipsis__":
        return ...
    if kind == "__slice__" and isinstance(config, dict):
        return slice(*(revived(config.get(f"{key}"), known) for key in ("start", "stop", "step")))
    if kind in ("__tensor__", "__numpy__") and isinstance(config, dict):
        return constant(config.get("value"), config.get("dtype"))
    raise ArgumentError(f"a {shown(kind)}")


def constant(value: Any, dtype: Any = None) -> Any:
    if isinstance(value, (bool, int, float)) and dtype is None:
        return value
    try:
        array = np.asarray(value, dtype if isinstance(dtype, str) else None)
    except (TypeError, ValueError) as error:
        raise ArgumentError(shown(value)) from error
    if array.dtype.kind not in "fiub" or array.size > MAX_CONSTANT:
        raise ArgumentError(shown(value))
    return array.astype("float32") if array.dtype.kind == "f" else array


def is_ref(value: Any, known: set[str]) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] in known
        and all(type(number) is int for number in value[1:3])
    )


def ref_of(value: Any, known: set[str]) -> Ref:
    if not is_ref(value, known):
        raise ArgumentError(f"{shown(value)}, which is no output of a layer of its model")
    return Ref(value[0], value[1], value[2])


def refs_in(value: Any, known: set[str]) -> list[Ref]:
    """`["x", 0, 0]`, a list of such, or a dictionary, as input_layers and output_layers come."""
    if is_ref(value, known):
        return [ref_of(value, known)]
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value.get("config") or value.get("items")
    items = [value[key] for key in sorted(value)] if isinstance(value, dict) else value
    return [ref for item in items for ref in refs_in(item, known)] if isinstance(items, list) else []


def references(value: Any) -> list[Ref]:
    """All tensors in an argument, whatever holds them."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, slice):
        return [ref for item in (value.start, value.stop, value.step) for ref in references(item)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [ref for item in items for ref in references(item)]


def number_calls(graph: Graph) -> None:
    """Count each layer's calls from 0.

    Keras 2 counts the call that made a nested model, and others outside of the file; some versions do so in one place
    and not in another. Every call in a file is answered to, so the numbers that occur stand for the calls in order.
    """
    told: dict[str, set[int]] = {}
    for calls in graph.calls.values():
        for call in calls:
            for ref in references([call.args, call.kwargs]):
                told.setdefault(ref.layer, set()).add(ref.call)
    for ref in (*graph.inputs, *graph.outputs):
        told.setdefault(ref.layer, set()).add(ref.call)
    renumbered: dict[tuple[str, int], int] = {}
    for layer, numbers in told.items():
        made = max(len(graph.calls[layer]), 1)  # an input is made, not called
        ranks = {number: rank for rank, number in enumerate(sorted(numbers))}
        if made == 1:
            ranks = dict.fromkeys(numbers, 0)
        elif len(numbers) != made:
            shift = max(max(numbers) - made + 1, 0)
            ranks = {number: number - shift for number in numbers}
        if min(ranks.values()) < 0:
            raise ConfigRefusedError(f"layer {shown(layer)} is called {made} times, but {len(numbers)} are used")
        renumbered |= {(layer, number): rank for number, rank in ranks.items()}

    def change(value: Any) -> Any:
        if isinstance(value, Ref):
            return value._replace(call=renumbered[value.layer, value.call])
        if isinstance(value, slice):
            return slice(*map(change, (value.start, value.stop, value.step)))
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return type(value)(map(change, value)) if isinstance(value, (list, tuple)) else value

    for calls in graph.calls.values():
        for call in calls:
            call.args, call.kwargs = change(call.args), change(call.kwargs)
    graph.inputs, graph.outputs = change(graph.inputs), change(graph.outputs)
