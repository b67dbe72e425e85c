"""ModelSpec: the record of a model of the zoo."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmnist_edge.models.recipe import Recipe, distilled, published

if TYPE_CHECKING:
    import keras

__all__ = ["ModelSpec"]


@dataclass(frozen=True)
class ModelSpec:
    """One published architecture.

    Attributes:
        name: its name in commands and files.
        build: returns an untrained `keras.Model`: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits.
        parameters: trainable and non-trainable parameters, as published; the tests check the number.
        published_accuracy: test accuracy that its authors report, as a fraction; None for our own variants.
        train_images: number of the 60,000 training images that its protocol uses, from the first on.
        validation_images: number of these, the last ones, that are held out for validation.
        recipes: how to train it; "best" is the default of `train`.
        twin_of: for an edge variant, the name of the original model; None for an original.
    """

    name: str
    build: Callable[..., keras.Model]
    parameters: int
    published_accuracy: float | None
    train_images: int = 60_000
    validation_images: int = 5_000
    recipes: tuple[Recipe, ...] = (published(), distilled(40))
    twin_of: str | None = None

    @property
    def rates(self) -> dict[str, float]:
        """The dropout rates of build(), by name, with their published values."""
        parameters = inspect.signature(self.build).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if isinstance(parameter.default, float)}
