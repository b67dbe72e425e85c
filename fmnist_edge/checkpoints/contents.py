"""What a checkpoint holds, in any of its formats: data, never objects."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras

    from fmnist_edge.checkpoints.parts import Part

__all__ = ["Contents", "Weight", "differs", "leaf_of", "printable", "shown", "weight_of"]

# The same in Keras 2 and 3.
LEAVES = {
    "alpha", "beta", "bias", "count", "embeddings", "gamma", "kernel", "mean", "moving_mean", "moving_variance",
    "pointwise_kernel", "recurrent_kernel", "variance",
}  # fmt: skip


class Weight(NamedTuple):
    """One array; `layer`, `leaf` ("kernel", "gamma") and `path` are empty where the file does not say.

    `stored` is its type in the file where that is bfloat16, which NumPy does not have: the value is float32 then.
    """

    layer: str
    leaf: str
    value: np.ndarray
    path: str = ""
    stored: str = ""


@dataclass(frozen=True)
class Contents:
    """A file's model config as it stands, and its weights.

    Attributes:
        config: the JSON of the model; None in a file of weights alone.
        queues: weights in the file's order. Keras 3 keeps an order per layer class only: then one queue per class.
        load: copies the weights into the layers made for a plan's root; raises when they do not fit.
        keras_2: whether Keras 2 wrote it.
        head: the last activation of a file without `config`, as far as it is known.
        no_config: why there is no `config` and what helps.
    """

    config: Any
    queues: list[list[Weight]]
    load: Callable[[Part], None]
    keras_2: bool = False
    head: str = "linear"
    no_config: tuple[str, str] = (
        "it holds weights without a model config",
        "build the model, load the weights into it, and save it whole with model.save('model.keras')",
    )

    @property
    def widths(self) -> list[str]:
        """Floating-point types of its weights, other than float32."""
        weights = [weight for queue in self.queues for weight in queue if weight.value.dtype.kind == "f"]
        return sorted({weight.stored or weight.value.dtype.name for weight in weights} - {"float32"})

    @property
    def elements(self) -> int:
        return sum(weight.value.size for queue in self.queues for weight in queue)


def weight_of(layer: str, leaf: str, value: np.ndarray, path: str = "") -> Weight:
    """A weight of an array as a file holds it; HDF5 knows bfloat16 as two bytes of no type."""
    if value.dtype.kind != "V":
        return Weight(layer, leaf, value, path)
    wide = (np.ascontiguousarray(value).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return Weight(layer, leaf, wide.reshape(value.shape), path, "bfloat16")


def leaf_of(path: str) -> str:
    """'unit/conv2d_1/kernel:0' -> 'kernel'; '' when that is no name we know."""
    leaf = re.sub(r":\d+$", "", path).rpartition("/")[2]
    return leaf if leaf in LEAVES else ""


def differs(variable: keras.Variable, weight: Weight) -> bool:
    """Whether `weight` cannot be the value of `variable`, by shape or by a known name."""
    ours = variable.name if variable.name in LEAVES else ""
    renamed = ours != weight.leaf and bool(ours and weight.leaf)
    return tuple(variable.shape) != weight.value.shape or renamed


def shown(value: Any) -> str:
    """`value` from a file, short enough for one line of a terminal."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
