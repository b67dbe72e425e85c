"""What every model of the zoo states about itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fmnist_edge.models.recipe import Recipe, published, taught

__all__ = ["ModelSpec"]


@dataclass(frozen=True)
class ModelSpec:
    """One published architecture.

    Attributes:
        name: what commands and files call it.
        build: returns an untrained `keras.Model`: float32 (n, 28, 28, 1) in [0, 1] -> float32 (n, 10) logits.
        parameters: trainable + non-trainable, as published; checked by the tests.
        published_accuracy: test accuracy its authors report, as a fraction; None for our own variants.
        train_images: how many of the 60,000 training images its protocol uses, from the first on.
        validation_images: how many of those are held out, from the end.
        recipes: how to train it; "best" is the one that `train` takes unless told otherwise.
        twin_of: name of the model that this one is a variant of, for devices; None for an original.
    """

    name: str
    build: Callable[..., Any]
    parameters: int
    published_accuracy: float | None
    train_images: int = 60_000
    validation_images: int = 5_000
    recipes: tuple[Recipe, ...] = (published(), taught(40))
    twin_of: str | None = None

    @property
    def rates(self) -> dict[str, float]:
        """The hyper-parameters of build(), its dropout rates, and their published values."""
        parameters = inspect.signature(self.build).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if isinstance(parameter.default, float)}
