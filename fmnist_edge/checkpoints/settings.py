"""A layer's settings: Keras 2's and early Keras 3's as today's constructor takes them."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any

from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.checkpoints.refusals import ConfigRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["accepted", "dtype_of", "modern", "without_leftovers"]

FLOATS = ("float", "bfloat", "mixed_", "double", "half")
# What training needs and inference does not, or what a call tells anew: by the end of the setting's name.
NOT_INFERENCE = (
    "_initializer", "_regularizer", "_constraint", "_shape", "_dtype", "_seed", "_dim", "trainable", "dtype", "seed",
    "rng_type", "stateful", "momentum", "value_range", "batch_size", "build_config", "sparse",
    "input_length", "autocast", "dynamic",
)  # fmt: skip
SPEED = frozenset({"implementation", "fused", "virtual_batch_size", "use_cudnn", "experimental_run_tf_function"})
NEUTRAL: tuple[Any, ...] = (None, False, [], {}, "")
TAKEN_OUT = re.compile(r"""kwargs\.pop\(\s*["'](\w+)["']|["'](\w+)["'] in kwargs""")
NEUTRAL_AT = {"groups": 1, "batch_size": None}


def modern(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A layer's settings of Keras 2 in Keras 3's spelling, without those that Keras 3 does not take.

    Raises ConfigRefusedError for a setting that today's layer does not have and that changes answers.
    """
    axis = config.get("axis")
    if class_name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]
    if class_name == "InputLayer" and not config.get("batch_shape") and "batch_input_shape" in config:
        config["batch_shape"] = config["batch_input_shape"]
    return without_leftovers(class_name, config)


def without_leftovers(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Drop what the constructor does not take when inference does not need it."""
    known = accepted("layers", class_name)
    if known is None:
        return config
    kept = {}
    for key, value in config.items():
        if key in known:
            kept[key] = value
        elif not (class_name.startswith("Random") or is_leftover(key, value)):
            raise ConfigRefusedError(
                f"layer {shown(config.get('name'))}, a {class_name}, has {key}={shown(value)}, "
                "which this version of Keras does not know"
            )
    return kept


def is_leftover(key: str, value: Any) -> bool:
    """Whether a setting does not change answers: because of its kind, or because it is off."""
    if key in SPEED or key.endswith(NOT_INFERENCE):
        return True
    return any(type(value) is type(item) and value == item for item in NEUTRAL) or NEUTRAL_AT.get(key, ...) == value


@functools.cache
def accepted(kind: str, class_name: str) -> frozenset[str] | None:
    """Names that the constructor of `keras.<kind>.<class_name>` takes; None where there is no such class.

    A constructor with **kwargs hands them on to the class above it.
    """
    import keras

    found = getattr(getattr(keras, kind), class_name, None)
    if not inspect.isclass(found):
        return None
    names: set[str] = set()
    for base in found.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names.update(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        if base is not keras.layers.Layer:
            names.update(old_names(vars(base)["__init__"]))
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return frozenset(names - {"self"})


def old_names(constructor: Callable[..., None]) -> list[str]:
    """Names that a constructor still takes out of its **kwargs, such as LeakyReLU's `alpha`."""
    try:
        source = inspect.getsource(constructor)
    except (OSError, TypeError):
        return []
    return [name for pair in TAKEN_OUT.findall(source) for name in pair if name]


def dtype_of(name: str, layer: str) -> str:
    """The dtype under which a layer is rebuilt: float32 for every floating-point policy, integers as they are."""
    if "_from_" in name:
        raise ConfigRefusedError(
            f"layer {shown(layer)} is quantised ({shown(name)})",
            "save the float model, from before quantize(), and let --precision choose",
        )
    return "float32" if name.startswith(FLOATS) else name
