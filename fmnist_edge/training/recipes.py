"""Training recipes: frozen data, one `published` and one `best` per model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fmnist_edge.errors import InputError, UnknownNameError

__all__ = ["RECIPES", "Recipe", "recipe_for"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run besides the model, the data and the seed.

    Attributes:
        epochs: passes over the fitted images.
        batch_size: images per step.
        optimizer: "adam" (constant rate) or "adamw" (linear warm-up, then cosine decay to zero).
        learning_rate: peak rate.
        weight_decay: decoupled decay (Loshchilov & Hutter 2019); adamw only.
        warmup_epochs: epochs of linear warm-up.
        flip, shift, erase: augmentation: horizontal flips; crops shifted by up to `shift` pixels; probability of
            erasing a random rectangle (Zhong et al. 2020).
        label_smoothing: Szegedy et al. 2016.
        ema_momentum: exponential average of the weights, evaluated and released in their place; 0 for none.
        build: keyword arguments of the model's build(), e.g. dropout rates.
    """

    name: str
    epochs: int
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    flip: bool = True
    shift: int = 2
    erase: float = 0.0
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0
    build: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "optimizer": (self.optimizer in ("adam", "adamw"), "'adam' or 'adamw'"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "shift": (0 <= self.shift <= 14, "0 to 14 pixels"),
            "erase": (0 <= self.erase <= 1, "a probability"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 to below 1"),
            "ema_momentum": (0 <= self.ema_momentum < 1, "0 to below 1"),
        }
        for name, (valid, expected) in checks.items():
            if not valid:
                raise InputError(f"recipe {self.name!r}: {name} is {getattr(self, name)!r}, expected {expected}")


def published(**changes: Any) -> Recipe:
    """The published protocol: 27 epochs of Adam, flips and no schedule."""
    defaults = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0.0, "shift": 0}
    return Recipe("published", **{"epochs": 27, **defaults, **changes})


def best(epochs: int, **changes: Any) -> Recipe:
    """Ours: AdamW with warm-up and cosine decay, flips, crops, weight averaging."""
    return Recipe("best", **{"epochs": epochs, "ema_momentum": 0.998, **changes})


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "tiny_resnet": (
        published(),
        best(40, erase=0.25, build={"conv_dropout": 0.1, "dense_dropout": 0.4}),
    ),
    "tiny_googlenet": (
        published(),
        best(18, erase=0.15, build={"conv_dropout": 0.1, "dense_dropout": 0.3}),
    ),
    "compact_cnn": (published(), best(40, learning_rate=3e-3, build={"dense_dropout": 0.05})),
    "tuned_cnn": (published(), best(24, erase=0.1)),
    "wide_cnn": (
        published(flip=False),
        best(26, learning_rate=1e-3, weight_decay=0.05, ema_momentum=0.99, build={"conv_dropout": 0.2}),
    ),
}


def recipe_for(model: str, name: str) -> Recipe:
    """The recipe called `name` for `model`; raises UnknownNameError listing the choices."""
    recipes = {recipe.name: recipe for recipe in RECIPES.get(model, ())}
    if name not in recipes:
        raise UnknownNameError(f"no recipe {name!r} for model {model!r}; choose from: {', '.join(recipes) or 'none'}")
    return recipes[name]
