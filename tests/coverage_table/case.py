"""A small model around one layer, activation or operation in one setting."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "IMAGE", "SIGNED", "UNIT", "Case", "activation", "custom", "images_for", "layer", "model_of", "operation", "words",
]  # fmt: skip

UNIT, SIGNED = (0.0, 1.0), (-4.0, 4.0)
IMAGE = (8, 8, 4)
COUNT = 20  # images of a case


@dataclass(frozen=True)
class Case:
    """One layer, activation or operation in one setting.

    Attributes:
        kind: "layers", "activations" or "operations".
        name: as the allow-list has it; operations with their module: "numpy.Abs".
        setting: the arguments that the case tries; "default" for none.
        build: the model's input tensor -> what the layer answers.
        shape: of one image.
        domain: the values that pixels 0 and 255 stand for.
        rounds: how many tensors that integer precisions round lie one behind another inside the layer; 1 for a layer
            of one op. The bounds of integer precisions grow with it.
        jumps: the share of images that may be further away than the bound, for a function that jumps.
    """

    kind: str
    name: str
    setting: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...] = IMAGE
    domain: tuple[float, float] = UNIT
    rounds: int = 1
    jumps: float = 0.0

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.name}/{self.setting}"

    @property
    def seed(self) -> int:
        return zlib.crc32(self.id.encode())


def words(text: str) -> list[str]:
    return text.split()


def label(arguments: dict[str, Any]) -> str:
    """
    >>> label({"strides": 2, "padding": "same"}), label({})
    ('strides=2, padding=same', 'default')
    """
    return ", ".join(f"{name}={value}" for name, value in arguments.items()) or "default"


def layer(name: str, *variants: dict[str, Any], **options: Any) -> list[Case]:
    """Cases of a layer of Keras, one per variant of its arguments.

    Options: those of a Case; `base`, the arguments that all variants have and no label names; `of`, what the input is,
    where that tells two settings apart.
    """
    base: dict[str, Any] = options.pop("base", {})
    of = f"{options.pop('of')}, " if "of" in options else ""

    def build(arguments: dict[str, Any]) -> Callable[[Any], Any]:
        def built(x: Any) -> Any:
            import keras

            return getattr(keras.layers, name)(**{**base, **arguments})(x)

        return built

    return [Case("layers", name, of + label(item), build(item), **options) for item in variants or ({},)]


def custom(name: str, setting: str, build: Callable[[Any, Any], Any], **options: Any) -> Case:
    """A case of a layer that is not just called on the input; `build` gets keras.layers and the input."""

    def built(x: Any) -> Any:
        import keras

        return build(keras.layers, x)

    return Case("layers", name, setting, built, **options)


def activation(name: str, **options: Any) -> list[Case]:
    """An activation on the input itself, and behind a convolution, where integer precisions have to round."""

    def on_input(x: Any) -> Any:
        import keras

        return keras.layers.Activation(name)(x)

    def after_convolution(x: Any) -> Any:
        import keras

        return keras.layers.Conv2D(4, 3, activation=name)(x)

    options = {"domain": SIGNED, **options}
    return [
        Case("activations", name, "on the input", on_input, **options),
        Case("activations", name, "after a convolution", after_convolution, **{**options, "rounds": 2}),
    ]


def operation(
    name: str, setting: str = "default", call: Callable[[Any, Any], Any] | None = None, **options: Any
) -> Case:
    """A case of an operation, "module.Class"; `call` gets the operation and the input. Other options go to its class.

    Options of the case itself: shape, domain, rounds. `arguments`: of the class, if they have one of these names.
    """
    own = {key: options.pop(key) for key in ("shape", "domain", "rounds", "jumps") if key in options}
    options |= options.pop("arguments", {})
    module, _, class_name = name.partition(".")

    def built(x: Any) -> Any:
        from importlib import import_module

        made = getattr(import_module(f"keras.src.ops.{module}"), class_name)(**options)
        return made(x) if call is None else call(made, x)

    if setting == "default" and options:
        setting = label(options)
    return Case("operations", name, setting, built, **{"domain": SIGNED, "shape": (4, 4, 3), **own})


def model_of(case: Case) -> Any:
    """The Keras model of a case, with weights that leave no term of the layer's formula at 0 or 1."""
    import keras

    keras.utils.set_random_seed(case.seed % 2**31)
    inputs = keras.Input(case.shape, name="image")
    outputs = flat(case.build(inputs))
    model = keras.Model(inputs, outputs, name="model")
    rng = np.random.default_rng(case.seed)
    for variable in model.weights:
        if str(variable.dtype) == "float32":
            variable.assign(varied(np.asarray(variable), variable.path, rng))
    return model


def varied(values: np.ndarray, path: str, rng: np.random.Generator) -> np.ndarray:
    """`values`, changed where an initialiser left zeros or ones: such weights would hide a term that goes missing."""
    if values.size == 0 or not np.isin(values, (0, 1)).all() or path.endswith(("seed_generator_state", "vector_u")):
        return values
    if "variance" in path or "gamma" in path or "scale" in path or np.all(values == 1):
        return rng.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return rng.normal(0, 0.2, values.shape).astype(np.float32)


def flat(outputs: Any) -> Any:
    """(n, classes) float32, with as little behind the layer as can be."""
    from keras import layers, ops

    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        parts = [flat(item) for item in outputs]
        return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    if str(outputs.dtype) != "float32":
        outputs = ops.cast(outputs, "float32")
    if len(outputs.shape) < 2:
        return ops.reshape(outputs, (-1, 1))
    return outputs if len(outputs.shape) == 2 else layers.Flatten()(outputs)


def images_for(case: Case) -> np.ndarray:
    """uint8 (COUNT, *shape): noise, smooth patterns such as photographs have, and one black and one white image."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (COUNT // 2 - 1, *case.shape), dtype=np.uint8)
    smooth = [smooth_image(case.shape, rng) for _ in range(COUNT - len(noise) - 2)]
    plain = [np.full(case.shape, value, np.uint8) for value in (0, 255)]
    return np.stack([*noise, *smooth, *plain])


def smooth_image(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """A sum of slow waves along all axes but the last, another one for each channel."""
    axes = np.meshgrid(*(np.linspace(0, 1, size) for size in shape[:-1]), indexing="ij") if len(shape) > 1 else []
    value = np.zeros(shape)
    for axis in axes:
        turns, phase = rng.uniform(0, 1.5, shape[-1]), rng.uniform(0, 2 * np.pi, shape[-1])
        value += np.sin(2 * np.pi * axis[..., None] * turns + phase)
    value += rng.normal(0, 0.1, shape)
    low, high = value.min(), value.max()
    return np.round((value - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
