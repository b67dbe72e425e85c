"""Which array of a file is the value of which variable: by what each layer asks for, and checked afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.checkpoints.contents import Weight, differs, shown
from fmnist_edge.checkpoints.parts import Part, leaves_of, snake

if TYPE_CHECKING:
    import keras

__all__ = ["Given", "Source", "check_loaded", "give", "load_layer", "load_model", "load_together"]


@dataclass
class Source:
    """What a file holds for a layer: arrays of its own in order, and those of layers inside it by name."""

    own: list[Weight] = field(default_factory=list)
    children: dict[str, Source] = field(default_factory=dict)
    listed: list[Source] = field(default_factory=list)  # those of layers in a list that does not name them

    @property
    def all(self) -> list[Weight]:
        inner = (*self.children.values(), *self.listed)
        return [*self.own, *(weight for child in inner for weight in child.all)]


def paired(variables: Sequence[keras.Variable], weights: Sequence[Weight], what: str) -> list[np.ndarray | None]:
    """The value of each variable, None for a counter that the file leaves out. ValueError when they do not pair up.

    Weights that the layer does not ask for (random states, the counters of old versions, BatchRenormalization's
    statistics) are left over only where all that it asks for is there by name or by shape.
    """
    if len(variables) == len(weights) and not any(map(differs, variables, weights)):
        return [weight.value for weight in weights]
    for same in (named_alike, shaped_alike):
        found = picked(variables, weights, same)
        if found is not None:
            return found
    for variable, weight in zip(variables, weights, strict=False):
        if differs(variable, weight):
            raise ValueError(
                f"{what}: the file holds {weight.leaf or 'a weight'} {weight.value.shape} where its config asks for "
                f"{variable.name} {tuple(variable.shape)}"
            )
    raise ValueError(f"{what}: the file holds {len(weights)} weights, its config asks for {len(variables)}")


def named_alike(variable: keras.Variable, weight: Weight) -> bool:
    leaf = weight.path.rpartition("/")[2].partition(":")[0] or weight.leaf
    return bool(leaf == variable.name and tuple(variable.shape) == weight.value.shape)


def shaped_alike(variable: keras.Variable, weight: Weight) -> bool:
    return weight.value.dtype.kind == "f" and not differs(variable, weight)


def picked(
    variables: Sequence[keras.Variable], weights: Sequence[Weight], same: Callable[[keras.Variable, Weight], bool]
) -> list[np.ndarray | None] | None:
    """The first unused weight that is the `same` as each variable; None when one finds none."""
    rest = list(weights)
    found: list[np.ndarray | None] = []
    for variable in variables:
        index = next((i for i, weight in enumerate(rest) if same(variable, weight)), None)
        if index is not None:
            found.append(rest.pop(index).value)
        elif is_counter(variable):
            found.append(None)
        else:
            return None
    spare = [weight for weight in rest if weight.value.dtype.kind == "f"]
    return None if spare and same is shaped_alike else found


def is_counter(variable: keras.Variable) -> bool:
    return "int" in str(variable.dtype)


def give(layer: keras.Layer, values: dict[int, np.ndarray]) -> None:
    """Set variables, by their id, in a layer and in those inside it.

    This is how Keras loads a file: a layer then computes what it derives from its variables.
    """
    for inner in layer._flatten_layers():
        own = own_of(inner)
        if not own:
            continue
        missing = [variable for variable in own if id(variable) not in values]
        store = {str(i): values.get(id(variable), np.asarray(variable)) for i, variable in enumerate(own)}
        if len(missing) < len(own):
            inner.load_own_variables(store)


def own_of(layer: keras.Layer) -> list[keras.Variable]:
    """A layer's own variables in Keras's order, random states left out."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def weights_of(layer: keras.Layer) -> list[keras.Variable]:
    """A layer's variables as HDF5 files list them: trainable ones first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights] if hasattr(layer, "trainable_weights") else []


Given = dict[int, np.ndarray]


def values_for(variables: Sequence[keras.Variable], weights: Sequence[Weight], what: str) -> Given:
    values = paired(variables, weights, what)
    return {id(v): value for v, value in zip(variables, values, strict=True) if value is not None}


def load_together(part: Part, weights: list[Weight]) -> Given:
    """One list of weights for a layer, or for a model inside: its trainable weights first, or layer by layer.

    Of the orders that fit in shape and kind, the one in which most names agree wins.
    """
    owners = [(leaf, leaf.layer) for leaf in leaves_of(part) if leaf.layer is not None and weights_of(leaf.layer)]
    if len(owners) == 1:
        layer = owners[0][1]
        values = values_for(weights_of(layer), weights, f"layer {shown(part.name)}")
        give(layer, values)
        return values
    first = [(leaf, v) for leaf, layer in owners for v in layer.trainable_weights]
    then = [(leaf, v) for leaf, layer in owners for v in layer.non_trainable_weights]
    in_turn = [(leaf, v) for leaf, layer in owners for v in weights_of(layer)]
    best: tuple[int, Given] | None = None
    for order in ([*first, *then], in_turn):
        if len(order) == len(weights) and not any(differs(v, w) for (_, v), w in zip(order, weights, strict=True)):
            agreed = sum(names_layer(w, leaf.name) for (leaf, _), w in zip(order, weights, strict=True))
            if best is None or agreed > best[0]:
                best = agreed, {id(v): w.value for (_, v), w in zip(order, weights, strict=True)}
    if best is None or best[0] < len(weights):
        named = by_name([leaf for leaf, _ in owners], weights)
        best = (len(weights), named) if named is not None else best
    if best is None:
        raise ValueError(
            f"model {shown(part.name)}: the file holds {len(weights)} weights that are not those of its layers"
        )
    for _, layer in owners:
        give(layer, best[1])
    return best[1]


def names_layer(weight: Weight, name: str) -> bool:
    return bool(name) and f"/{name}/" in f"/{weight.path}"


def by_name(leaves: list[Part], weights: list[Weight]) -> Given | None:
    """Give each layer the weights that are named after it; None unless that leaves nothing open."""
    values: Given = {}
    for leaf in leaves:
        own = [weight for weight in weights if names_layer(weight, leaf.name)]
        try:
            values |= values_for(weights_of(leaf.layer), own, leaf.name)
        except ValueError:
            return None
    return values


def load_layer(layer: keras.Layer, source: Source, what: str) -> Given:
    """A layer's weights from a file that keeps them by attribute, its inner layers' below their own names."""
    own = own_of(layer)
    values = values_for(own, source.own, what) if own or source.own else {}
    inside = attributes_of(layer)
    for name, child in source.children.items():
        if not child.all:
            continue
        target = inside.get(name) or inside.get(f"_{name}") or inside.get(name.lstrip("_"))
        if target is None or isinstance(target, list):
            values |= load_listed(target or [], child, f"{what}/{name}")
        else:
            values |= load_layer(target, child, f"{what}/{name}")
    return values


def attributes_of(layer: keras.Layer) -> dict[str, keras.Layer | list[keras.Layer]]:
    """Layers that a layer keeps, and lists of them, by attribute."""
    import keras

    found: dict[str, keras.Layer | list[keras.Layer]] = {}
    for name, value in vars(layer).items():
        if isinstance(value, keras.layers.Layer):
            found[name] = value
        elif isinstance(value, (list, tuple)) and value and all(isinstance(item, keras.layers.Layer) for item in value):
            found[name] = list(value)
    if hasattr(layer, "layers"):
        found["layers"] = list(layer.layers)
    return found


def load_listed(layers: list[keras.Layer], source: Source, what: str) -> Given:
    """Layers in a list, which files name after their classes: "lstm_cell", "lstm_cell_1"."""
    values: Given = {}
    if source.listed:
        layers = [layer for layer in layers if layer.weights]
        if len(layers) != len(source.listed):
            raise ValueError(f"{what} holds {len(source.listed)} layers with weights, its config {len(layers)}")
        for layer, child in zip(layers, source.listed, strict=True):
            values |= load_layer(layer, child, what)
        return values
    names = numbered([type(layer).__name__ for layer in layers])
    if not set(source.children) <= set(names) or source.own:
        raise ValueError(f"{what} holds weights that its layer does not ask for")
    for name, layer in zip(names, layers, strict=True):
        if name in source.children:
            values |= load_layer(layer, source.children[name], f"{what}/{name}")
    return values


def numbered(class_names: list[str]) -> list[str]:
    """Groups' names of layers in a list: by class, counted from the second on."""
    seen: dict[str, int] = {}
    names = []
    for name in map(snake, class_names):
        count = seen[name] = seen.get(name, -1) + 1
        names.append(f"{name}_{count}" if count else name)
    return names


