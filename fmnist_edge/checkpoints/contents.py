"""What a checkpoint holds, whichever format it came in: data, never objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Contents", "Weight", "copy_in_order", "differs", "leaf_of", "printable", "shown"]

LEAVES = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}  # the same in Keras 2 and 3


class Weight(NamedTuple):
    """One array; `layer` and `leaf` ("kernel", "gamma") are empty where the file does not tell."""

    layer: str
    leaf: str
    value: np.ndarray


@dataclass(frozen=True)
class Contents:
    """A file's model config as it stands, and its weights.

    Attributes:
        config: the JSON of the model; None in a file of weights alone.
        queues: weights in the file's order. Keras 3 keeps an order per layer class only: then one queue per class.
        load: copies the weights into a model that was built from `config`; raises when they do not fit.
        keras_2: whether Keras 2 wrote it.
        head: the last activation of a file without `config`, which seldom tells.
    """

    config: Any
    queues: list[list[Weight]]
    load: Callable[[Any], None]
    keras_2: bool = False
    head: str = "linear"

    @property
    def elements(self) -> int:
        return sum(weight.value.size for queue in self.queues for weight in queue)


def leaf_of(path: str) -> str:
    """'unit/conv2d_1/kernel:0' -> 'kernel'; '' when that is no name we know."""
    leaf = re.sub(r":\d+$", "", path).rpartition("/")[2]
    return leaf if leaf in LEAVES else ""


def differs(variable: Any, weight: Weight) -> bool:
    """Whether `weight` cannot be the value of `variable`, by shape or by a known name."""
    ours = variable.name if variable.name in LEAVES else ""
    renamed = ours != weight.leaf and bool(ours and weight.leaf)
    return tuple(variable.shape) != weight.value.shape or renamed


def copy_in_order(variables: Sequence[Any], weights: Sequence[Weight]) -> None:
    """Assign `weights` to `variables` one by one; ValueError, before any is assigned, when they do not pair up."""
    if len(variables) != len(weights):
        raise ValueError(f"the file holds {len(weights)} weights, its config asks for {len(variables)}")
    for variable, weight in zip(variables, weights, strict=True):
        if differs(variable, weight):
            raise ValueError(
                f"the file holds {weight.leaf or 'a weight'} {weight.value.shape} where its config asks for "
                f"{variable.name} {tuple(variable.shape)}"
            )
    for variable, weight in zip(variables, weights, strict=True):
        variable.assign(weight.value)


def shown(value: Any) -> str:
    """`value` from a file, fit for one line of a terminal."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