def load_model(part: Part, source: Source) -> Given:
    """A model's weights from a `.keras` file, layer by layer in the config's order."""
    values: Given = {}
    top = next((source.children[name] for name in TOP if name in source.children), Source())
    parts = part.parts or []
    for name, inner in zip(numbered([inner.class_name for inner in parts]), parts, strict=True):
        child = top.children.get(name, Source())
        if inner.is_model:
            values |= load_model(inner, child)
        elif inner.layer is not None and hasattr(inner.layer, "_flatten_layers"):
            found = load_layer(inner.layer, child, f"layer {shown(inner.name)}")
            give(inner.layer, found)
            values |= found
    return values


TOP = ("layers", "_layer_checkpoint_dependencies")  # Keras 3; 2.12 to 2.13


def check_loaded(root: Part, values: Given) -> None:
    """Compare every variable with what the file holds for it. ValueError when one got nothing or something else."""
    for leaf in leaves_of(root):
        for variable in weights_of(leaf.layer) if leaf.layer is not None else ():
            if id(variable) not in values:
                if is_counter(variable):
                    continue
                raise ValueError(f"layer {shown(leaf.name)}: the file holds no {variable.name} {tuple(variable.shape)}")
            held = np.asarray(values[id(variable)])
            if not np.array_equal(np.asarray(variable), held.astype(str(variable.dtype)), equal_nan=True):
                raise ValueError(f"layer {shown(leaf.name)}: {variable.name} is not what the file holds")
